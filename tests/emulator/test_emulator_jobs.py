"""The life of a batch job: states, paging, partial results, cancelling."""

from collections.abc import Sequence

import pytest
from emulator_support import Api, Start, TargetSite
from hypothesis import given
from hypothesis import strategies as st

from thunderbit_dagster.api.codes import JobKind, JobStatus, RowStatus
from thunderbit_dagster.emulator import jobs

STEPS = st.lists(st.sampled_from(["start", "good", "bad", "cancel", "fail"]), max_size=12)


@given(STEPS, st.integers(1, 4))
def test_counts_and_bill_follow_the_rows_and_the_end_is_final(steps: Sequence[str], total: int):
    job = jobs.EmulatedJob("j", "batch/distill", "a", JobKind.DISTILL, total, created_at=1.0, price=5)
    good = bad = 0
    for step in steps:
        try:
            after = _step(job, step, good + bad)
        except jobs.IllegalStepError:
            assert job.status.is_terminal
            continue
        assert not job.status.is_terminal
        good, bad, job = good + (step == "good"), bad + (step == "bad"), after
        assert (job.completed, job.failed, job.credits_used) == (good, bad, 5 * good)
        assert job.status.is_terminal == (job.completed_at is not None)
        assert (job.status is JobStatus.COMPLETED) == (good + bad == total and step in {"good", "bad"})
        assert job.reserved == (0 if job.status.is_terminal else 5 * (total - good - bad))


def _step(job: jobs.EmulatedJob, step: str, index: int) -> jobs.EmulatedJob:
    if step in {"good", "bad"}:
        good = step == "good"
        row = jobs.EmulatedRow(index, "u", RowStatus.SUCCEEDED if good else RowStatus.FAILED, credits=5 * good)
        return jobs.finish_row(job, row, now=2.0)
    return jobs.start(job) if step == "start" else getattr(jobs, step)(job, 2.0)


def test_a_row_that_is_not_finished_cannot_be_counted():
    job = jobs.EmulatedJob("j", "batch/distill", "a", JobKind.DISTILL, 1, created_at=1.0)
    with pytest.raises(jobs.IllegalStepError):
        jobs.finish_row(job, jobs.EmulatedRow(0, "u"), now=2.0)


def test_a_job_completes_with_one_row_per_url_in_order_even_when_some_fail(api: Api, site: TargetSite):
    urls = [*site.pages(3), site.origin + "/missing", "not a url", site.page("/p/0")]

    job = api.run(urls, include=["metadata"])

    assert job["status"] == "COMPLETED"
    assert (job["total"], job["completed"], job["failed"]) == (6, 4, 2)
    assert [row["url"] for row in job["results"]] == urls
    assert [row["index"] for row in job["results"]] == list(range(6))
    assert [row["status"] for row in job["results"]] == ["SUCCEEDED"] * 3 + ["FAILED"] * 2 + ["SUCCEEDED"]
    assert job["results"][1]["markdown"] == "# Page 1\n\nSome words that are worth reading.\n"
    assert job["results"][1]["metadata"]["title"] == "Page 1"
    assert job["results"][3]["error"]["code"] == "SCRAPE_TARGET_NOT_FOUND"
    assert job["results"][4]["error"]["code"] == "INVALID_URL"
    assert "markdown" not in job["results"][3]
    assert job["createdAt"] <= job["completedAt"]
    assert job["createdAt"].endswith("Z")


def test_only_failures_still_complete_the_job(api: Api, site: TargetSite):
    job = api.run([site.origin + "/a", site.origin + "/b"])

    assert (job["status"], job["completed"], job["failed"], job["creditsUsed"]) == ("COMPLETED", 0, 2, 0)


def test_partial_results_show_while_the_job_runs(start: Start, site: TargetSite):
    api = start(hold=True)
    job = api.submit(site.pages(20))
    api.emulator.release(3)

    partial = api.until(job, lambda found: found["completed"] == 3)

    assert partial["status"] == "PROCESSING"
    assert partial["creditsUsed"] == 3
    assert "completedAt" not in partial
    states = [row["status"] for row in partial["results"]]
    assert (states.count("SUCCEEDED"), states.count("PROCESSING"), states.count("PENDING")) == (3, 8, 9)
    assert all(("markdown" in row) == (row["status"] == "SUCCEEDED") for row in partial["results"])
    api.emulator.release()
    assert api.finished(job)["completed"] == 20


@pytest.mark.parametrize(("query", "places"), [({}, range(20)), ({"page": 1}, range(20, 40)), ({"page": 2}, [])])
def test_pages_hold_twenty_rows_unless_told_otherwise(
    api: Api, site: TargetSite, query: dict[str, int], places: Sequence[int]
):
    job = api.submit(site.pages(40))
    api.finished(job)

    assert [row["index"] for row in api.read(job, **query)["results"]] == list(places)


def test_page_size_decides_and_has_its_limits(api: Api, site: TargetSite):
    job = api.submit(site.pages(7))
    api.finished(job)

    assert [row["index"] for row in api.read(job, page=2, pageSize=3)["results"]] == [6]
    assert len(api.read(job, pageSize=1)["results"]) == 1
    for query in ({"pageSize": 0}, {"pageSize": 101}, {"page": -1}, {"page": "x"}, {"pageSize": "1e1"}, {"page": ""}):
        answer = api.http.get(f"/batch/distill/{job}", params=query)
        assert answer.status_code == 400
        assert list(answer.json()["error"]["details"]) == list(query)


def test_an_id_belongs_to_its_kind_of_job(api: Api, site: TargetSite):
    job = api.submit(site.pages(1))

    for path in (f"/batch/extract/{job}", f"/async/distill/{job}", "/batch/distill/made-up", "/batch/distill/a/b"):
        assert api.code("GET", path) == (404, "JOB_NOT_FOUND")


def test_cancelling_keeps_what_is_finished_and_bills_nothing_more(start: Start, site: TargetSite):
    api = start(hold=True, credits=100)
    job = api.submit(site.pages(10))
    api.emulator.release(4)
    api.until(job, lambda found: found["completed"] == 4)

    answer = api.http.delete(f"/batch/distill/{job}")

    assert (answer.status_code, answer.json()) == (200, {"success": True})
    api.emulator.release()
    cancelled = api.finished(job)
    assert (cancelled["status"], cancelled["completed"], cancelled["creditsUsed"]) == ("CANCELLED", 4, 4)
    assert [row["status"] for row in cancelled["results"]].count("SUCCEEDED") == 4
    assert {row["status"] for row in cancelled["results"]} <= {"SUCCEEDED", "PENDING", "PROCESSING"}
    assert api.emulator.credits_left == 96
    assert api.code("DELETE", f"/batch/distill/{job}")[0] == 409
    assert api.read(job, pageSize=100) == cancelled


def test_a_job_in_the_queue_can_be_cancelled(start: Start, site: TargetSite):
    api = start(plan="free", hold=True)
    jobs_ = [api.submit(site.pages(1)) for _ in range(3)]

    assert api.http.delete(f"/batch/distill/{jobs_[2]}").status_code == 200
    cancelled = api.read(jobs_[2])
    assert (cancelled["status"], cancelled["completed"]) == ("CANCELLED", 0)
    api.emulator.release()


def test_async_calls_are_jobs_of_one_page(api: Api, site: TargetSite):
    submitted = api.http.post("/async/distill", json={"url": site.page("/one"), "include": ["metadata"]}).json()
    path = f"/async/distill/{submitted['data']['id']}"
    while (found := api.http.get(path).json()["data"])["status"] not in {"completed", "failed"}:
        pass

    assert found["markdown"].startswith("# A page")
    assert found["metadata"]["statusCode"] == 200
    failed = api.http.post("/async/distill", json={"url": site.origin + "/none"}).json()["data"]["id"]
    while (found := api.http.get(f"/async/distill/{failed}").json()["data"])["status"] not in {"completed", "failed"}:
        pass
    assert (found["status"], found["error"]["code"]) == ("failed", "SCRAPE_TARGET_NOT_FOUND")


def test_a_hundred_pages_are_fetched_a_few_at_a_time(api: Api, site: TargetSite):
    job = api.run(site.pages(100))

    assert job["completed"] == 100
    assert sum(visit.path == "/robots.txt" for visit in site.visits) == 1
    stats = api.http.get(api.emulator.base_url.replace("/openapi/v1", "/_emulator/stats")).json()
    assert stats["jobs"] == {"COMPLETED": 1}
    assert stats["pages"] == {"SUCCEEDED": 100}
    assert stats["polls"] == sum(record.method == "GET" for record in api.emulator.requests)


@pytest.mark.parametrize("kind", ["distill", "extract"])
@pytest.mark.parametrize("path", ["/one", "/none"])
def test_the_vendors_client_comes_to_its_end(api: Api, site: TargetSite, kind: str, path: str):
    """Its flow for one slow page, by the reference: POST, then poll until exactly `completed` or `failed`."""
    url = site.page(path) if path == "/one" else site.origin + path
    body = {
        "url": url,
        **({"schema": {"type": "object", "properties": {"title": {"type": "string"}}}} if kind == "extract" else {}),
    }
    job = api.http.post(f"/async/{kind}", json=body).json()["data"]
    assert job["status"] in {"pending", "processing", "completed", "failed"}
    for _ in range(2_000):
        found = api.http.get(f"/async/{kind}/{job['id']}").json()["data"]
        if found["status"] in {"completed", "failed"}:
            break
        assert found["status"] in {"pending", "processing"}
    assert found["status"] == ("completed" if path == "/one" else "failed")
    assert ("error" in found) is (path == "/none")


def test_batch_jobs_speak_in_upper_case(api: Api, site: TargetSite):
    assert api.run(site.pages(1))["status"] == "COMPLETED"
