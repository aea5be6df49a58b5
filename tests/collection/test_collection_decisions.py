import json
import logging
from collections import Counter
from datetime import datetime, timezone
from itertools import count

import pytest
from decision_cases import NOW, crawl, job, name_repeats, opened_with, page, partition, record_job
from hypothesis import example, given, settings
from hypothesis import strategies as st

from thunderbit_dagster.api.codes import (
    INVALID_INPUT,
    JOB_CANCELLED,
    JOB_FAILED,
    JOB_LOST,
    MISSING_RESULT,
    NOT_FINISHED,
    JobKind,
    JobStatus,
    RowStatus,
)
from thunderbit_dagster.api.models import JobPage, JobRef, Row, RowError
from thunderbit_dagster.api.parsing import decode_json, parse_page, parse_row
from thunderbit_dagster.collection.collect import REREADS, Collection, shared_jobs
from thunderbit_dagster.collection.partition_writer import PartitionCollector
from thunderbit_dagster.collection.reconcile import ConservationError, Reconciler, check_conservation, fate
from thunderbit_dagster.collection.rows import (
    RowOrigin,
    absent_row,
    failed_row,
    price,
    rejected_row,
    succeeded_row,
)
from thunderbit_dagster.jobs.state import EXPIRED, LOST
from thunderbit_dagster.ledger.records import Intent, Refused, RejectedUrl, SentUrl
from thunderbit_dagster.ledger.submissions import apply
from thunderbit_dagster.storage.schema import content_hash
from thunderbit_dagster.storage.store import ParquetStore
from thunderbit_dagster.submission.plan import pack
from thunderbit_dagster.urls import check_urls

LOG = logging.getLogger("tests.decisions")
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
SIZE = 8
_stores = count()

# Rows of one job.

spellings = st.sampled_from(["", "#part", "?utm_source=x"])
row_urls = st.one_of(
    st.builds(page, st.integers(0, SIZE + 2), spellings), st.sampled_from(["", "not a url", "http://./"])
)
rows = st.builds(
    Row,
    url=row_urls,
    index=st.none() | st.integers(-1, SIZE + 2),
    status=st.sampled_from(list(RowStatus)),
)


@settings(max_examples=300)
@given(st.sets(st.integers(0, SIZE - 1)), st.lists(rows, max_size=30))
@example({0}, [Row("http://xn--a/", 0, RowStatus.SUCCEEDED)])
def test_each_position_is_taken_at_most_once(mine, received):
    """Whatever comes: other partitions' rows, strangers, repeats, unfinished ones, wrong or no index."""
    sent = {position: page(position) for position in mine}
    reconciler = Reconciler(SIZE, sent)
    taken = [reconciler.take(row) for row in received]
    positions = [position for position in taken if position is not None]
    assert len(set(positions)) == len(positions)
    assert reconciler.taken == set(positions)
    assert reconciler.missing == sorted(mine - set(positions))
    assert reconciler.unfinished <= set(reconciler.missing)
    for row, position in zip(received, taken, strict=True):
        if position is not None:
            assert row.status.is_terminal
            assert check_urls([row.url, sent[position]]).duplicates
    terminal = {row.url for row in received if row.status.is_terminal}
    assert {position for position in mine if page(position) in terminal} <= reconciler.taken
    assert reconciler.duplicated + reconciler.foreign + len(positions) <= len(received)


@given(st.permutations(range(SIZE)), st.booleans(), st.sets(st.integers(0, SIZE - 1)))
def test_every_row_of_ours_is_found_in_any_order(order, with_index, mine):
    reconciler = Reconciler(SIZE, {position: page(position) for position in mine})
    for position in order:
        taken = reconciler.take(Row(page(position), position if with_index else None, RowStatus.SUCCEEDED))
        assert taken == (position if position in mine else None)
    assert reconciler.missing == []
    assert reconciler.duplicated == 0
    assert reconciler.foreign == (0 if with_index else SIZE - len(mine))


def test_an_index_that_contradicts_the_url_does_not_count():
    reconciler = Reconciler(2, {0: page(0), 1: page(1)})
    assert reconciler.take(Row(page(1), 0, RowStatus.SUCCEEDED)) == 1
    assert reconciler.take(Row(page(0), 1, RowStatus.FAILED)) == 0


def test_an_unfinished_row_waits_for_its_end():
    reconciler = Reconciler(1, {0: page(0)})
    assert reconciler.take(Row(page(0), 0, RowStatus.PROCESSING)) is None
    assert reconciler.unfinished == {0}
    reconciler.begin_reading()
    assert reconciler.take(Row(page(0, "#part"), None, RowStatus.FAILED)) == 0
    assert reconciler.unfinished == set()
    assert reconciler.take(Row(page(0), 0, RowStatus.SUCCEEDED)) is None
    assert (reconciler.duplicated, reconciler.foreign) == (1, 0)


positions = st.integers(0, 6)


@given(st.sets(positions), st.lists(positions, max_size=10))
@example({0, 1}, [0, 1])
@example({0, 1}, [0, 1, 1])
@example({0, 1}, [0])
@example({0, 1}, [0, 1, 2])
def test_conservation_is_equality_of_counts(submitted, written):
    if Counter(submitted) == Counter(written):
        check_conservation(submitted, written)
        return
    with pytest.raises(ConservationError) as raised:
        check_conservation(submitted, written)
    told = str(raised.value)
    assert f"{len(submitted)} URLs were submitted" in told
    assert f"{len(submitted - set(written))} have no row" in told
    assert f"{len(set(written) - submitted)} rows belong to no URL" in told
    assert f"{len(written) - len(set(written))} rows are repeated" in told
    assert "Nothing was published" in told


@pytest.mark.parametrize(
    ("job_status", "status", "code"),
    [
        ("COMPLETED", "MISSING", MISSING_RESULT),
        ("FAILED", "CANCELLED", JOB_FAILED),
        ("CANCELLED", "CANCELLED", JOB_CANCELLED),
        (LOST, "MISSING", JOB_LOST),
        (EXPIRED, "NOT_FINISHED", NOT_FINISHED),
    ],
)
def test_why_a_row_is_missing(job_status, status, code):
    why = fate("distill/7", job_status)
    assert (why.status, why.code) == (status, code)
    assert "distill/7" in why.message
    row = absent_row(SentUrl(job_position=0, position=3, url=page(1)), ORIGIN, why)
    assert (row["error_class"], row["retryable"], row["position"]) == ("job", True, 3)


# Rows into columns.

ITEM = SentUrl(job_position=2, position=5, url=page(1, "#part"), sent=page(1))
ORIGIN = RowOrigin(
    ref=JobRef(JobKind.DISTILL, "batch_1"),
    attempt=1,
    submitted_at=NOON,
    completed_at=None,
    collected_at=NOON,
    submission_id="s1",
    run_id="r1",
)


def publish(*, succeeded=(), failed=()):
    """Write rows through the real store and read them back."""
    store = ParquetStore(f"memory://decisions-{next(_stores)}")
    with store.open_partition("docs", {}) as writer:
        for row in succeeded:
            writer.write_succeeded(row)
        for row in failed:
            writer.write_failed(row)
        writer.commit({"submission_id": "s1"})
    return [store.read("docs", table, {}).to_pylist() for table in ("succeeded", "failed")]


SHAPES = [
    {"url": "u", "index": 0, "status": "SUCCEEDED", "markdown": "# A", "metadata": {"title": "A", "statusCode": 200}},
    {"url": "u", "status": "completed", "data": {"markdown": "# A"}},
    {"url": "u", "success": True, "markdown": ""},
    {"url": "u", "status": "SUCCEEDED", "markdown": "a\ud800b\x00", "metadata": {"title": "\udfff", "list": [1, None]}},
    {"url": "u", "status": "SUCCEEDED", "markdown": "x", "links": [{"text": "t", "href": "/a"}, "/b", {"href": 3}]},
    {
        "url": "u",
        "status": "SUCCEEDED",
        "images": [{"src": "a.png", "width": 640, "height": None}, {"width": "9", "height": 1.5}, "b.png"],
    },
    {
        "url": "u",
        "status": "SUCCEEDED",
        "images": [{"src": "a", "width": 2**40, "height": -1}, {"src": "b", "width": True}],
    },
    {"url": "u", "status": "SUCCEEDED", "summary": "s", "answer": "a", "highlights": ["h", None, 3]},
    {"url": "u", "status": "SUCCEEDED", "data": [{"price": 3.5, "name": "ä"}, {}]},
    {"url": "u", "status": "SUCCEEDED", "data": {"data": [{"a": None}]}},
    {"url": "u", "status": "SUCCEEDED", "data": []},
    {"url": "u", "status": "SUCCEEDED", "markdown": "x", "colour": {"deep": [1, {"b": 2}]}},
    {"url": "u", "status": "SUCCEEDED"},
]


@pytest.mark.parametrize("kind", JobKind)
@pytest.mark.parametrize("shape", SHAPES, ids=range(len(SHAPES)))
def test_every_shape_of_a_row_is_stored(shape, kind):
    row = parse_row(shape, kind, JobStatus.COMPLETED)
    assert row.status is RowStatus.SUCCEEDED
    (stored,), nothing = publish(succeeded=[succeeded_row(row, ITEM, ORIGIN)])
    assert nothing == []
    assert (stored["url"], stored["canonical_url"]) == (page(1, "#part"), page(1))
    assert (stored["position"], stored["job_position"]) == (5, 2)
    assert isinstance(json.loads(stored["metadata"]), dict)
    assert (stored["data"] is None) == (row.data is None)
    text = row.markdown if row.markdown is not None else stored["data"] or "[]"
    assert stored["content_hash"] == content_hash(text)
    assert (stored["extra"] is None) == (not row.extra)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(st.characters(), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
fields = ["markdown", "html", "summary", "answer", "data", "links", "images", "highlights", "metadata", "error", "more"]
shapes = st.dictionaries(st.sampled_from(fields), json_values, max_size=6)


@settings(max_examples=150, deadline=None)
@given(shapes, st.sampled_from(list(JobKind)), st.sampled_from(["SUCCEEDED", "FAILED", "CANCELLED"]))
@example({"data": [{"price": float("inf")}]}, JobKind.EXTRACT, "SUCCEEDED")
def test_any_json_is_stored(shape, kind, status):
    """Also numbers that JSON text can hold and JSON columns cannot, such as 1e999."""
    body = {"data": {"status": "COMPLETED", "results": [{**shape, "url": page(1), "status": status}]}}
    sent = json.dumps(body).replace("Infinity", "1e999")
    (row,) = parse_page(decode_json(sent.encode()), JobRef(kind, "batch_1"), 0).rows
    if row.status is RowStatus.SUCCEEDED:
        (stored,), _ = publish(succeeded=[succeeded_row(row, ITEM, ORIGIN)])
        for column in ("data", "metadata", "extra"):
            if stored[column] is not None:
                json.loads(stored[column], parse_constant=_not_json)
    else:
        _, (stored,) = publish(failed=[failed_row(row, ITEM, ORIGIN)])
        assert stored["error_code"]
        assert stored["error_class"] in {"permanent", "transient", "budget", "job"}


def _not_json(word):
    raise AssertionError(f"{word} is not JSON")


@pytest.mark.parametrize(
    ("error", "code", "error_class", "retryable"),
    [
        ({"code": "SCRAPE_TIMEOUT", "message": "slow"}, "SCRAPE_TIMEOUT", "transient", True),
        ({"code": "SCRAPE_TARGET_NOT_FOUND", "message": "404"}, "SCRAPE_TARGET_NOT_FOUND", "permanent", False),
        ({"code": "INSUFFICIENT_CREDITS", "message": "x"}, "INSUFFICIENT_CREDITS", "budget", True),
        ({"code": "SOMETHING_NEW", "message": "x"}, "SOMETHING_NEW", "transient", True),
        ("it broke", "UNKNOWN", "transient", True),
        (None, "UNKNOWN", "transient", True),
    ],
)
def test_a_failed_row_says_why_and_whether_a_retry_helps(error, code, error_class, retryable):
    row = parse_row({"url": page(1), "status": "FAILED", "error": error}, JobKind.DISTILL)
    _, (stored,) = publish(failed=[failed_row(row, ITEM, ORIGIN)])
    assert (stored["error_code"], stored["error_class"], stored["retryable"]) == (code, error_class, retryable)
    assert stored["error_message"]
    assert stored["status"] == "FAILED"


def test_a_cancelled_and_a_refused_row():
    cancelled = failed_row(Row(page(1), 0, RowStatus.CANCELLED), ITEM, ORIGIN)
    refused = rejected_row(RejectedUrl(position=4, url="\ud800 not a url", reason="no"), NOON, "s1", "r1")
    _, stored = publish(failed=[cancelled, refused])
    assert [row["error_code"] for row in stored] == [JOB_CANCELLED, INVALID_INPUT]
    assert [row["retryable"] for row in stored] == [True, False]
    assert (stored[1]["job_id"], stored[1]["canonical_url"], stored[1]["status"]) == (None, None, "REJECTED")


@pytest.mark.parametrize(
    ("kind", "row", "credits"),
    [
        (JobKind.DISTILL, {}, 1),
        (JobKind.EXTRACT, {}, 20),
        (JobKind.DISTILL, {"summary": "s"}, 5),
        (JobKind.DISTILL, {"summary": "", "answer": "", "highlights": []}, 1),
        (JobKind.DISTILL, {"summary": "s", "answer": "a", "highlights": ["h"]}, 13),
        (JobKind.EXTRACT, {"answer": "a"}, 24),
    ],
)
def test_the_price_list(kind, row, credits):  # noqa: A002 - the column's name
    assert price(kind, Row(page(1), 0, RowStatus.SUCCEEDED, **row)) == credits


# A partition, from its submission to its files.


def collector_of(submission):
    store = ParquetStore(f"memory://decisions-{next(_stores)}")
    return PartitionCollector(partition("a"), submission, store.open_partition("docs", {"urls": "a"}), "r1"), store


def finished(number, **fields):
    return Row(page(number), None, RowStatus.SUCCEEDED, markdown=f"# {number}", **fields)


def test_a_repeat_gets_the_row_of_its_page_for_nothing():
    checked, submission = opened_with([page(1), page(1, "#part"), "bad url"])
    record_job(submission, checked.wanted)
    name_repeats(submission, checked)
    collector, store = collector_of(submission)
    (item,) = submission.covered.values()
    collector.take(finished(1), item, ORIGIN)
    report = collector.finish(NOON)
    assert (report.submitted, report.succeeded, report.failed, report.credits_estimated) == (3, 2, 1, 1)
    stored = store.read("docs", "succeeded", {"urls": "a"}).to_pylist()
    assert [(row["url"], row["credits"]) for row in stored] == [(page(1), 1), (page(1, "#part"), 0)]
    assert len({row["content_hash"] for row in stored}) == 1


@pytest.mark.parametrize("status", [RowStatus.FAILED, RowStatus.CANCELLED])
def test_a_repeat_of_a_failed_page_fails_with_it(status):
    checked, submission = opened_with([page(1), page(1)])
    record_job(submission, checked.wanted)
    name_repeats(submission, checked)
    collector, store = collector_of(submission)
    collector.take(Row(page(1), 0, status, error=RowError("SCRAPE_TIMEOUT", "slow")), submission.covered[0], ORIGIN)
    assert collector.finish(NOON).failed == 2
    assert store.pair("docs", {"urls": "a"}).consistent


def test_a_repeat_of_a_page_that_the_api_refused_is_refused_with_it():
    """Else the partition could never be published: one of its URLs would have no row."""
    checked, submission = opened_with([page(1), page(1)])
    item = SentUrl(job_position=0, position=0, url=page(1))
    apply(submission, Intent(submission_id="s1", intent_id="x", size=1, items=(item,)))
    apply(submission, Refused(submission_id="s1", intent_id="x", code="INVALID_URL", message="no"))
    name_repeats(submission, checked)
    collector, _ = collector_of(submission)
    assert collector.finish(NOON).failed == 2


def test_a_url_without_a_row_is_not_published():
    checked, submission = opened_with([page(1), page(2)])
    record_job(submission, checked.wanted)
    collector, store = collector_of(submission)
    collector.take(finished(1), submission.covered[0], ORIGIN)
    with pytest.raises(ConservationError, match="1 have no row"):
        collector.finish(NOON)
    collector.abort()
    assert store.pair("docs", {"urls": "a"}).succeeded is None


class Service:
    """Gives the pages of a job, a list of rows for each reading."""

    def __init__(self, *readings, status=JobStatus.COMPLETED):
        self.readings = list(readings)
        self.status = status
        self.read = 0

    def iter_pages(self, _ref, **_):
        rows_now = self.readings[min(self.read, len(self.readings) - 1)]
        self.read += 1
        yield JobPage(job(1, self.status, total=len(rows_now)), tuple(rows_now), 0)


def collect(service, submissions, **settings_):
    slept = []
    collection = Collection(
        client=service,
        store=ParquetStore(f"memory://decisions-{next(_stores)}"),
        crawl_name=crawl().name,
        run_id="r1",
        log=LOG,
        clock=lambda: NOW,
        sleep=slept.append,
        **settings_,
    )
    return collection, collection.collect(submissions), slept


def submitted(listed):
    checked, submission = opened_with(listed)
    record_job(submission, checked.wanted)
    return submission


def test_a_job_that_completed_with_a_row_unfinished_is_read_again():
    unfinished = [finished(1), Row(page(2), 1, RowStatus.PROCESSING)]
    service = Service(unfinished, [finished(1), finished(2)])
    _, reports, slept = collect(service, {partition("a"): submitted([page(1), page(2)])})
    report = reports[partition("a")]
    assert (report.succeeded, report.failed, service.read, len(slept)) == (2, 0, 2, 1)
    # The API sent no row twice; it was asked twice.
    assert report.duplicated == 0


def test_rows_that_never_finish_are_missing_in_the_end():
    service = Service([finished(1), Row(page(2), 1, RowStatus.PROCESSING)])
    _, reports, slept = collect(service, {partition("a"): submitted([page(1), page(2)])})
    report = reports[partition("a")]
    assert (report.succeeded, report.failed, len(slept)) == (1, 1, REREADS)
    assert list(report.failures) == [(MISSING_RESULT, "job")]


def test_a_job_that_runs_is_no_result():
    service = Service([finished(1)], status=JobStatus.PROCESSING)
    collection, reports, _ = collect(service, {partition("a"): submitted([page(1)])})
    assert reports == {}
    assert "still PROCESSING" in collection.problems[partition("a")]
    kept, reports, _ = collect(
        Service([finished(1)], status=JobStatus.PROCESSING),
        {partition("a"): (late := submitted([page(1), page(2)]))},
        known={late.jobs[0].job: EXPIRED},
    )
    assert kept.problems == {}
    assert reports[partition("a")].succeeded == 1
    assert list(reports[partition("a")].failures) == [(NOT_FINISHED, "job")]


def test_a_job_that_partitions_share_is_read_once():
    both = {partition(key): check_urls(listed) for key, listed in {"a": [page(1)], "b": [page(2), page(1)]}.items()}
    (batch,) = pack({where: checked.wanted for where, checked in both.items()}, 100)
    submissions = {}
    for where, checked in both.items():
        submissions[where] = opened_with([url.url for url in checked.wanted])[1]
        items = batch.items(where)
        wanted = [checked.wanted[item.position] for item in items]
        record_job(submissions[where], wanted, size=2)
        (post,) = submissions[where].posts.values()
        post.intent = post.intent.model_copy(update={"items": items})
        post.recorded = post.recorded.model_copy(update={"job": "distill/shared"})
    (shared,) = shared_jobs(submissions)
    assert shared.sent == {0: page(1), 1: page(2)}
    service = Service([finished(2), finished(1)])
    _, reports, _ = collect(service, submissions)
    assert service.read == 1
    assert {where.key: (one.submitted, one.succeeded) for where, one in reports.items()} == {"a": (1, 1), "b": (2, 2)}


def test_a_submission_without_jobs_is_published_as_refusals():
    _, reports, _ = collect(Service([]), {partition("a"): submitted(["bad url", ""])})
    assert (reports[partition("a")].submitted, reports[partition("a")].failed) == (2, 2)


def ended(index, url=None, status=RowStatus.SUCCEEDED):
    return Row(url or page(index), index, status, markdown="x")


def late(given, size=4):
    reconciler = Reconciler(size, {number: page(number) for number in range(size)})
    for row in given:
        reconciler.take(row)
    return reconciler, reconciler.take_late()


def test_rows_whose_urls_end_elsewhere_are_placed_by_a_complete_set_of_indices():
    final = "https://elsewhere.example/home"
    reconciler, placed = late([ended(0), ended(1, final), ended(2), ended(3, final)])
    assert [(position, row.metadata["sourceURL"], row.extra) for position, row in placed] == [
        (1, final, {"matched_by": "index"}),
        (3, final, {"matched_by": "index"}),
    ]
    assert (reconciler.missing, reconciler.foreign) == ([], 0)


@pytest.mark.parametrize(
    "given",
    [
        [ended(0), ended(1, "https://elsewhere.example/")],
        [ended(0), ended(1, "https://elsewhere.example/"), ended(2), ended(7)],
        [ended(0), ended(1, "https://elsewhere.example/"), ended(1, "https://elsewhere.example/b"), ended(3)],
        [ended(3, page(0)), ended(1, "https://elsewhere.example/"), ended(2), ended(0, page(3))],
        [ended(0), Row("https://elsewhere.example/", None, RowStatus.SUCCEEDED), ended(2), ended(3)],
    ],
    ids=["not all are there", "one beyond the job", "one index twice", "indices and URLs disagree", "one without"],
)
def test_indices_that_are_not_a_complete_fitting_set_place_nothing(given):
    reconciler, placed = late(given)
    assert placed == []
    assert 1 in reconciler.missing


def test_a_job_that_partitions_share_is_placed_by_the_indices_of_all_its_rows():
    reconciler = Reconciler(3, {1: page(1)})
    for row in (ended(0), ended(1, "https://elsewhere.example/"), ended(2)):
        reconciler.take(row)
    assert [position for position, _ in reconciler.take_late()] == [1]
