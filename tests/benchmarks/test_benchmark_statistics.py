"""What is counted, and how repeated measurements become few numbers."""

import pytest

from benchmarks.journal import AskedRequest, HeldJob, Journal
from benchmarks.outcome import (
    Delivered,
    Spread,
    count_rows,
    noticing_seconds,
    publishing_seconds,
    requests_by_kind,
)
from benchmarks.pages import Site, urls
from benchmarks.report import BEGIN, END, NOTHING, write
from benchmarks.stats import Summary, number_at, shown

SITE = Site(failure_rate=0.0, body_bytes=50)


def job(name="a", listed=(), ended_at=10.0):
    return HeldJob(name, listed, 0.0, 0.0, ended_at, "COMPLETED")


def asked(at, status=200, kind="status", name="a"):
    return AskedRequest(kind, name, at, status, 100)


def test_rows_are_right_wrong_missing_or_doubled():
    first, second, third, fourth = listed = urls(4)
    rows = [
        Delivered(first, SITE.markdown(first), 1.0),
        Delivered(first, SITE.markdown(first), 2.0),
        Delivered(second, "something else", 1.0),
        Delivered(third, None, 1.0),
    ]
    counted = count_rows(SITE, listed, rows, Journal([], [job(listed=listed), job("b", [fourth])]))
    assert (counted.right, counted.wrong, counted.missing, counted.doubled, counted.paid_twice) == (1, 2, 1, 1, 1)


def test_a_job_is_noticed_by_the_first_answered_look_after_its_end():
    journal = Journal([asked(9.0), asked(11.0, status=429), asked(12.5), asked(13.0), asked(11.0, name="b")], [job()])
    assert noticing_seconds(journal) == [2.5]
    assert noticing_seconds(Journal([asked(9.0)], [job()])) == []


def test_a_job_is_published_with_its_last_row():
    rows = [Delivered("x", "", 12.0), Delivered("y", "", 15.0), Delivered("y", "", 99.0)]
    assert publishing_seconds(Journal([], [job(listed=("x", "y"))]), rows) == [5.0]
    assert publishing_seconds(Journal([], [job(listed=("x", "z"))]), rows) == []


def test_refused_requests_are_counted_apart():
    journal = Journal([asked(1.0), asked(2.0, status=429), asked(3.0, kind="submit")], [])
    assert requests_by_kind(journal) == {"refused (429)": 1, "status": 1, "submit": 1}


def test_spread_and_summary_of_nothing_are_none():
    assert Spread.of([]) is None
    assert Summary.of([None, None]) is None
    assert Spread.of(map(float, range(1, 101))) == Spread(50.5, 95.0, 100.0)


@pytest.mark.parametrize(
    ("values", "text"),
    [([3.0], "3 s"), ([1.5, 2.5, 9.25], "2.50 (1.50 to 9.25) s"), ([1200.0, 1300.0, None], "1,250 (1,200 to 1,300) s")],
)
def test_summary_shows_the_range_only_where_there_is_one(values, text):
    assert Summary.of(values).text("s") == text


def test_numbers_keep_three_digits():
    assert [shown(value) for value in (0.01234, 1.234, 12.34, 123.4, 12345.6, 0)] == [
        "0.012",
        "1.23",
        "12.3",
        "123",
        "12,346",
        "0",
    ]


def test_a_number_is_found_by_its_path():
    record = {"rows": {"right": 3}, "noticing": None}
    assert (number_at(record, "rows.right"), number_at(record, "noticing.median")) == (3.0, None)


def test_only_what_is_between_the_markers_is_written(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write(page, tmp_path / "results")
    assert page.read_text() == f"before\n{BEGIN}\n\n{NOTHING}\n\n{END}\nafter\n"
    page.write_text("no markers")
    with pytest.raises(ValueError, match="no markers"):
        write(page, tmp_path / "results")
