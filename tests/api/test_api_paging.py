"""Pages are walked to their end and every row comes once, whatever the service does about paging."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import Clock, Face, Seen, Service, job, ok, row

from thunderbit_dagster.api import DeadlineExceededError, Job, JobKind, JobPage, JobRef, JobStatus, Row, RowStatus
from thunderbit_dagster.api.paging import PageWalk, RowKeys

REF = JobRef(JobKind.DISTILL, "batch_1")


def paged(rows: list[dict], status: str = "COMPLETED", largest: int = 100, **fields: object):
    """A service that pages properly, with pages no larger than `largest`."""

    def answer(seen: Seen):
        size = min(int(seen.query["pageSize"]), largest)
        start = int(seen.query["page"]) * size
        return ok(job(status, rows[start : start + size], **fields))

    return answer


def urls(rows: list[Row]) -> list[str]:
    return [found.url for found in rows]


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
@pytest.mark.parametrize("tells_total", [True, False])
def test_all_rows_come_once(face: Face, service: Service, count: int, tells_total: bool) -> None:
    service.otherwise = paged([row(n) for n in range(count)], **({"total": count} if tells_total else {}))
    found = face.each("iter_rows", REF)
    assert urls(found) == [f"https://e.test/{n}" for n in range(count)]
    assert service.seen[0].query == {"page": "0", "pageSize": "100"}
    if tells_total:
        assert len(service.seen) == max(1, -(-count // 100))  # not one page more than needed


def test_a_service_that_ignores_paging_is_read_once(face: Face, service: Service) -> None:
    rows = [row(n) for n in range(100)]
    service.otherwise = lambda _: ok(job("COMPLETED", rows))
    assert len(face.each("iter_rows", REF)) == 100
    assert len(service.seen) == 2  # the second page brings nothing new


def test_pages_smaller_than_asked_are_walked_all_the_same(face: Face, service: Service) -> None:
    service.otherwise = paged([row(n) for n in range(45)], largest=20, total=45)
    assert len(face.each("iter_rows", REF)) == 45


def test_a_finished_job_that_lacks_rows_ends(face: Face, service: Service) -> None:
    service.otherwise = paged([row(n) for n in range(3)], total=5)
    assert len(face.each("iter_rows", REF)) == 3
    assert len(service.seen) == 2


def test_rows_that_move_between_pages_come_once(face: Face, service: Service) -> None:
    first, second = [row(n) for n in range(100)], [row(n) for n in (98, 99, 100, 101)]
    service.replies = [ok(job("COMPLETED", first, total=102)), ok(job("COMPLETED", second, total=102))]
    assert urls(face.each("iter_rows", REF)) == [f"https://e.test/{n}" for n in range(102)]


def test_an_index_that_starts_anew_on_each_page_is_not_trusted(face: Face, service: Service) -> None:
    service.otherwise = paged([{**row(n), "index": n % 100} for n in range(150)], total=150)
    assert len(face.each("iter_rows", REF)) == 150


def test_pages_come_as_they_are(face: Face, service: Service) -> None:
    service.replies = [ok(job("COMPLETED", [row(0), row(0)], total=2)), ok(job("COMPLETED", [], total=2))]
    pages = face.each("iter_pages", REF, page_size=2)
    assert [len(page.rows) for page in pages] == [2]
    assert pages[0].job.total == 2


def test_streaming_gives_each_row_when_it_is_done(face: Face, service: Service, clock: Clock) -> None:
    service.replies = [
        ok(job("PENDING", [], total=3)),
        ok(job("PROCESSING", [row(0), row(1, "PROCESSING")], total=3)),
        ok(job("PROCESSING", [row(0), row(1, "PROCESSING"), row(2, "FAILED", error="slow")], total=3)),
        ok(job("COMPLETED", [row(2, "FAILED", error="slow"), row(1), row(0)], total=3)),
    ]
    found = face.each("stream_rows", REF, interval=7.0)
    assert [(one.index, one.status) for one in found] == [
        (0, RowStatus.SUCCEEDED),
        (2, RowStatus.FAILED),
        (1, RowStatus.SUCCEEDED),
    ]
    assert clock.slept == [7.0] * 3


def test_streaming_reads_all_pages_again_once_the_job_is_over(face: Face, service: Service) -> None:
    # The job ends between the first page and the second, so the first page may be out of date.
    early, late = [row(n, "PROCESSING") for n in range(100)], [row(n) for n in range(100, 120)]
    service.replies = [
        ok(job("PROCESSING", early, total=120)),
        ok(job("COMPLETED", late, total=120)),
        ok(job("COMPLETED", [row(n) for n in range(100)], total=120)),
        ok(job("COMPLETED", late, total=120)),
    ]
    assert len(face.each("stream_rows", REF)) == 120
    assert service.replies == []


def test_streaming_without_trustworthy_indexes(face: Face, service: Service) -> None:
    a, b = row(0), {**row(1), "index": 0}
    service.replies = [
        ok(job("PROCESSING", [a], total=2)),
        ok(job("COMPLETED", [{**a, "index": 1}, b], total=2)),
    ]
    assert urls(face.each("stream_rows", REF)) == ["https://e.test/0", "https://e.test/1"]


def test_streaming_leaves_out_what_never_finished(face: Face, service: Service) -> None:
    service.otherwise = paged([row(0), row(1, "PENDING")], "CANCELLED", total=2)
    assert [one.index for one in face.each("stream_rows", REF)] == [0]


def test_streaming_ends_at_its_deadline(face: Face, service: Service, clock: Clock) -> None:
    service.otherwise = lambda _: ok(job("PROCESSING", []))
    with pytest.raises(DeadlineExceededError, match="distill/batch_1"):
        face.each("stream_rows", REF, interval=5.0, deadline=12.0)
    assert sum(clock.slept) == 10


def test_streaming_outlives_an_unknown_state(face: Face, service: Service) -> None:
    service.replies = [ok(job("ARCHIVING", [])), ok(job("COMPLETED", [row(0)]))]
    assert len(face.each("stream_rows", REF)) == 1


rows_of = st.lists(
    st.builds(
        Row,
        url=st.integers(0, 8).map(lambda n: f"https://e.test/{n}"),
        index=st.none() | st.integers(0, 8),
        status=st.sampled_from(RowStatus),
    ),
    max_size=6,
)


@given(st.lists(rows_of, max_size=8))
def test_no_row_is_given_twice_and_no_url_is_lost(pages: list[list[Row]]) -> None:
    keys, given_rows = RowKeys(), []
    for page in pages:
        given_rows += keys.fresh(page)
    every = [one for page in pages for one in page]
    assert len({(one.index, one.url) for one in given_rows}) == len(given_rows)
    if all(one.index is None for one in every):
        assert urls(given_rows) == list(dict.fromkeys(urls(every)))


@given(
    st.lists(rows_of, min_size=1, max_size=12),
    st.integers(1, 6),
    st.none() | st.integers(0, 20),
    st.sampled_from(JobStatus),
)
def test_every_walk_ends(pages: list[list[Row]], size: int, total: int | None, status: JobStatus) -> None:
    walk, job_now, read = PageWalk(size), Job(REF, status, total=total), 0
    while not walk.over:
        assert read < 20  # eight URLs in pages that each bring one at least
        walk.add(JobPage(job_now, tuple(pages[read % len(pages)]), read))
        read += 1


@given(st.integers(0, 300), st.integers(1, 100), st.booleans(), st.sampled_from(JobStatus))
def test_a_proper_service_gives_every_row(count: int, size: int, tells: bool, status: JobStatus) -> None:
    every = [Row(f"https://e.test/{n}", n, RowStatus.SUCCEEDED) for n in range(count)]
    walk, found = PageWalk(size), []
    while not walk.over:
        start = walk.number * size
        page = JobPage(Job(REF, status), tuple(every[start : start + size]), walk.number)
        found += walk.add(replace(page, job=replace(page.job, total=count if tells else None)))
    assert found == every
