"""The asset `changes`: any order of materializing ends in the same rows, and what is out of date is said."""

import random

import dagster as dg
import pytest

from thunderbit_dagster import Changes, Crawl, Distill, PartitionNotFoundError, read_changes

PAGE = "# {}\n\nPrice: {} EUR\n\nUpdated {} minutes ago\n"


def pages(count, price=10, minutes=1):
    return {f"p{number}": PAGE.format(number, price, minutes) for number in range(count)}


def test_what_is_new_changed_failed_and_removed_over_four_dates(docs):
    site = docs()
    site.collect(1, pages(4))
    site.collect(2, pages(3, minutes=9) | {"p0": PAGE.format(0, 11, 9)}, {"p3": "SCRAPE_TARGET_NOT_FOUND"})
    site.collect(3, pages(3, minutes=3), {"p3": "SCRAPE_TIMEOUT"})
    site.collect(4, pages(2, minutes=5) | {"fresh": "# Fresh\n"}, {"p3": "SCRAPE_TARGET_NOT_FOUND"})
    assert site.statuses(1) == dict.fromkeys(pages(4), "new")
    assert site.statuses(2) == {"p0": "changed", "p1": "unchanged", "p2": "unchanged", "p3": "failed"}
    assert site.statuses(3) == {"p0": "changed", "p1": "unchanged", "p2": "unchanged", "p3": "failed"}
    assert site.statuses(4) == {
        "p0": "unchanged",
        "p1": "unchanged",
        "p2": "unchanged",  # not in the list for the first time
        "p3": "removed",
        "fresh": "new",
    }
    row = site.rows(2)["p0"]
    assert (row["base_date"], row["since"], row["title"]) == ("2026-11-01", "2026-11-02", "p0")
    assert row["diff"] == "@@\n- Price: 10 EUR\n+ Price: 11 EUR"
    assert row["base_submission_id"] == "s01-1"
    assert (row["lines_removed"], row["lines_added"], row["differences_ignored"]) == (1, 1, 1)
    assert site.rows(4)["p2"]["crawls_missing"] == 1
    assert site.rows(3)["p3"]["error_code"] == "SCRAPE_TIMEOUT"


def test_a_date_that_was_not_crawled_removes_nothing(docs):
    site = docs(removed_after=1)
    site.collect(1, pages(2))
    site.collect(9, pages(2))
    assert set(site.statuses(9).values()) == {"unchanged"}
    assert site.rows(9)["p0"]["base_date"] == "2026-11-01"


def test_url_partitions_know_nothing_of_each_other(docs):
    site = docs(removed_after=1)
    site.collect(1, pages(2))
    site.collect(2, {"other": "# Other\n"}, urls="news")
    site.collect(2, pages(1))
    assert site.statuses(2) == {"p0": "unchanged", "p1": "removed"}


def test_ten_dates_in_any_order_end_in_the_same_rows(docs):
    site = docs(confirm=2)
    draw = random.Random(13)
    for day in range(1, 11):
        texts = {path: draw.choice([text, PAGE.format(path, 20, day)]) for path, text in pages(8, minutes=day).items()}
        failed = {
            path: draw.choice(["SCRAPE_TIMEOUT", "SCRAPE_TARGET_NOT_FOUND"]) for path in draw.sample(list(texts), 2)
        }
        site.collect(day, {path: text for path, text in texts.items() if path not in failed}, failed)
    site.materialize(*range(1, 11))
    expected = read_changes(site.store, site.crawl)
    for _ in range(3):
        site.materialize(*draw.sample(range(1, 11), 10))
        assert read_changes(site.store, site.crawl).equals(expected)
    assert {"new", "changed", "unchanged", "removed", "failed", "returned"} <= set(expected["status"].to_pylist())


def test_what_an_earlier_date_overtakes_is_named_until_it_is_materialized_again(docs):
    site = docs()
    site.collect(1, pages(2))
    site.collect(3, pages(2, price=12))
    site.materialize(1, 3)
    assert site.check().passed
    site.collect(2, pages(2, price=12))
    site.materialize(2)
    found = site.check()
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert found.metadata["partitions out of date"].value == 1
    [record] = found.metadata["out of date"].records
    assert record.data["partition"] == "2026-11-03|guides"
    assert site.statuses(3) == {"p0": "unchanged", "p1": "unchanged"}
    assert site.check().passed
    site.collect(1, pages(2, price=12))  # crawled again
    assert site.check().metadata["partitions out of date"].value == 3
    in_a_run = site.check(2)
    assert [record.data["partition"] for record in in_a_run.metadata["out of date"].records] == ["2026-11-03|guides"]


def test_a_partition_that_is_not_published_is_refused_by_name(docs):
    site = docs()
    result = site.materialize(5, success=False)
    [failure] = [event for event in result.all_events if event.is_step_failure]
    message = failure.step_failure_data.user_failure_data.description
    assert (
        "2026-11-05|guides: nothing is published of it. Materialize docs/succeeded of this partition first" in message
    )
    with pytest.raises(PartitionNotFoundError, match=r"There is nothing in .*docs/changes"):
        read_changes(site.store, site.crawl)


def test_an_extraction_is_compared_field_by_field(docs):
    site = docs("data")
    site.collect(1, {"shop": '[{"name":"Pump","price":12},{"name":"Rope","price":3}]'})
    site.collect(2, {"shop": '[{"name":"Rope","price":3},{"name":"Pump","price":12}]'})
    site.collect(3, {"shop": '[{"name":"Rope","price":3},{"name":"Pump","price":13}]'})
    assert site.statuses(2) == {"shop": "unchanged"}
    assert site.statuses(3) == {"shop": "changed"}
    assert site.rows(3)["shop"]["diff"] == '{"field": "price", "item": 0, "new": 13, "old": 12}'


def test_numbers_plot_and_the_biggest_changes_are_a_table(docs):
    site = docs()
    site.collect(1, pages(3))
    site.collect(2, pages(3) | {"p1": "# Another page\n"})
    [event] = site.materialize(1, 2).get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert {name: metadata[name].value for name in ("new", "changed", "unchanged", "failed")} == {
        "new": 0, "changed": 1, "unchanged": 2, "failed": 0,
    }  # fmt: skip
    assert metadata["compared with"].value == "2026-11-01"
    assert [record.data["url"] for record in metadata["biggest changes"].records] == ["https://site.example/p1"]


def test_frames_have_the_keys_of_their_partitions(docs):
    site = docs()
    site.collect(1, pages(2))
    site.materialize(1)
    assert (
        read_changes(site.store, "docs", to="pandas")[["date", "urls"]].to_numpy().tolist()
        == [["2026-11-01", "guides"]] * 2
    )
    assert read_changes(site.store, "docs", to="polars").height == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"confirm": 0}, "`confirm` must be a whole number"),
        ({"removed_after": 3, "history": 2}, "`removed_after` is 3, but only 2 dates are read"),
        ({"ignore": ["("]}, "`ignore` must be a list of regular expressions"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        Changes(**settings)


def test_changes_need_a_cadence_and_are_off_by_default():
    with pytest.raises(ValueError, match="`changes` compares dates, so it needs a `cadence`"):
        Crawl(name="docs", urls=["https://site.example/"], request=Distill(), changes=Changes())
    assert Crawl(name="docs", urls=["https://site.example/"], request=Distill()).changes is None


COUNTED = "# {}\n\nPrice: {} EUR\n\nWidgets sold by our friends so far - {}\n"


def collect_counters(site, days):
    """A counter in words of no rule, on every page; a price stands on every page, too."""
    for day in days:
        prices = [20 if (n, day) == (4, days[-1]) else 10 for n in range(6)]
        site.collect(day, {f"p{n}": COUNTED.format(n, price, 7 * day + n) for n, price in enumerate(prices)})


def test_numbers_that_change_everywhere_are_learned_and_those_that_do_not_are_content(docs):
    site = docs()
    collect_counters(site, [1, 2, 3, 4])
    assert site.statuses(4) == {f"p{n}": "changed" if n == 4 else "unchanged" for n in range(6)}
    assert site.rows(4)["p4"]["diff"] == "@@\n- Price: 10 EUR\n+ Price: 20 EUR"


def test_all_prices_on_one_day_are_a_change_and_learning_can_be_switched_off(docs):
    site = docs()
    for day in (1, 2, 3, 4):
        site.collect(day, pages(6, price=10 if day < 4 else 9))
    assert set(site.statuses(4).values()) == {"changed"}
    watched = docs(learn_numbers=False)
    collect_counters(watched, [11, 12, 13, 14])
    assert set(watched.statuses(14).values()) == {"changed"}
