"""Several partitions in one run: shared jobs, shared pages, and lists of every kind."""

import dagster as dg
from crawl_world import crawl

from thunderbit_dagster.emulator import Rule

DATES = dg.DailyPartitionsDefinition("2026-11-01", end_date="2026-11-05")


def test_the_urls_of_many_partitions_are_packed_into_full_jobs(line, pages):
    lists = {f"part-{number}": pages.urls(7) for number in range(5)}
    docs = line(crawl(lists, batch_size=10))
    [collected] = docs.through()
    assert sorted(map(len, docs.sent())) == [5, 10, 10, 10]
    assert docs.checks(collected) == [True]
    for name, urls in lists.items():
        assert docs.urls("succeeded", urls=name) == urls
    everything = docs.metadata("succeeded", "part-1")
    assert everything["dagster/partition_row_count"].value == 7


def test_a_range_over_dates_and_url_partitions_fills_every_cell(line, pages):
    lists = {"guides": pages.urls(2), "reference": pages.urls(1)}
    docs = line(crawl(lists, cadence=DATES))
    runs = docs.through("2026-11-02|guides", "2026-11-04|reference")
    assert len(runs) == 1
    cells = {f"2026-11-0{day}|{name}" for day in (2, 3, 4) for name in lists}
    assert docs.published("submissions") == docs.published("succeeded") == docs.published("failed") == cells
    for day in (2, 3, 4):
        for name, urls in lists.items():
            assert docs.urls("succeeded", date=f"2026-11-0{day}", urls=name) == urls
    assert docs.checks(runs[0]) == [True]


def test_dates_alone_are_partitions_whose_urls_a_callable_gives_by_date(line, pages):
    listed = {}

    def of_date(partition):
        return listed.setdefault(partition.date, pages.urls(1))

    docs = line(crawl(of_date, cadence=DATES))
    docs.through("2026-11-01", "2026-11-03")
    assert sorted(listed) == ["2026-11-01", "2026-11-02", "2026-11-03"]
    for date, urls in listed.items():
        assert docs.urls("succeeded", date=date) == urls


def test_a_page_that_several_partitions_want_is_fetched_and_paid_once_and_is_in_each(line, pages):
    [shared, own] = pages.urls(2)
    balance = line([]).emulator.credits_left
    docs = line({"a": [shared, own], "b": [shared + "#part"], "c": [shared + "?utm_source=mail"]})
    docs.through()
    assert docs.sent() == [[shared, own]]
    assert balance - docs.emulator.credits_left == 2
    assert docs.urls("succeeded", urls="a") == [shared, own]
    assert docs.urls("succeeded", urls="b") == [shared + "#part"]
    assert docs.urls("succeeded", urls="c") == [shared + "?utm_source=mail"]


def test_every_repetition_in_a_list_has_a_row_and_only_one_is_paid(line, pages):
    [first, second] = pages.urls(2)
    missing = pages.urls(1, "missing")[0]
    urls = [first, second, first, first + "#x", missing, missing]
    docs = line(urls)
    docs.through()
    assert docs.urls("succeeded") == [first, second, first, first + "#x"]
    assert [row["credits"] for row in docs.rows("succeeded")] == [1, 1, 0, 0]
    assert len({row["content_hash"] for row in docs.rows("succeeded")}) == 2
    assert docs.urls("failed") == [missing, missing]
    assert docs.sent() == [[first, second, missing]]


def test_urls_that_cannot_be_fetched_are_refused_before_anything_is_paid(line):
    urls = ["", "no scheme", "ftp://example.com/x", "https://", "https://me:secret@example.com/", "mailto:a@b.example"]
    docs = line(urls)
    docs.through()
    assert docs.posts == 0
    assert docs.urls("failed") == urls
    assert docs.codes() == [("REJECTED", "INVALID_INPUT", "permanent")] * len(urls)
    assert all(row["error_message"] for row in docs.rows("failed"))


def test_an_empty_list_gives_two_empty_tables_with_the_full_schema(line, pages):
    docs = line({"empty": [], "full": pages.urls(1)})
    docs.through()
    assert docs.published() == {"empty", "full"}
    for table in ("succeeded", "failed"):
        empty, full = (docs.store.read(docs.crawl.name, table, {"urls": name}) for name in ("empty", "full"))
        assert empty.num_rows == 0
        assert empty.schema.equals(full.schema, check_metadata=True)


def test_two_crawls_of_one_location_share_the_sensor_and_nothing_else(line, pages):
    one, other = crawl({"x": pages.urls(1)}), crawl({"x": pages.urls(2)})
    both = line(one, other)
    both.submit("x")
    both.run(f"{other.name}_submit", "x")
    both.until_jobs_end()
    runs = both.tick_and_launch()
    assert [run.success for run in runs] == [True, True]
    assert len(both.rows("succeeded", one)) == 1
    assert len(both.rows("succeeded", other)) == 2
    assert len(both.jobs) == 2


def test_a_url_refused_alone_by_the_api_is_a_rejected_row_and_so_are_its_repetitions(line, pages, spoiled):
    [url] = pages.urls(1)
    emulator = spoiled(Rule("status", method="POST", route="/batch/*", status=400, code="INVALID_URL"))
    docs = line([url, url + "#again"], emulator=emulator)
    docs.through()
    assert docs.urls("failed") == [url, url + "#again"]
    assert {row["status"] for row in docs.rows("failed")} == {"REJECTED"}


def test_a_job_refused_for_one_url_is_halved_until_that_url_stands_alone(line, pages, spoiled):
    urls = pages.urls(4)
    # Refused: all four; then the first pair; then its second URL alone.
    refusals = Rule("status", method="POST", route="/batch/*", nth=(1, 2, 4), status=400, code="INVALID_URL")
    docs = line(urls, emulator=spoiled(refusals))
    docs.through()
    assert docs.urls("succeeded") == [urls[0], *urls[2:]]
    assert docs.urls("failed") == [urls[1]]
    assert docs.codes()[0][0] == "REJECTED"


def test_a_job_of_several_partitions_refused_once_and_accepted_in_halves_rejects_nothing(line, pages, spoiled):
    lists = {"a": pages.urls(1), "b": pages.urls(1)}
    emulator = spoiled(Rule("status", method="POST", route="/batch/*", nth=(1,), status=400, code="INVALID_URL"))
    docs = line(lists, emulator=emulator)
    docs.through()
    assert [docs.urls("succeeded", urls=name) for name in lists] == list(lists.values())
    assert [docs.urls("failed", urls=name) for name in lists] == [[], []]


def largest_event(docs):
    found = [
        event
        for fetch in (docs.instance.fetch_observations, docs.instance.fetch_materializations)
        for event in fetch(docs.crawl.key("submissions"), limit=1_000).records
    ]
    return max(len(dg.serialize_value(event.event_log_entry)) for event in found)


def test_no_event_is_large_however_many_urls_are_refused(line, pages):
    good = pages.urls(2)
    docs = line({"all": [*good, *(f"ftp://example.org/{number}" for number in range(5_000))]})
    docs.through()
    assert largest_event(docs) < 256_000
    assert docs.urls("succeeded") == good
    assert len(docs.rows("failed")) == 5_000
    assert docs.metadata("submissions")["urls refused"].value == 5_000


def test_no_event_is_large_however_long_the_urls_are(line, pages):
    long = [f"{url}?{'x' * 8_000}{number}" for number, url in enumerate(pages.urls(60))]
    docs = line({"all": [*long, long[0] + "#again"]})
    docs.through()
    assert largest_event(docs) < 256_000
    assert len(docs.rows("succeeded")) == 61
    assert docs.posts == 1
