"""Truth per partition: what fails takes only its own partitions with it, and the next run continues there."""

import dagster as dg
from crawl_world import crawl, failure_of, records, resource, waits

from thunderbit_dagster import UrlFile
from thunderbit_dagster.emulator import Rule


def test_a_url_source_that_cannot_be_read_fails_its_partition_alone(line, pages, tmp_path):
    listed = tmp_path / "urls.txt"
    lists = {"a": pages.urls(1), "file": UrlFile(listed), "z": pages.urls(1)}
    docs = line(crawl(lists))
    description, reasons = failure_of(docs.submit("a", "z"))
    assert "1 other" not in description
    assert "2 other partition(s) of this run are done" in description
    assert list(reasons) == ["file"]
    assert "urls.txt" in reasons["file"]
    assert docs.published("submissions") == {"a", "z"}
    docs.until_jobs_end()
    assert [run.success for run in docs.tick_and_launch()] == [True]
    assert docs.published() == {"a", "z"}

    [url] = pages.urls(1)
    listed.write_text(f"\ufeff# mine\n\n{url}\n", encoding="utf-8")
    docs.through("file")
    assert docs.urls("succeeded", urls="file") == [url]
    assert docs.published() == {"a", "file", "z"}


def test_a_url_source_that_gives_no_list_of_strings_is_named(line):
    docs = line({"text": lambda: "https://example.com/", "numbers": lambda: [1, 2]})
    _, reasons = failure_of(docs.submit("text", "numbers"))
    assert "single string" in reasons["text"]
    assert "int" in reasons["numbers"]
    assert docs.posts == 0


def test_a_storage_that_refuses_one_partition_leaves_the_others_published(line, pages, tmp_path):
    lists = {"a": pages.urls(1), "b": pages.urls(1), "c": pages.urls(1)}
    docs = line(lists)
    docs.submit("a", "c")
    docs.until_jobs_end()
    obstacle = tmp_path / "data" / docs.crawl.name / "succeeded" / "urls=b"
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("a file where a directory should be")
    [run] = docs.tick_and_launch()
    assert not run.success
    description, reasons = failure_of(run)
    assert "2 other partition(s)" in description
    assert list(reasons) == ["b"]
    assert docs.published("succeeded") == docs.published("failed") == {"a", "c"}
    assert docs.urls("succeeded", urls="a") == lists["a"]

    obstacle.unlink()
    [run] = docs.tick_and_launch()
    assert run.success
    assert docs.checks(run) == [True]
    assert docs.urls("succeeded", urls="b") == lists["b"]
    assert docs.posts == 1


def test_credits_that_run_out_between_two_jobs_fail_only_what_was_not_sent(line, pages, spoiled):
    lists = {"a": pages.urls(2), "b": pages.urls(2), "c": pages.urls(2)}
    emulator = spoiled(Rule("status", method="POST", route="/batch/*", nth=(2,), status=402))
    docs = line(crawl(lists, batch_size=3), emulator=emulator)
    description, reasons = failure_of(docs.submit("a", "c"))
    assert "INSUFFICIENT_CREDITS" in description
    assert sorted(reasons) == ["b", "c"]  # one URL of b is in the first job
    assert all("nothing was paid" in reason for reason in reasons.values())
    assert docs.published("submissions") == {"a"}
    docs.until_jobs_end()
    [run] = docs.tick_and_launch()
    assert run.success
    assert docs.published() == {"a"}

    docs.through("b", "c")
    assert docs.published() == {"a", "b", "c"}
    assert sorted(url for job in docs.sent() for url in job) == sorted(url for urls in lists.values() for url in urls)
    assert [docs.urls("succeeded", urls=name) for name in lists] == list(lists.values())


def test_an_account_without_credits_for_the_second_job_refuses_it_and_bills_the_first(line, pages, spoiled):
    lists = {"a": pages.urls(2), "b": pages.urls(2)}
    emulator = spoiled(credits=3)
    docs = line(crawl(lists, batch_size=2), emulator=emulator)
    _, reasons = failure_of(docs.submit("a", "b"))
    assert list(reasons) == ["b"]
    docs.until_jobs_end()
    assert emulator.credits_left == 1


def test_a_wrong_key_fails_every_partition_and_says_so_once(line, pages, emulator):
    wrong = resource(emulator, api_key="tb_" + "f" * 32)
    docs = line(crawl({"a": pages.urls(2), "b": pages.urls(2)}, batch_size=2), thunderbit=wrong)
    description, reasons = failure_of(docs.submit("a", "b"))
    assert "API_KEY" in description
    assert list(reasons) == ["a", "b"]
    assert docs.posts == 1


def test_collecting_what_was_never_or_only_partly_submitted_says_what_to_do(line, pages, spoiled):
    emulator = spoiled(Rule("status", method="POST", route="/batch/*", nth=(2,), status=402))
    docs = line(crawl({"half": pages.urls(2), "never": pages.urls(1)}, batch_size=1), emulator=emulator)
    docs.submit("half")
    docs.until_jobs_end()
    run = docs.collect("half", "never")
    _, reasons = failure_of(run)
    assert "incomplete" in reasons["half"]
    assert "nothing was ever submitted" in reasons["never"]
    assert docs.published() == set()


def test_a_job_that_cannot_be_read_now_fails_its_partition_and_is_read_by_the_next_run(line, pages, spoiled):
    lists = {"a": pages.urls(1), "b": pages.urls(1)}
    emulator = spoiled(Rule("status", method="GET", route="/batch/*", skip=2, nth=(1,), status=400))
    docs = line(crawl(lists, batch_size=1), emulator=emulator)
    docs.submit("a", "b")
    docs.until_jobs_end()
    [run] = docs.tick_and_launch()
    _, reasons = failure_of(run)
    assert len(reasons) == 1
    assert docs.published() == set(lists) - set(reasons)
    [run] = docs.tick_and_launch()
    assert run.success
    assert docs.published() == {"a", "b"}


def test_the_failed_step_shows_a_table_of_partitions_and_reasons(line):
    docs = line({"x": UrlFile("/nowhere/urls.txt")})
    run = docs.submit("x")
    [event] = [event for event in run.all_events if event.event_type_value == "STEP_FAILURE"]
    [row] = records(event.step_failure_data.user_failure_data.metadata["partitions that failed"])
    assert row["partition"] == "x"
    assert row["reason"].startswith("nothing was sent: ")


BACKFILL = {"dagster/backfill": "abcdefgh"}
CHECKS = {"conservation", "success_rate", "blank_documents", "duplicate_content"}


def backfill(line, **tags):
    """A run of a backfill, in which time passes only while it waits."""
    with waits(line):
        return line.materialize_all(tags={**BACKFILL, **tags})


def evaluated(docs, run):
    """The checks that the event log has of a run, which is more than a step that fails hands back."""
    events = docs.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    return {one.check_name: one for event in events if (one := event.dagster_event.event_specific_data)}


def test_in_a_backfill_the_good_partitions_are_published_before_the_run_fails(line, pages, tmp_path):
    """Dagster skips the step that collects, and a backfill does not look at what comes after its last run."""
    lists = {"a": pages.urls(2), "b": UrlFile(tmp_path / "urls.txt"), "c": pages.urls(1)}
    docs = line(crawl(lists))
    run = backfill(docs)
    description, reasons = failure_of(run)
    assert list(reasons) == ["b"]
    assert "2 other partition(s) of this run are done" in description
    assert docs.published("submissions") == docs.published("succeeded") == docs.published("failed") == {"a", "c"}
    assert docs.urls("succeeded", urls="a") == lists["a"]
    checks = evaluated(docs, run)
    assert set(checks) == CHECKS
    assert checks["conservation"].passed
    assert checks["conservation"].metadata["partitions checked"].value == 2
    assert docs.tick_and_launch() == []
    assert docs.posts == 1


def test_without_a_backfill_the_sensor_collects_what_a_failed_run_sent(line, pages, tmp_path):
    docs = line(crawl({"a": pages.urls(2), "b": UrlFile(tmp_path / "urls.txt")}))
    assert not docs.materialize_all().success
    assert docs.published("submissions") == {"a"}
    assert docs.published("succeeded") == set()
    docs.until_jobs_end()
    assert [run.success for run in docs.tick_and_launch()] == [True]
    assert docs.published("succeeded") == {"a"}


def test_what_a_backfill_can_neither_send_nor_collect_is_named_by_its_one_failure(line, pages, tmp_path):
    docs = line({"a": pages.urls(1), "b": UrlFile(tmp_path / "urls.txt"), "c": pages.urls(1)})
    obstacle = tmp_path / "data" / docs.crawl.name / "succeeded" / "urls=c"
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("a file where a directory should be")
    _, reasons = failure_of(backfill(docs))
    assert list(reasons) == ["b", "c"]
    assert docs.published("submissions") == {"a", "c"}
    assert docs.published("succeeded") == {"a"}


def test_a_repeated_run_pays_for_no_partition_that_was_collected_in_the_meantime(line, pages, tmp_path):
    listed = tmp_path / "urls.txt"
    docs = line({"a": pages.urls(2), "b": UrlFile(listed), "c": pages.urls(1)})
    failed = backfill(docs)
    [url] = pages.urls(1)
    listed.write_text(url)
    again = backfill(docs, **{"dagster/parent_run_id": failed.run_id})
    assert again.success
    assert docs.published() == {"a", "b", "c"}
    assert docs.sent()[1:] == [[url]]

    anew = backfill(docs, **{"dagster/parent_run_id": again.run_id})  # it had succeeded
    assert anew.success
    assert len(docs.sent()) == 3
    assert len(docs.sent()[-1]) == 4
