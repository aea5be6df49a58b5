"""Faults on request and dialects: what the plan says happens, and the same again by seed."""

import json
from collections import Counter
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest
from emulator_support import Api, Start, TargetSite
from hypothesis import given
from hypothesis import strategies as st

from thunderbit_dagster.emulator import Dialect, Faults, Rule
from thunderbit_dagster.emulator.faults import Draw, FaultPlan, latency


def test_a_status_rule_answers_without_processing(start: Start, site: TargetSite):
    rules = (
        Rule("status", method="POST", route="/batch/*", nth=(1,), status=429, retry_after="3"),
        Rule("status", method="POST", route="/batch/*", nth=(2,), status=503, retry_after="date:5"),
        Rule("status", method="POST", route="/batch/*", nth=(3,), status=502, html=True),
        Rule("status", method="POST", route="/batch/*", nth=(4,), status=429, retry_after="259200"),
    )
    api = start(faults=Faults(rules=rules))
    urls = site.pages(1)

    answers = [api.http.post("/batch/distill", json={"urls": urls}) for _ in range(5)]

    assert [answer.status_code for answer in answers] == [429, 503, 502, 429, 200]
    assert answers[0].headers["Retry-After"] == "3"
    assert answers[0].json()["error"]["code"] == "RATE_LIMIT_EXCEEDED"
    assert parsedate_to_datetime(answers[1].headers["Retry-After"]).year >= 2026
    assert "<html>" in answers[2].text
    assert "Retry-After" not in answers[2].headers
    assert len(api.emulator.jobs) == 1


@pytest.mark.parametrize(("action", "jobs"), [("drop_before", 0), ("drop_after", 1), ("truncate", 1)])
def test_a_lost_reply_closes_the_connection(start: Start, site: TargetSite, action: str, jobs: int):
    api = start(faults=Faults(rules=(Rule(action, method="POST", nth=(1,)),)))

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        api.http.post("/batch/distill", json={"urls": site.pages(1)})

    assert len(api.emulator.jobs) == jobs
    assert api.emulator.requests[0].status == (None if action != "truncate" else 200)
    assert api.finished(api.submit(site.pages(1)))["completed"] == 1


def test_garbage_is_no_json_and_a_delay_delays(start: Start, site: TargetSite):
    rules = (Rule("garbage", method="GET", nth=(1,)), Rule("delay", method="GET", nth=(2,), seconds=0.2))
    api = start(faults=Faults(rules=rules))
    job = api.submit(site.pages(1))

    answer = api.http.get(f"/batch/distill/{job}")
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"utf-8|JSON|Expecting"):
        answer.json()
    assert api.http.get(f"/batch/distill/{job}").elapsed.total_seconds() >= 0.2


def test_answers_about_a_job_can_lie(start: Start, site: TargetSite):
    actions = (
        "status_word",
        "rows_missing",
        "rows_duplicated",
        "rows_foreign",
        "rows_shuffled",
        "completed_early",
        "job_lost",
        "expired",
    )
    rules = [Rule(action, route="/batch/distill/*", method="GET", nth=(n,)) for n, action in enumerate(actions, 1)]
    api = start(faults=Faults(rules=tuple(rules)), hold=True)
    urls = site.pages(6)
    path = f"/batch/distill/{api.submit(urls)}"

    answers = [api.http.get(path) for _ in actions]

    shown = [[row["url"] for row in answer.json()["data"]["results"]] for answer in answers[:6]]
    assert answers[0].json()["data"]["status"] == "ARCHIVING"
    assert shown[1] == urls[:-1]
    assert Counter(shown[2]) == Counter([*urls, urls[-1]])
    assert set(shown[3]) - set(urls) == {"https://foreign.example/"}
    assert shown[4] != urls
    assert sorted(shown[4]) == sorted(urls)
    early = answers[5].json()["data"]
    assert early["status"] == "COMPLETED"
    assert early["results"][-1]["status"] == "PENDING"
    assert [answer.status_code for answer in answers[6:]] == [404, 410]
    api.emulator.release()


def test_a_job_can_fail_or_never_end(start: Start, site: TargetSite):
    api = start(faults=Faults(rules=(Rule("job_failed", nth=(1,)), Rule("job_stuck", nth=(2,)))))

    failed = api.run(site.pages(4))
    stuck = api.submit(site.pages(4))
    stopped = api.until(stuck, lambda job: job["completed"] == 3)

    assert (failed["status"], failed["completed"], failed["creditsUsed"]) == ("FAILED", 2, 2)
    assert stopped["status"] == "PROCESSING"
    assert api.http.delete(f"/batch/distill/{stuck}").is_success
    assert api.finished(stuck)["status"] == "CANCELLED"


def outcome(start: Start, urls: list[str], seed: int) -> list[str]:
    api = start(faults=Faults(seed=seed, row_failure_rate=0.5))
    rows = api.run(urls)["results"] + api.run(urls)["results"]
    return [row.get("error", {}).get("code", "fine") for row in rows]


def test_the_same_seed_gives_the_same_failures(start: Start, site: TargetSite):
    urls = site.pages(30)
    first, again, other = (outcome(start, urls, seed) for seed in (1, 1, 2))

    assert first == again
    assert first != other
    assert 10 < first.count("fine") < 50
    assert first[:30] != first[30:]
    assert set(first) == {"fine", "SCRAPE_TIMEOUT", "SCRAPE_SITE_ERROR", "SCRAPE_TARGET_NOT_FOUND"}


@given(st.integers(), st.integers(1, 9), st.integers(0, 9), st.integers(1, 30))
def test_nth_and_skip_pick_the_events_they_name(seed: int, nth: int, skip: int, events: int):
    plan = FaultPlan(Faults(seed=seed, rules=(Rule("job_failed", nth=(nth,), skip=skip),)))

    hit = [bool(plan.for_job("/batch/distill")) for _ in range(events)]

    assert [number for number, was_hit in enumerate(hit, 1) if was_hit] == [n for n in [skip + nth] if n <= events]


def test_a_share_is_about_that_share():
    plan = FaultPlan(Faults(rules=(Rule("webhook_lost", share=0.3),)))

    assert 240 < sum(bool(plan.for_webhook("/batch/distill")) for _ in range(1000)) < 360


@given(st.floats(0.001, 10), st.floats(0, 3), st.text(max_size=9))
def test_latency_is_positive_and_its_median_is_the_setting(median: float, sigma: float, text: str):
    faults = Faults(latency=median, latency_sigma=sigma)
    drawn = latency(faults, Draw(text))

    assert drawn > 0
    assert drawn == latency(faults, Draw(text))
    low = Draw(text).uniform("latency") < 0.5
    assert sigma == 0 or drawn == pytest.approx(median) or (drawn < median) == low


def test_a_plan_is_read_from_json(tmp_path: Path):
    path = tmp_path / "faults.json"
    written = {
        "seed": 7,
        "row_failure_rate": 0.1,
        "rules": [{"action": "status", "method": "GET", "nth": [2], "status": 429}],
        "dialect": {"lower_case": True},
    }
    path.write_text(json.dumps(written))

    assert Faults.load(path) == Faults(
        seed=7,
        row_failure_rate=0.1,
        rules=(Rule("status", method="GET", nth=(2,), status=429),),
        dialect=Dialect(lower_case=True),
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "faults.json: .*Expecting"),
        ("[]", "faults.json: the file"),
        ('{"sed": 7}', "sed"),
        ('{"rules": [{"action": "explode"}]}', "rules.0.action"),
        ('{"rules": [{"action": "delay", "sekonds": 1}]}', "rules.0.sekonds"),
        ('{"rules": [{"action": "status", "status": 200}]}', "400 to 599"),
        ('{"row_failure_rate": 2}', "between 0 and 1"),
        ('{"dialect": {"lowercase": true}}', "dialect.lowercase"),
    ],
)
def test_a_wrong_plan_is_refused_by_its_key(tmp_path: Path, text: str, complaint: str):
    path = tmp_path / "faults.json"
    path.write_text(text)

    with pytest.raises(ValueError, match=complaint):
        Faults.load(path)


def test_a_plan_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"none\.toml"):
        Faults.load(tmp_path / "none.toml")


def speaking(start: Start, **switches: object) -> Api:
    return start(faults=Faults(dialect=Dialect(**switches)))


def test_lower_case_words(start: Start, site: TargetSite):
    api = speaking(start, lower_case=True)
    job = api.run([*site.pages(1), site.origin + "/none"])

    assert job["status"] == "completed"
    assert [row["status"] for row in job["results"]] == ["completed", "failed"]


def test_rows_with_success_strings_for_errors_and_no_index(start: Start, site: TargetSite):
    api = speaking(start, row_success=True, row_error="string", index=False, completed_counts_all=True)
    job = api.run([*site.pages(1), site.origin + "/none"])

    assert job["completed"] == 2
    assert [row["success"] for row in job["results"]] == [True, False]
    assert job["results"][1]["error"] == "The site answered 404."
    assert all(row.keys().isdisjoint({"status", "index"}) for row in job["results"])


def test_nested_markdown_and_the_other_source_url(start: Start, site: TargetSite):
    api = speaking(start, nested_data=True, source_url="sourceUrl", row_error="absent")
    (row, failed) = api.run([*site.pages(1), site.origin + "/none"], include=["metadata"])["results"]

    assert row["data"]["markdown"].startswith("# Page 0")
    assert row["data"]["metadata"]["sourceUrl"] == row["url"]
    assert "markdown" not in row
    assert "error" not in failed


def test_an_unpaged_service_returns_everything(start: Start, site: TargetSite):
    api = speaking(start, unpaged=True)
    job = api.run(site.pages(30))

    assert len(job["results"]) == 30
    assert len(api.read(job["id"], page=5, pageSize=1)["results"]) == 30


@pytest.mark.parametrize("spelling", ["swapped", "string"])
def test_error_envelopes(start: Start, spelling: str):
    error = speaking(start, error_envelope=spelling).http.get("/batch/distill/x").json()["error"]

    assert (
        (error == "No such job.")
        if spelling == "string"
        else (error["code"], error["status"]) == (404, "JOB_NOT_FOUND")
    )


@pytest.mark.parametrize("spelling", ["CANCELLED", "missing"])
def test_rows_of_a_cancelled_job(start: Start, site: TargetSite, spelling: str):
    api = start(faults=Faults(dialect=Dialect(cancelled_rows=spelling, cancel_terminal_status=200)), hold=True)
    job = api.submit(site.pages(5))
    api.emulator.release(2)
    api.until(job, lambda found: found["completed"] == 2)

    assert api.http.delete(f"/batch/distill/{job}").is_success
    assert api.http.delete(f"/batch/distill/{job}").is_success

    states = Counter(row["status"] for row in api.read(job)["results"])
    assert states == {"SUCCEEDED": 2, **({"CANCELLED": 3} if spelling == "CANCELLED" else {})}
    api.emulator.release()


def test_unfinished_rows_may_be_left_out_while_running(start: Start, site: TargetSite):
    api = start(faults=Faults(dialect=Dialect(unfinished_listed=False, submit_status=202)), hold=True)
    job = api.submit(site.pages(5))
    api.emulator.release(2)

    assert len(api.until(job, lambda found: found["completed"] == 2)["results"]) == 2
    api.emulator.release()
    assert len(api.finished(job)["results"]) == 5


def test_a_url_that_is_none_may_fail_the_request(start: Start, site: TargetSite):
    api = speaking(start, invalid_urls="request")

    assert api.code("POST", "/batch/distill", json={"urls": [*site.pages(1), "no url"]}) == (400, "INVALID_URL")


def test_the_reset_may_be_in_milliseconds(start: Start):
    answer = speaking(start, reset_in_milliseconds=True).http.get("/batch/distill/x")

    assert int(answer.headers["X-RateLimit-Reset"]) > 1e12
