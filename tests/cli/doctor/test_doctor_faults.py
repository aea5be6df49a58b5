"""Each of the ten checks, seen failing over HTTP with its advice; and what is only worth a warning."""

import json
import socket

import pytest
from ports import free_port
from streams import runner

from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.cli import main
from thunderbit_dagster.cli.doctor.checks import CHECKS, PAYING
from thunderbit_dagster.emulator import Dialect, Faults, Rule


@pytest.fixture
def sick(spoiled, account):
    """The environment of an emulator with faults."""

    def make(*rules, **options):
        return account(spoiled(*rules, **options))

    return make


def assert_failed(findings, check, seen, advice):
    assert findings[check]["status"] == "failed", findings[check]
    assert seen in findings[check]["seen"]
    assert advice in findings[check]["what_to_do"]


def test_all_ten_hold_on_a_healthy_emulator(spoiled, account, doctor, page, pages):
    port = free_port()
    emulator = account(spoiled(allow_origins=(pages.origin, f"http://127.0.0.1:{port}")))
    url = f"http://127.0.0.1:{port}/hooks"
    code, findings = doctor("--url", page, "--webhook-url", url, "--webhook-port", str(port))
    assert tuple(findings) == tuple(CHECKS)
    assert len(CHECKS) == 10
    # No daemon runs in this test.
    assert {name: one["status"] for name, one in findings.items()} == dict.fromkeys(CHECKS, "ok") | {
        "dagster": "warning"
    }
    assert code == 0
    assert [(job.total, job.credits_used) for job in emulator.jobs] == [(1, 1)]
    assert [delivery.status for delivery in emulator.deliveries] == [204]


def test_free_submits_nothing_and_says_what_it_skipped(sick, doctor):
    emulator = sick()
    code, findings = doctor("--free")
    assert code == 0
    assert {name for name, one in findings.items() if one["status"] == "skipped"} == set(PAYING)
    assert emulator.jobs == []
    assert {request.method for request in emulator.requests} == {"GET"}


def test_service_nothing_answers(monkeypatch, doctor):
    monkeypatch.setenv("THUNDERBIT_API_KEY", "tb_" + "1" * 32)
    monkeypatch.setenv("THUNDERBIT_BASE_URL", f"http://127.0.0.1:{free_port()}/openapi/v1")
    code, findings = doctor()
    assert code == 1
    assert_failed(findings, "service", "nothing answers", "thunderbit-dagster emulator")
    assert all(findings[name]["status"] == "skipped" for name in ("key", "limits", *PAYING))


def test_service_the_path_of_the_base_url_is_wrong(sick, doctor, monkeypatch):
    emulator = sick()
    monkeypatch.setenv("THUNDERBIT_BASE_URL", emulator.base_url.replace("/openapi/v1", "/v1"))
    _, findings = doctor()
    assert_failed(findings, "service", "does not speak as the API does", "/openapi/v1")


@pytest.mark.parametrize(
    ("rule", "advice"),
    [
        (Rule("status", status=503), "status page"),
        (Rule("drop_before"), "proxies and firewalls"),
    ],
)
def test_service_it_answers_with_faults(sick, doctor, rule, advice):
    sick(rule)
    _, findings = doctor()
    assert findings["service"]["status"] == "failed"
    assert advice in findings["service"]["what_to_do"] + findings["service"]["seen"]
    assert all(findings[name]["status"] == "skipped" for name in ("key", "limits", *PAYING))


def test_key_an_answer_that_is_no_json_is_a_warning(sick, doctor):
    sick(Rule("garbage", method="GET"))
    _, findings = doctor("--free")
    assert findings["key"]["status"] == "warning"
    assert "without an envelope" in findings["key"]["seen"]


def test_key_refused(sick, doctor, monkeypatch):
    emulator = sick()
    monkeypatch.setenv("THUNDERBIT_API_KEY", "tb_" + "0" * 32)
    code, findings = doctor()
    assert code == 1
    assert_failed(findings, "key", "API_KEY_NOT_FOUND", "THUNDERBIT_API_KEY")
    assert findings["limits"]["status"] == "skipped"
    assert emulator.jobs == []


def test_limits_used_up(sick, doctor):
    emulator = sick(Rule("status", method="GET", status=429, code="RATE_LIMIT_EXCEEDED"))
    _, findings = doctor()
    assert_failed(findings, "limits", "used up", "who else uses this key")
    assert emulator.jobs == []


def test_limits_lower_than_the_setting_are_named(sick, doctor, monkeypatch):
    sick(plan="free")
    monkeypatch.setenv("THUNDERBIT_REQUESTS_PER_MINUTE", "100")
    _, findings = doctor("--free")
    assert findings["limits"]["status"] == "warning"
    assert "Set requests_per_minute (THUNDERBIT_REQUESTS_PER_MINUTE) to 10" in findings["limits"]["what_to_do"]


def test_states_a_word_that_nobody_knows(sick, doctor, page):
    emulator = sick(Rule("status_word", method="GET", word="ARCHIVING"))
    _, findings = doctor("--url", page, "--wait", "0.3")
    assert_failed(findings, "states", "ARCHIVING", "Do not crawl in bulk")
    assert [request.method for request in emulator.requests].count("DELETE") == 1


def test_states_a_job_that_does_not_end_is_cancelled(sick, doctor, page):
    emulator = sick(Rule("job_stuck"))
    _, findings = doctor("--url", page, "--wait", "0.3")
    assert_failed(findings, "states", "did not end", "status page")
    assert [job.status.value for job in emulator.jobs] == ["CANCELLED"]


def test_states_a_submit_whose_answer_is_lost_may_be_billed(sick, doctor, page):
    sick(Rule("drop_after", method="POST"))
    _, findings = doctor("--url", page)
    assert_failed(findings, "states", "no job to look at", "may run and be billed")


def test_rows_left_out(sick, doctor, page):
    sick(Rule("rows_missing"))
    _, findings = doctor("--url", page)
    assert_failed(findings, "rows", "0 rows for one URL", "Do not crawl in bulk")


def test_rows_of_a_page_that_cannot_be_fetched(sick, doctor, pages):
    sick()
    _, findings = doctor("--url", pages.urls(1, "missing")[0])
    assert_failed(findings, "rows", "SCRAPE_TARGET_NOT_FOUND", "--url")


def test_paging_a_page_beyond_the_last_one_is_refused(sick, doctor, page):
    # Reads in order: a made-up job with each of two keys, the job until it ends, its rows, the pages after.
    sick(
        Rule("delay", method="GET", nth=(3,), seconds=0.5),
        Rule("status", method="GET", nth=(5,), status=400, code="INVALID_PARAMETER"),
    )
    _, findings = doctor("--url", page)
    assert_failed(findings, "paging", "INVALID_PARAMETER", "Do not crawl in bulk")


def test_credits_are_out(sick, doctor, page):
    sick(credits=0)
    _, findings = doctor("--url", page)
    assert_failed(findings, "credits", "INSUFFICIENT_CREDITS", "Top up")


def test_webhook_does_not_come(sick, doctor, page):
    port = free_port()
    sick()
    url = f"http://127.0.0.1:{port}/hooks"
    _, findings = doctor("--url", page, "--webhook-url", url, "--webhook-port", str(port), "--wait", "3")
    assert_failed(findings, "webhook", "no call came", "--allow-origin")


def test_webhook_is_tried_on_an_emulator_without_being_set_up(sick, doctor, page, pages):
    port = free_port()
    emulator = sick(allow_origins=(pages.origin, f"http://127.0.0.1:{port}"), credits=10)
    code, findings = doctor("--url", page, "--webhook-port", str(port))
    assert code == 0
    assert findings["webhook"]["status"] == "ok", findings["webhook"]
    assert "signed in the newest scheme" in findings["webhook"]["seen"]
    assert [delivery.status for delivery in emulator.deliveries] == [204]
    # To look whether the receiver is reached costs nothing.
    assert emulator.credits_left == 9


def test_webhook_of_an_emulator_that_may_not_call_is_skipped_with_the_reason(sick, doctor, page):
    port = free_port()
    emulator = sick(credits=10)
    code, findings = doctor("--url", page, "--webhook-port", str(port))
    assert (code, findings["webhook"]["status"]) == (0, "skipped")
    assert "an address of this machine" in findings["webhook"]["seen"]
    assert f"--allow-origin http://127.0.0.1:{port}" in findings["webhook"]["what_to_do"]
    assert findings["rows"]["status"] == "ok"
    assert emulator.credits_left == 9


def test_webhook_without_a_port_to_wait_on_is_skipped_with_the_reason(sick, doctor, page):
    sick()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        code, findings = doctor("--url", page, "--webhook-port", str(port))
    assert (code, findings["webhook"]["status"]) == (0, "skipped")
    assert f"cannot listen on port {port}" in findings["webhook"]["seen"]
    assert "--webhook-port" in findings["webhook"]["what_to_do"]
    assert findings["rows"]["status"] == "ok"


def test_webhook_of_the_older_scheme_is_told_apart(sick, doctor, page, pages):
    port = free_port()
    origins = (pages.origin, f"http://127.0.0.1:{port}")
    sick(faults=Faults(dialect=Dialect(webhook_signature="hex")), allow_origins=origins)
    url = f"http://127.0.0.1:{port}/hooks"
    _, findings = doctor("--url", page, "--webhook-url", url, "--webhook-port", str(port))
    assert findings["webhook"]["status"] == "warning"
    assert "--legacy-signature" in findings["webhook"]["what_to_do"]


def test_webhook_on_a_port_that_the_receiver_holds(sick, doctor, page):
    sick()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        _, findings = doctor("--url", page, "--webhook-url", "http://127.0.0.1/x", "--webhook-port", port)
    assert findings["webhook"]["status"] == "warning"
    assert "--webhook-port" in findings["webhook"]["what_to_do"]
    assert findings["rows"]["status"] == "ok"


def test_storage_that_cannot_be_written(sick, doctor, monkeypatch, place):
    sick()
    (place / "taken").write_text("a file, not a folder")
    monkeypatch.setenv("THUNDERBIT_DATA_URI", str(place / "taken" / "data"))
    code, findings = doctor("--free")
    assert code == 1
    assert_failed(findings, "storage", "taken", "THUNDERBIT_DATA_URI")
    assert "cannot write to" in findings["storage"]["seen"]
    assert "partition" not in findings["storage"]["seen"] + findings["storage"]["what_to_do"]


@pytest.mark.parametrize("uri", ["parquet", "memory://doctor"])
def test_storage_is_left_as_it_was(sick, doctor, monkeypatch, place, uri):
    sick()
    monkeypatch.setenv("THUNDERBIT_DATA_URI", uri)
    _, findings = doctor("--free")
    assert findings["storage"]["status"] == ("ok" if uri == "parquet" else "warning"), findings["storage"]
    assert not (place / "parquet").exists()


def test_dagster_that_does_not_open(sick, doctor, place):
    sick()
    (place / "home" / "dagster.yaml").write_text("storage: {nonsense: true}\n")
    code, findings = doctor("--free")
    assert code == 1
    assert_failed(findings, "dagster", "does not open", "dagster instance migrate")


def test_dagster_home_that_is_not_there(sick, doctor, monkeypatch, place):
    sick()
    monkeypatch.setenv("DAGSTER_HOME", str(place / "nowhere"))
    _, findings = doctor("--free")
    assert_failed(findings, "dagster", "nowhere", "Make it")


@pytest.mark.parametrize(
    ("dialect", "told"),
    [
        (Dialect(lower_case=True), ("states", "completed")),
        (Dialect(row_success=True), ("states", "success: True")),
        (Dialect(unpaged=True), ("paging", "ignored")),
        (Dialect(nested_data=True), ("rows", "nested")),
        (Dialect(index=False), ("rows", "no index")),
        (Dialect(error_envelope="swapped"), ("key", "swapped")),
        (Dialect(error_envelope="string"), ("key", "as a text")),
    ],
)
def test_what_the_plugin_understands_is_a_warning(sick, doctor, page, dialect, told):
    check, seen = told
    sick(faults=Faults(dialect=dialect))
    code, findings = doctor("--url", page)
    assert (code, findings[check]["status"]) == (0, "warning"), findings
    assert seen in findings[check]["seen"]
    assert "report it" in findings[check]["what_to_do"]


def test_the_default_page_size_is_seen_in_an_earlier_job(sick, doctor, page, pages):
    emulator = sick()
    with ThunderbitClient(emulator.api_key, base_url=emulator.base_url) as client:
        ref = client.submit_distill(pages.urls(30)).ref
    _, findings = doctor("--url", page, "--job", str(ref))
    assert "20 rows of 30 come by default" in findings["paging"]["seen"]


def test_an_earlier_job_that_cannot_be_read_spoils_the_check_of_paging_alone(sick, doctor, page):
    sick()
    code, findings = doctor("--url", page, "--job", "distill/batch_of_nobody")
    assert code == 0
    assert findings["paging"]["status"] == "warning"
    assert "pages count from 0" in findings["paging"]["seen"]
    assert "JOB_NOT_FOUND" in findings["paging"]["seen"]
    assert "--job" in findings["paging"]["what_to_do"]
    assert [findings[name]["status"] for name in ("states", "rows", "credits")] == ["ok"] * 3


def test_what_is_waited_for_is_told(sick, page):
    port = free_port()
    sick()
    hook = ["--webhook-url", f"http://127.0.0.1:{port}/hooks", "--webhook-port", str(port), "--wait", "0.5"]
    shown = runner().invoke(main, ["doctor", "--json", "--url", page, *hook])
    told = [line for line in shown.stderr.splitlines() if line.endswith(" ...")]
    assert [line.split()[0] for line in told] == ["Asking", "Waiting", "Reading", "Waiting", "Writing", "Looking"]
    assert "webhook" in told[3]
    assert json.loads(shown.stdout)["ok"] is False


def test_the_table_says_all_and_the_cost_comes_first(sick, page):
    sick()
    shown = runner().invoke(main, ["doctor", "--url", page], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    assert f"One page will be asked for, {page}: 1 credit." in shown.stderr
    assert all(f"│ {check} " in shown.stdout for check in CHECKS)
    assert "what to do" in shown.stdout


@pytest.mark.usefixtures("place")
def test_the_real_api_is_paid_only_after_a_yes(monkeypatch):
    monkeypatch.setenv("THUNDERBIT_API_KEY", "tb_" + "1" * 32)
    # A name that never resolves: without a yes nothing is sent, with one nothing arrives.
    monkeypatch.setenv("THUNDERBIT_BASE_URL", "https://api.invalid/openapi/v1")
    refused = runner().invoke(main, ["doctor"], input="n\n")
    assert refused.exit_code == 1
    assert "Pay 1 credit?" in refused.stderr
    assert "service" not in refused.stdout
    unasked = runner().invoke(main, ["doctor", "--json"])
    assert unasked.exit_code == 2
    assert "--yes" in unasked.stderr
    free = runner().invoke(main, ["doctor", "--json", "--free"])
    assert free.exit_code == 1
    assert json.loads(free.stdout)["credits_at_most"] == 0


@pytest.mark.usefixtures("place")
def test_settings_that_are_missing_or_wrong_are_named(monkeypatch):
    monkeypatch.setenv("THUNDERBIT_API_KEY", "two words")
    wrong = runner().invoke(main, ["doctor", "--free"])
    assert wrong.exit_code == 1
    assert "api_key" in wrong.stderr
    assert "two words" not in wrong.output


def test_a_webhook_address_that_is_none_is_refused_before_anything_is_asked() -> None:
    told = runner().invoke(main, ["doctor", "--webhook-url", "hooks.example.com/x"])
    assert told.exit_code == 2
    assert "must be an http or https URL with a host" in told.stderr
