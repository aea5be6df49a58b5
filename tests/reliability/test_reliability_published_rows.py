"""Promise 1: what a submission has published is never replaced by less of the same submission."""

import errno
import re
import threading
from contextlib import ExitStack
from dataclasses import replace
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from altered_answers import AlteredAnswers, error, job, rows
from crawl_world import Line, crawl, failure_of, new_instance, one_partition, records, resource
from pydantic import BaseModel

from thunderbit_dagster import Extract
from thunderbit_dagster.ledger.event_log import SUBMISSIONS_KEY, LedgerReader
from thunderbit_dagster.storage.local import StagedFile

PROVENANCE = ("run_id", "collected_at", "completed_at")

ANSWERS = {
    "404": lambda _: error(404, "JOB_NOT_FOUND"),
    "410": lambda _: error(410, "JOB_EXPIRED"),
    "empty": lambda data: job(data, results=[]),
    "null": lambda data: job(data, results=None),
    "FAILED": lambda data: job(
        data,
        status="FAILED",
        results=rows(data, status="FAILED", markdown=None, error={"code": "INTERNAL_ERROR", "message": "broken"}),
    ),
    "CANCELLED": lambda data: job(data, status="CANCELLED", results=rows(data, status="CANCELLED", markdown=None)),
    "no text": lambda data: job(data, results=rows(data, status="SUCCEEDED", markdown=None, error=None)),
    "fewer rows": lambda data: job(data, results=data["results"][:1]),
}
MORE_ANSWERS = {
    "FAILED without rows": lambda data: job(data, status="FAILED", results=[]),
    "CANCELLED without rows": lambda data: job(data, status="CANCELLED", results=None),
    "blank text": lambda data: job(data, results=rows(data, status="SUCCEEDED", markdown="", error=None)),
    "half of the text": lambda data: job(
        data, results=[{**row, "markdown": row["markdown"][:5]} for row in data["results"] if row.get("markdown")]
    ),
    "pending rows": lambda data: job(data, results=rows(data, status="PENDING", markdown=None)),
    "other reasons": lambda data: job(
        data, results=rows(data, status="FAILED", markdown=None, error={"code": "SCRAPE_TIMEOUT", "message": "slow"})
    ),
}


@pytest.fixture(scope="module")
def front(emulator):
    with AlteredAnswers(emulator.base_url).serving() as front:
        yield front


@pytest.fixture(scope="module")
def published(front, emulator, pages, tmp_path_factory):
    """Makes, once for each name, a collected partition: pages, one that is not there, a repeated and a refused URL."""
    made = {}
    instances = ExitStack()

    def make(name):
        if name not in made:
            urls = pages.urls(3)
            listed = [*urls, *pages.urls(1, "missing"), urls[0] + "#part", "nonsense"]
            thunderbit = resource(emulator, base_url=front.base_url)
            root = tmp_path_factory.mktemp(name)
            instance = instances.enter_context(new_instance(root, spare=True))
            docs = Line(instance, emulator, root, [one_partition(listed)], thunderbit)
            docs.through()
            made[name] = docs
        return made[name]

    with instances:
        yield make


def behind(front, line, emulator, *crawls, **options):
    """A code location that speaks to the emulator through the server in front of it."""
    return line(*crawls, thunderbit=resource(emulator, base_url=front.base_url), **options)


def stored(docs, **dimensions):
    """Every row of both tables, but for when it was collected and by whom."""
    tables = {table: docs.rows(table, **dimensions) for table in ("succeeded", "failed")}
    return {
        table: [{name: value for name, value in row.items() if name not in PROVENANCE} for row in found]
        for table, found in tables.items()
    }


def delete_runs(docs, kind=""):
    for run in docs.instance.get_runs():
        if run.job_name.startswith(f"{docs.crawl.name}_{kind}"):
            docs.instance.delete_run(run.run_id)


def by_hand(docs):
    return [docs.collect()]


def by_the_sensor(docs):
    """The log tells nothing of the collection, and no run is there to say that it was asked for."""
    delete_runs(docs, "collect")
    docs.instance.wipe_assets([SUBMISSIONS_KEY, docs.crawl.key("failed")])
    docs.cursor = None
    return docs.tick_and_launch()


def after_deleting_the_run(docs):
    delete_runs(docs)
    return [*docs.tick_and_launch(), docs.collect()]


def after_wiping_failed(docs):
    docs.instance.wipe_assets([docs.crawl.key("failed")])
    return [*docs.tick_and_launch(), docs.collect()]


def after_losing_the_cursor(docs):
    docs.cursor = None
    return [*docs.tick_and_launch(), docs.collect()]


WAYS = [by_hand, by_the_sensor, after_deleting_the_run, after_wiping_failed, after_losing_the_cursor]


def rows_stay(docs, front, change, again):
    before, jobs = stored(docs), docs.emulator.jobs[:]
    assert len(before["succeeded"]) == 4
    assert [row["error_code"] for row in before["failed"]] == ["SCRAPE_TARGET_NOT_FOUND", "INVALID_INPUT"]
    with front.answering(change):
        runs = again(docs)
    assert runs
    assert all(run.success for run in runs)
    assert stored(docs) == before
    assert docs.store.pair(docs.crawl.name, {"urls": "all"}).consistent
    assert docs.checks(runs[-1]) == [True]
    assert docs.emulator.jobs == jobs
    counts = [docs.metadata(table, "all")["dagster/partition_row_count"].value for table in ("succeeded", "failed")]
    assert counts == [4, 2]


def pairs():
    """Every answer in every way: each answer and each way once in the fast tests, the others in the slow ones."""
    for at, answer in enumerate(ANSWERS):
        for way in WAYS:
            is_fast = way is WAYS[at % len(WAYS)]
            name = f"{answer}-{way.__name__}"
            yield pytest.param(answer, way, id=name, marks=() if is_fast else pytest.mark.slow)


@pytest.mark.parametrize(("answer", "again"), list(pairs()))
def test_rows_stay_whatever_the_api_says_of_their_job_later(published, front, answer, again):
    rows_stay(published(again.__name__), front, ANSWERS[answer], again)


@pytest.mark.parametrize("answer", MORE_ANSWERS)
def test_rows_stay_although_more_is_left_of_the_answer(published, front, answer):
    rows_stay(published(by_hand.__name__), front, MORE_ANSWERS[answer], by_hand)


def test_what_stays_and_why_is_said_in_the_metadata_and_in_the_log_of_the_run(published, front):
    docs = published(by_hand.__name__)
    with front.answering(ANSWERS["fewer rows"]):
        run = docs.collect()
    for table in ("succeeded", "failed"):
        metadata = docs.metadata(table, "all")
        assert metadata["rows kept from before"].value == 3
        assert records(metadata["rows kept, by new result"]) == [
            {"the API now returns": "MISSING (MISSING_RESULT)", "rows": 3}
        ]
    assert "all: 3 row(s) that this submission published before are kept" in said(docs, run)
    assert docs.collect().success
    assert "rows kept from before" not in docs.metadata("succeeded", "all")


def said(docs, run):
    return "\n".join(entry.user_message for entry in docs.instance.all_logs(run.run_id))


def path_of(docs, table="succeeded", key="all"):
    return docs.root / "data" / docs.crawl.name / table / f"urls={key}" / "rows.parquet"


def edit(docs, *, positions=None, **footer):
    """Write both files again, with other metadata (None removes a key) or other positions of the pages."""
    for table in ("succeeded", "failed"):
        path = path_of(docs, table)
        rows = pq.ParquetFile(path).read().replace_schema_metadata(None)
        metadata = {**pq.read_metadata(path).metadata, **{key.encode(): value for key, value in footer.items()}}
        metadata.pop(b"ARROW:schema")
        if positions and table == "succeeded":
            place = rows.schema.get_field_index("position")
            rows = rows.set_column(place, rows.schema.field(place), pa.array(positions, pa.int32()))
        with pq.ParquetWriter(path, rows.schema) as writer:
            writer.write_table(rows)
            writer.add_key_value_metadata({key: value for key, value in metadata.items() if value is not None})


def test_what_was_missing_or_failed_improves_and_pages_stay(line, front, emulator, pages):
    urls = pages.urls(3)
    docs = behind(front, line, emulator, one_partition(urls))
    with front.answering(ANSWERS["fewer rows"]):
        docs.through()
    assert docs.codes() == [("MISSING", "MISSING_RESULT", "job")] * 2
    with front.answering(lambda data: job(data, results=data["results"][1:])):
        assert docs.collect().success
    assert docs.urls("succeeded") == urls
    assert docs.urls("failed") == []


def test_a_reason_of_the_url_itself_takes_the_place_of_a_missing_row(line, front, emulator, pages):
    docs = behind(front, line, emulator, one_partition([*pages.urls(1), *pages.urls(1, "missing")]))
    with front.answering(ANSWERS["fewer rows"]):
        docs.through()
    assert docs.collect().success
    assert docs.codes() == [("FAILED", "SCRAPE_TARGET_NOT_FOUND", "permanent")]


def test_a_new_crawl_replaces_what_was_published_also_by_less(line, front, emulator, pages):
    docs = behind(front, line, emulator, one_partition(pages.urls(2)))
    docs.through()
    with front.answering(ANSWERS["empty"]):
        docs.through()
    assert docs.urls("succeeded") == []
    assert docs.codes() == [("MISSING", "MISSING_RESULT", "job")] * 2


def test_a_publication_interrupted_between_the_tables_is_repaired_after_the_job_expired(line, front, emulator, pages):
    docs = behind(front, line, emulator, one_partition([*pages.urls(3), *pages.urls(1, "missing")]))
    docs.through()
    before, publish, published = stored(docs), StagedFile.publish, []

    def interrupted(file):
        published.append(file)
        if len(published) == 2:
            raise OSError(errno.EIO, "Input/output error")
        publish(file)

    with mock.patch.object(StagedFile, "publish", interrupted):
        assert not docs.collect().success
    assert not docs.store.pair(docs.crawl.name, {"urls": "all"}).consistent
    with front.answering(ANSWERS["410"]):
        assert docs.collect().success
    assert stored(docs) == before
    assert docs.store.pair(docs.crawl.name, {"urls": "all"}).consistent


def test_of_two_partitions_in_one_job_the_published_one_keeps_its_rows(line, front, emulator, pages):
    lists = {"a": pages.urls(2), "b": pages.urls(2)}
    docs = behind(front, line, emulator, crawl(lists))
    assert docs.submit("a", "b").success
    docs.until_jobs_end()
    assert len(docs.jobs) == 1
    assert docs.collect("a").success
    with front.answering(ANSWERS["404"]):
        assert docs.collect("a", "b").success
    assert docs.urls("succeeded", urls="a") == lists["a"]
    assert docs.urls("failed", urls="b") == lists["b"]


class Product(BaseModel):
    name: str
    price: float


class Grown(Product):
    price: str
    colour: str | None = None


SHOP = (
    "<html><head><title>Shop</title></head><body><main><h1>Shop</h1><table><tr><th>name</th><th>price</th></tr>"
    "<tr><td>Lamp</td><td>12.5</td></tr><tr><td>Chair</td><td>40</td></tr></table></main></body></html>"
)


def test_extracted_items_stay_and_are_typed_by_the_schema_of_today(line, front, emulator, pages):
    urls = [pages.page(SHOP), *pages.urls(1, "missing")]
    shop = behind(front, line, emulator, one_partition(urls, request=Extract(schema=Product)))
    shop.through()
    before = shop.rows("succeeded")
    assert [len(row["items"]) for row in before] == [2]

    def fewer_items(data):
        return job(data, results=[{**row, "data": row["data"][:1]} for row in data["results"] if "data" in row])

    for change in (ANSWERS["404"], fewer_items, lambda data: job(data, results=rows(data, data=[]))):
        with front.answering(change):
            run = shop.collect()
        assert shop.checks(run) == [True, True]
        assert [row["items"] for row in shop.rows("succeeded")] == [row["items"] for row in before]
        assert shop.codes() == [("FAILED", "SCRAPE_TARGET_NOT_FOUND", "permanent")]
        assert shop.metadata("succeeded", "all")["items"].value == 2

    other = replace(shop.crawl, request=Extract(schema=Grown))
    grown = behind(front, line, emulator, other)
    with front.answering(ANSWERS["404"]):
        assert grown.collect().success
    [row] = grown.rows("succeeded")
    assert row["data"] == before[0]["data"]
    assert [set(item) for item in row["items"]] == [{"name", "price", "colour"}] * 2


def test_readers_see_all_rows_while_a_partition_is_collected_again_and_again(line, front, emulator, pages):
    urls = pages.urls(4)
    docs = behind(front, line, emulator, one_partition(urls))
    docs.through()
    seen, done = [], threading.Event()

    def read():
        while not done.is_set():
            seen.append(docs.urls("succeeded"))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for answer in ("404", "empty", "no text"):
            with front.answering(ANSWERS[answer]):
                assert docs.collect().success
    finally:
        done.set()
        reader.join()
    assert seen
    assert all(found == urls for found in seen)


def test_what_another_run_publishes_meanwhile_stays(line, front, emulator, pages):
    docs = behind(front, line, emulator, one_partition(pages.urls(2)))
    docs.through()
    full = {table: path_of(docs, table).read_bytes() for table in ("succeeded", "failed")}
    for table in full:
        path_of(docs, table).unlink()

    def meanwhile(_):
        for table, content in full.items():
            path_of(docs, table).write_bytes(content)
        return error(404, "JOB_NOT_FOUND")

    with front.answering(meanwhile):
        _, reasons = failure_of(docs.collect())
    assert "another run has published this partition meanwhile" in reasons["all"]
    assert len(docs.urls("succeeded")) == 2


def test_a_damaged_file_of_this_submission_is_left_for_somebody_to_restore(line, front, emulator, pages):
    docs = behind(front, line, emulator, one_partition(pages.urls(2)))
    docs.through()
    whole = path_of(docs).read_bytes()
    path_of(docs).write_bytes(whole[: len(whole) // 2])
    with front.answering(ANSWERS["404"]):
        _, reasons = failure_of(docs.collect())
    assert "nothing was replaced" in reasons["all"]
    assert str(path_of(docs)) in reasons["all"]
    path_of(docs).unlink()
    assert docs.collect().success
    assert len(docs.urls("succeeded")) == 2


def test_a_damaged_file_does_not_stop_a_new_crawl(line, front, emulator, pages):
    docs = behind(front, line, emulator, one_partition(pages.urls(2)))
    docs.through()
    for table in ("succeeded", "failed"):
        path_of(docs, table).write_bytes(b"")
    [run] = docs.through()
    assert len(docs.urls("succeeded")) == 2
    assert "It will be replaced" in said(docs, run)


def test_a_file_of_a_newer_version_stays_as_it_is_until_a_new_crawl(line, front, emulator, pages):
    docs = behind(front, line, emulator, one_partition(pages.urls(2)))
    docs.through()
    edit(docs, schema_version=b"2")
    content = path_of(docs).read_bytes()
    _, reasons = failure_of(docs.collect())
    assert "written by a newer version of this package" in reasons["all"]
    assert path_of(docs).read_bytes() == content
    docs.through()
    assert docs.store.footer(docs.crawl.name, "succeeded", {"urls": "all"}).metadata["schema_version"] == "1"


def test_rows_that_the_event_log_does_not_know_are_not_dropped(line, front, emulator, pages):
    docs = behind(front, line, emulator, one_partition(pages.urls(2)))
    docs.through()
    edit(docs, positions=[0, 7])
    _, reasons = failure_of(docs.collect())
    assert "1 row(s) of this submission for URLs that the event log does not list" in reasons["all"]


@pytest.fixture
def two(line, front, emulator, pages, tmp_path):
    """Two deployments of one crawl on one store: each with a Dagster instance of its own."""
    urls = pages.urls(3)
    homes = [tmp_path / "older", tmp_path / "newer"]
    for home in homes:
        home.mkdir()
    with new_instance(homes[0], spare=True) as first, new_instance(homes[1], spare=True) as second:
        older = behind(front, line, emulator, one_partition(urls[:1]), instance=first)
        newer = behind(front, line, emulator, replace(older.crawl, urls={"all": urls}), instance=second)
        yield older, newer


def test_of_two_deployments_on_one_store_the_newer_submission_stays(two):
    older, newer = two
    assert older.submit().success
    older.until_jobs_end()
    newer.through()
    [run] = older.tick_and_launch()
    description, reasons = failure_of(run)
    ids = [submission_id(docs) for docs in two]
    assert ids[0] != ids[1]
    assert "all" in description
    for word in (*ids, "a newer submission is published there", "another store or crawl name"):
        assert word in reasons["all"]
    assert len(re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00", reasons["all"])) == 2
    assert len(newer.urls("succeeded")) == 3
    assert older.published() == older.published("succeeded") == set()
    assert not older.tick_and_launch(), "asked for again, of no use"


def test_a_deployment_whose_submission_was_superseded_can_crawl_anew(two):
    older, newer = two
    assert older.submit().success
    newer.through()
    older.until_jobs_end()
    assert not older.tick_and_launch()[0].success
    older.through()
    assert len(older.jobs) == 3
    assert len(older.urls("succeeded")) == 1
    assert older.published() == {"all"}


def test_a_newer_submission_without_a_url_replaces_what_another_deployment_published(two):
    emptied, other = two
    other.through()
    emptied.crawls = [crawl({"all": []}, name=emptied.crawl.name)]
    emptied.through()
    assert emptied.rows("succeeded") == emptied.rows("failed") == []


def test_files_of_versions_that_told_no_time_are_replaced(two):
    older, newer = two
    assert older.submit().success
    newer.through()
    edit(newer, submission_time=None)
    older.until_jobs_end()
    assert older.tick_and_launch()[0].success
    assert len(older.urls("succeeded")) == 1


def test_a_clock_that_steps_back_does_not_hold_back_a_deployments_own_next_crawl(line, front, emulator, pages):
    docs = behind(front, line, emulator, one_partition(pages.urls(2)))
    docs.through()
    edit(docs, submission_time=b"2999-01-01T00:00:00+00:00")
    [run] = docs.through()
    assert run.success
    assert "2999" not in docs.store.footer(docs.crawl.name, "succeeded", {"urls": "all"}).metadata["submission_time"]


def submission_id(docs):
    return LedgerReader(docs.instance, docs.crawl).submissions(["all"])["all"].id
