"""Submit, tick, collect: what a crawl leaves in Dagster and on disk."""

from datetime import timedelta

import dagster as dg
import httpx
import pytest
from crawl_world import crawl, one_partition, records

from thunderbit_dagster import Distill


def test_a_crawl_goes_from_urls_to_parquet_by_a_submit_run_a_tick_and_a_collect_run(line, pages, own_instance):
    urls = [*pages.urls(3), *pages.urls(2, "missing"), "not a url"]
    docs = line({"guides": urls}, instance=own_instance)

    submitted = docs.submit("guides")
    assert submitted.success
    assert docs.published("failed") == set()
    docs.until_jobs_end()
    [request] = docs.tick().run_requests
    assert (request.job_name, request.partition_key) == (f"{docs.crawl.name}_collect", "guides")
    collected = docs.launch(request)

    assert collected.success
    assert docs.checks(collected) == [True]
    assert docs.urls("succeeded", urls="guides") == urls[:3]
    assert docs.urls("failed", urls="guides") == urls[3:]
    assert docs.published("succeeded") == docs.published("failed") == {"guides"}
    after = docs.tick()
    assert not after.run_requests
    assert after.skip_message == "No batch job is open."


def test_the_ui_shows_rows_credits_jobs_failures_and_a_preview_of_each_partition(line, pages, own_instance):
    urls = [*pages.urls(3), *pages.urls(2, "missing"), "not a url"]
    docs = line({"guides": urls, "reference": pages.urls(1)}, instance=own_instance)
    docs.through("guides", "reference")
    [job] = docs.jobs
    succeeded, failed = docs.metadata("succeeded", "guides"), docs.metadata("failed", "guides")

    numbers = {name: value.value for name, value in succeeded.items() if isinstance(value.value, int | float)}
    assert numbers["dagster/partition_row_count"] == 3
    assert numbers["urls submitted"] == 6
    assert numbers["success rate"] == 0.5
    assert numbers["credits estimated"] == 3
    assert numbers["credits used"] == pytest.approx(4 * 5 / 6, abs=0.01)
    assert numbers["longest job (s)"] >= 0
    assert failed["dagster/partition_row_count"].value == 3
    assert records(failed["failures by code"]) == [
        {"code": "SCRAPE_TARGET_NOT_FOUND", "class": "permanent", "rows": 2},
        {"code": "INVALID_INPUT", "class": "permanent", "rows": 1},
    ]
    for metadata, table in ((succeeded, "succeeded"), (failed, "failed")):
        assert metadata["dagster/uri"].value == docs.store.uri(docs.crawl.name, table, {"urls": "guides"})
        columns = [column.name for column in metadata["dagster/column_schema"].schema.columns]
        assert columns == docs.store.read(docs.crawl.name, table, {"urls": "guides"}).column_names
        [shown] = records(metadata["jobs"])
        assert shown["job"] == f"distill/{job.id}"
        assert (shown["status"], shown["urls of this partition"], shown["urls in the job"]) == ("COMPLETED", 5, 6)
        assert shown["credits used"] == 4
    assert [row["url"] for row in records(succeeded["preview"])] == urls[:3]
    assert all(row["title"].startswith("Page /ok/") for row in records(succeeded["preview"]))


def test_a_preview_is_one_printable_line_of_bounded_length(line, pages):
    paragraph = "one \u202e two \u2028 three \u0007 " + "word " * 200
    url = pages.page(f"<title>T</title><body><main><h1>Head</h1><p>{paragraph}</p><p>Next</p></main></body>")
    docs = line(one_partition([url]))
    docs.through()
    [text] = [row["markdown"] for row in docs.rows("succeeded")]
    assert len(text) > 900
    assert not text.isprintable()
    [shown] = records(docs.metadata("succeeded")["preview"])
    assert shown["begins"].startswith("# Head one")
    assert shown["begins"].isprintable()
    assert 100 < len(shown["begins"]) <= 160


def test_submissions_show_what_was_sent_what_was_refused_and_the_credits_expected(line, pages):
    [first, second] = pages.urls(2)
    urls = [first, second, first + "#again", "ftp://example.com/"]
    docs = line(one_partition(urls, request=Distill(summary=True)))
    docs.submit()
    metadata = docs.metadata("submissions")
    numbers = {name: metadata[name].value for name in ("urls submitted", "urls refused", "urls repeated")}
    assert numbers == {"urls submitted": 4, "urls refused": 1, "urls repeated": 1}
    assert metadata["credits estimated"].value == 2 * (1 + 4)
    [job] = records(metadata["jobs"])
    assert (job["job"], job["urls in the job"]) == (f"distill/{docs.jobs[0].id}", 2)
    assert [row["url"] for row in records(metadata["refused"])] == ["ftp://example.com/"]
    docs.until_jobs_end()


def test_rows_say_where_they_come_from(line, pages):
    docs = line(pages.urls(2))
    [run] = docs.through()
    [job] = docs.jobs
    for place, row in enumerate(docs.rows("succeeded")):
        assert (row["job_id"], row["job_kind"], row["job_position"], row["position"]) == (
            job.id,
            "distill",
            place,
            place,
        )
        assert (row["attempt"], row["credits"], row["run_id"]) == (1, 1, run.run_id)
        assert row["title"].startswith("Page /ok/")
        assert row["markdown"].startswith("# Page /ok/")
        assert row["final_url"] == row["url"]
        # Two clocks: ours says when the reply was here, the API's when the job had ended.
        assert abs(row["completed_at"] - row["submitted_at"]) < timedelta(minutes=1)
        assert row["submitted_at"] <= row["collected_at"]


def test_250_urls_in_one_partition_are_250_rows_of_three_jobs(line, pages):
    urls = pages.urls(250)
    docs = line(urls)
    docs.through()
    assert docs.urls("succeeded") == urls
    assert docs.rows("failed") == []
    assert sorted(job.total for job in docs.jobs) == [50, 100, 100]


def guides_loop(api, key, urls, yield_to_dashboard, sleep):
    """The loop of the vendor's Batch Job Lifecycle guide, as it stands there."""
    headers = {"Authorization": f"Bearer {key}"}
    job = httpx.post(f"{api}/batch/distill", headers=headers, json={"urls": urls}).json()
    batch_id = job["data"]["id"]
    while True:
        body = httpx.get(f"{api}/batch/distill/{batch_id}", headers=headers).json()["data"]
        fresh = [r for r in body["results"] if r["status"] == "SUCCEEDED"]
        yield_to_dashboard(fresh)
        if body["status"] in ("COMPLETED", "FAILED", "CANCELLED"):
            break
        sleep(5)


def test_the_loop_of_the_vendors_guide_keeps_20_of_100_urls_and_loses_80(line, pages):
    urls, kept = pages.urls(100), {}
    docs = line([])
    guides_loop(
        docs.emulator.base_url,
        docs.emulator.api_key,
        urls,
        lambda fresh: kept.update({row["url"]: row for row in fresh}),
        lambda _: docs.until_jobs_end(),
    )
    assert docs.jobs[0].completed == 100
    assert len(kept) == 20
    assert len(set(urls) - set(kept)) == 80


def test_a_crawl_without_partitions_is_one_file_a_table(line, pages):
    docs = line(crawl(pages.urls(2)))
    [run] = docs.through()
    assert docs.checks(run) == [True]
    assert docs.published() == {None}
    assert docs.store.uri(docs.crawl.name, "succeeded", {}).endswith(f"{docs.crawl.name}/succeeded/rows.parquet")


def test_a_sharded_list_puts_each_url_into_exactly_one_shard(line, pages):
    urls = [*pages.urls(20), "nonsense"]
    docs = line(crawl(urls, shards=3))
    docs.through("shard-0", "shard-2")
    shards = [f"shard-{number}" for number in range(3)]
    got = [url for shard in shards for table in ("succeeded", "failed") for url in docs.urls(table, urls=shard)]
    assert sorted(got) == sorted(urls)
    assert len(docs.jobs) == 1


def test_the_check_run_alone_audits_everything_in_storage(line, pages, tmp_path):
    docs = line({"a": pages.urls(1), "b": pages.urls(1)})
    docs.through("a", "b")
    audit = dg.define_asset_job("audit", selection=dg.AssetSelection.checks_for_assets(docs.crawl.key("succeeded")))
    audited = dg.Definitions.merge(docs.definitions, dg.Definitions(jobs=[audit]))

    def evaluate():
        run = (
            audited.get_repository_def()
            .get_job("audit")
            .execute_in_process(instance=docs.instance, raise_on_error=False)
        )
        return next(one for one in run.get_asset_check_evaluations() if one.check_name == "conservation")

    sound = evaluate()
    assert sound.passed
    assert sound.metadata["partitions checked"].value == 2
    (tmp_path / "data" / docs.crawl.name / "failed" / "urls=b" / "rows.parquet").unlink()
    broken = evaluate()
    assert not broken.passed
    assert [row["partition"] for row in records(broken.metadata["faults"])] == ["b"]
