"""The synthetic web: the truth that it states about a page is what its Markdown shows."""

import re
from collections import Counter
from datetime import date
from itertools import pairwise
from typing import get_args

import pytest

from benchmarks.web import Truth, Web
from benchmarks.web_page import Page
from benchmarks.web_texts import SITES, WALLS

SMALL = Web(pages=240, days=6, seed=3)
LEFT_OVER = re.compile(r"\{[a-z][a-z -]*( [^{}\n]*)?\}")


@pytest.fixture(scope="module")
def days():
    return [{page.url: page for page in SMALL.day(number)} for number in range(SMALL.days)]


@pytest.fixture(scope="module")
def in_a_row(days):
    """A page on two consecutive days, wherever there was a page on both."""
    pairs = [(before[url], page) for before, now in pairwise(days) for url, page in now.items() if url in before]
    return [(first, second) for first, second in pairs if shows_page(first) and shows_page(second)]


def shows_page(page):
    return page.truth in ("new", "changed", "unchanged", "blip")


def fresh_page(site):
    return Page(1, f"https://{site.host}/", site, 0)


def without_what_varies(text):
    """Drops names of hosts and everything that has a digit, so that only wording is left."""
    return re.sub(r"\S*\d\S*|\S*\.example\S*", "", text)


def test_a_day_is_the_same_whatever_was_asked_before(days):
    assert [*Web(pages=240, days=6, seed=3).day(4)] == [*days[4].values()]
    assert [*Web(pages=240, days=6, seed=4).day(4)] != [*days[4].values()]


def test_a_day_is_in_order_of_url_and_has_a_date(days):
    assert all([*day] == sorted(day) for day in days)
    assert SMALL.date(0) == date(2026, 3, 2)
    assert SMALL.date(30) == date(2026, 4, 1)


@pytest.mark.parametrize("number", [-1, 6])
def test_no_other_days_can_be_asked_for(number):
    with pytest.raises(ValueError, match="6 days"):
        SMALL.day(number)


def test_every_truth_appears_and_the_first_day_is_all_new(days):
    assert {page.truth for day in days for page in day.values()} == {*get_args(Truth)}
    assert {page.truth for page in days[0].values()} == {"new"}


def test_the_rates_of_a_day():
    pages = [*Web(pages=2_000, days=3).day(2)]
    counted = Counter("noise" if page.truth == "unchanged" and page.kind else page.truth for page in pages)
    shares = {truth: count / 2_000 for truth, count in counted.items()}
    expected = {"changed": 0.03, "noise": 0.05, "wall": 0.02, "failed": 0.01, "removed": 0.01, "blip": 0.005}
    assert {truth: shares[truth] for truth in expected} == pytest.approx(expected, rel=0.5)
    assert counted["new"] == 20
    noisy = sum(" + " in page.kind for page in pages if page.truth == "changed")
    assert noisy / counted["changed"] == pytest.approx(1 / 3, abs=0.15)


def test_without_an_event_a_page_is_the_same_byte_for_byte(in_a_row):
    quiet = [(first, second) for first, second in in_a_row if second.truth == "unchanged" and not second.kind]
    assert all(first.markdown == second.markdown for first, second in quiet if first.truth != "blip")
    assert all(first.markdown != second.markdown for first, second in quiet if first.truth == "blip")


def test_with_noise_or_a_change_a_page_differs_from_the_day_before(in_a_row):
    told = [(first, second) for first, second in in_a_row if second.kind]
    assert {second.truth for _, second in told} == {"changed", "unchanged", "blip"}
    assert all(first.markdown != second.markdown for first, second in told)


@pytest.mark.parametrize("truth", ["blip", "wall", "failed"])
def test_the_day_after_the_page_is_what_it_was(days, truth):
    thrice = zip(days, days[1:], days[2:], strict=False)
    around = [
        (first[url], third[url]) for first, second, third in thrice for url in first if second[url].truth == truth
    ]
    assert around
    assert all(
        (after.truth, after.kind, after.markdown) == ("unchanged", "", before.markdown) for before, after in around
    )


def test_a_removed_page_stays_away(days):
    removed = [url for url, page in days[3].items() if page.truth == "removed"]
    assert removed
    for later, truth in ((3, "removed"), (4, "absent"), (5, "absent")):
        answers = {(page.truth, page.markdown, page.error_code) for page in map(days[later].get, removed)}
        assert answers == {(truth, None, "SCRAPE_TARGET_NOT_FOUND")}


def test_pages_are_of_one_to_eight_kilobytes_and_have_every_field_filled(days):
    for page in filter(shows_page, days[5].values()):
        assert 600 < len(page.markdown.encode()) < 9_000
        assert not LEFT_OVER.search(page.markdown), page.markdown


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.host)
def test_every_noise_and_every_fact_shows(site):
    before = fresh_page(site).markdown()
    for name in (*site.noise, *site.facts):
        page = fresh_page(site)
        page.draw_anew(name, 1)
        assert page.markdown() != before, name


def test_walls_are_many_and_none_is_the_page():
    pages = [fresh_page(site) for site in SITES]
    walls = [page.wall(day)[1] for page in pages for day in range(40)]
    assert len({without_what_varies(wall) for wall in walls}) >= 60
    assert not {page.markdown() for page in pages} & {*walls}
    assert not any(LEFT_OVER.search(wall) for wall in walls)
    assert len({template for _, template in WALLS}) == len(WALLS)


def test_there_are_many_kinds_of_noise():
    assert len({kind for site in SITES for kind in site.noise}) >= 15
