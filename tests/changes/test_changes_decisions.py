"""Promise 10, and what counts as a change: normalised text, rotation, and the fold_history over dates."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thunderbit_dagster.changes.compare import MOST_DIFF_CHARACTERS, HostLines, compare_items, compare_pages
from thunderbit_dagster.changes.history import CrawlSeen, fold_history
from thunderbit_dagster.changes.normalize import Normalizer

DAY = date(2026, 11, 5)
NOISE = [
    ("Updated 3 minutes ago", "Updated 2 hours ago"),
    ("Zuletzt gesehen vor 3 Stunden", "Zuletzt gesehen vor 12 Stunden"),
    ("mis en ligne il y a 2 jours", "mis en ligne il y a une semaine"),
    ("Last updated: 2026-11-04 10:12", "Last updated: 2026-11-05 09:00"),
    ("Page generated on 4 November 2026 at 10:12", "Page generated on 5 November 2026 at 11:40"),
    ("It is 10:12:13 here", "It is 23:59:01 here"),
    ("1,204 views", "1,310 views"),
    ("Views: 12", "Views: 13"),
    ("17 people are viewing this right now", "3 people are viewing this right now"),
    ("Rendered in 0.132 s", "Rendered in 12 ms"),
    ("Request ID: a81bc81b-dead-4e5d-abff-90865d1e13b1", "Request ID: c0ffee00-dead-4e5d-abff-90865d1e13b2"),
    ("Ray ID: 7d3f9a2b1c4e5f60", "Ray ID: 7d3f9a2b1c4e5f61"),
    ("[Next](/next?page=2&utm_source=a&sid=81)", "[Next](/next?page=2&utm_source=b&sid=95)"),
    ("[Next](/next;jsessionid=AB12?page=2)", "[Next](/next;jsessionid=CD34?page=2)"),
    ("![Ship](/img/ship.png?v=1)", "![Ship](/img/8f/ship.png?v=2)"),
    ("© 2019 - 2025 Harbour", "© 2019 - 2026 Harbour"),
    ("Two  spaces\u200b and more", "Two spaces and\u00a0more"),
    ("Today: 2026-11-05", "Today: 2026-11-04"),
]
CONTENT = [
    ("Price: 12.50 EUR", "Price: 13.50 EUR"),
    ("Version 1.4.2", "Version 1.4.3"),
    ("In stock", "Out of stock"),
    ("The fair is on 14 June 2027", "The fair is on 15 June 2027"),
    ("Doors open at 19:00", "Doors open at 20:00"),
    ("Rated 4.5 of 5", "Rated 4.4 of 5"),
    ("Ships in 3 days", "Ships in 5 days"),
    ("[Manual](/manual?id=4)", "[Manual](/manual?id=5)"),
    ("[Page](/p?page=2)", "[Page](/p?page=3)"),
    ("Since 1998", "Since 1999"),
    ("commit 4be", "commit 4bf"),
    ("Room for 40 people", "Room for 60 people"),
    ("See ![old](/a.png)", "See ![new](/a.png)"),
]


def lines(text, day=DAY, ignore=()):
    return Normalizer(day, ignore).lines(text)


def compare(old, new, *, shared=(), **options):
    return compare_pages(lines(old), lines(new), host_with(shared), **options)


def host_with(shared, pages=200):
    """A host with lines that three of its pages have."""
    return HostLines(lambda line: 3 if line.raw in shared else 1, pages)


@pytest.mark.parametrize(("old", "new"), NOISE)
def test_what_changes_by_itself_is_no_change_and_is_named_by_its_rule(old, new):
    found = compare(f"# Title\n\n{old}\n", f"# Title\n\n{new}\n")
    assert not found.is_changed, (lines(old), lines(new))
    assert found.diff == ""
    [(rules, before, now)] = found.ignored
    assert rules
    assert (before, now) == (old, new)


@pytest.mark.parametrize(("old", "new"), CONTENT)
def test_content_is_a_change_and_shown(old, new):
    found = compare(f"# Title\n\n{old}\n", f"# Title\n\n{new}\n")
    assert found.is_changed
    assert len(found.removed) == len(found.added) == 1
    assert found.diff.splitlines()[0] == "@@"
    assert [line[0] for line in found.diff.splitlines()[1:]] == ["-", "+"]


def test_ignored_text_does_not_come_back_in_the_diff():
    old, new = "Price: 12 EUR\n\nUpdated 3 minutes ago\n", "Price: 13 EUR\n\nUpdated 4 hours ago\n"
    diff = compare(old, new).diff
    assert "minutes" not in diff
    assert "hours" not in diff
    beside = compare("Price 12 EUR, updated 3 minutes ago", "Price 13 EUR, updated 4 hours ago").diff
    assert beside == "@@\n- Price 12 EUR, updated <time>\n+ Price 13 EUR, updated <time>"


def test_lines_that_move_are_no_change_unless_their_order_is_content():
    old, new = "1\n\none\n\ntwo\n\nthree\n", "1\n\nthree\n\none\n\ntwo\n"
    assert not compare(old, new).is_changed
    assert compare(old, new, is_ordered=True).is_changed


def test_a_line_that_comes_twice_is_a_change():
    assert compare("one\n\ntwo\n", "one\n\ntwo\n\none\n").added == ("one",)


def test_teasers_that_stand_on_other_pages_may_rotate_in_their_place():
    first, second = "Read the story of the harbour and its winter", "Visit our fair in the old town hall"
    old, new = f"# Pump\n\n12 EUR\n\n{first}\n", f"# Pump\n\n12 EUR\n\n{second}\n"
    assert compare(old, new).is_changed
    assert compare(old, new, shared={first}).is_changed
    rotated = compare(old, new, shared={first, second})
    assert not rotated.is_changed
    assert rotated.ignored == (("rotation", first, second),)
    gone = compare(old, "# Pump\n\n12 EUR\n", shared={first, second})
    assert gone.removed == (first,)


def test_a_banner_that_many_pages_have_may_come_and_go():
    banner = "We are closed over the holidays, orders ship in January"
    old, new = lines("# Pump"), lines(f"# Pump\n\n{banner}\n")
    assert compare_pages(old, new, HostLines(lambda _: 3, 200)).added == (banner,)
    assert not compare_pages(old, new, HostLines(lambda _: 12, 200)).is_changed
    assert compare_pages(old, lines("# Pump\n\nSold out\n"), HostLines(lambda _: 12, 200)).added == ("Sold out",)


def test_the_same_text_written_otherwise_is_no_change():
    old = 'Sizes\n-----\n\n* one\n* two\n\nA "long" paragraph that\nis wrapped, isn\'t it & so on.\n'
    new = "## Sizes [¶](#sizes)\n- **one**\n- two\n\nA “long” paragraph that is wrapped, isn\u2019t it &amp; so on.\n"
    assert not compare(old, new).is_changed


def test_labels_and_numbers_are_content_also_where_other_pages_have_them():
    for old, new in (
        ("In stock", "Out of stock"),
        ("Ships in 2 days from our own shop", "Ships in 9 days from our own shop"),
    ):
        assert compare(old, new, shared={old, new}).is_changed


def test_patterns_of_the_user_are_left_out():
    own = [r"Weather: .*"]
    old, new = lines("# A\n\nWeather: sun", ignore=own), lines("# A\n\nWeather: rain", ignore=own)
    assert not compare_pages(old, new, HostLines()).is_changed


def test_a_long_difference_is_shortened_at_a_line():
    new = "\n".join(f"line {number} of many" for number in range(5_000))
    diff = compare("# A", new).diff
    assert len(diff) <= MOST_DIFF_CHARACTERS + 50
    assert diff.splitlines()[-1].startswith("@@ ")


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_texts_compare_and_a_text_equals_itself(old, new):
    assert not compare(old, old).is_changed
    found = compare(old, new)
    assert found.is_changed == bool(found.diff)
    assert 0 <= found.similarity <= 1


def test_extracted_rows_differ_by_field_whatever_their_order():
    old = [{"name": "Pump", "price": 12}, {"name": "Rope", "price": 3}]
    assert not compare_items(old, old[::-1]).is_changed
    found = compare_items(old, [{"name": "Rope", "price": 3}, {"name": "Pump", "price": 13.5}])
    assert found.diff == '{"field": "price", "item": 0, "new": 13.5, "old": 12}'
    assert compare_items(old, old[:1]).removed == ('{"name": "Rope", "price": 3}',)


NO_WORD = {"failed", "quarantined"}
"""What says nothing of a page."""
OUTCOMES = st.lists(
    st.sampled_from(["a", "b", "c", "gone", "failed", "quarantined", "unlisted"]), min_size=1, max_size=12
)


def stand(texts, *, confirm=1, removed_after=2):
    """The statuses after each date; a date is a page's text, or another outcome."""
    kinds = {"gone", "failed", "quarantined", "unlisted"}
    seen = [CrawlSeen(str(n), text if text in kinds else "page") for n, text in enumerate(texts)]
    return [
        fold_history(
            seen[: n + 1],
            lambda old, new: texts[int(old)] == texts[int(new)],
            confirm=confirm,
            removed_after=removed_after,
        )
        for n in range(len(texts))
    ]


def statuses(*texts, **settings):
    return [one.status for one in stand(texts, **settings)]


def test_a_page_is_new_unchanged_changed_removed_and_returned():
    assert statuses("a", "a", "b", "gone", "gone", "gone", "b") == [
        "new", "unchanged", "changed", "failed", "removed", "removed", "returned",
    ]  # fmt: skip


def test_a_page_that_leaves_the_list_is_removed_once_that_is_confirmed():
    assert statuses("a", "unlisted", "unlisted", "a") == ["new", "unchanged", "removed", "returned"]
    assert statuses("unlisted", "a") == [None, "new"]


def test_a_change_back_is_none_with_confirm_two():
    assert statuses("a", "b", "a", confirm=2) == ["new", "unchanged", "unchanged"]
    assert statuses("a", "b", "b", "b", confirm=2) == ["new", "unchanged", "changed", "unchanged"]
    assert statuses("a", "b", "c", "c", confirm=2) == ["new", "unchanged", "unchanged", "changed"]


def test_a_page_is_compared_with_the_page_that_stands():
    last = stand(("a", "failed", "a", "gone", "b"))[-1]
    assert (last.status, last.base, last.since) == ("changed", "2", "4")


@given(OUTCOMES, st.integers(1, 3), st.integers(1, 3))
def test_failures_and_walls_remove_nothing_and_change_nothing(texts, confirm, removed_after):
    """A history with failures and walls ends as the same history without them, but for the dates themselves."""
    with_failures = stand(texts, confirm=confirm, removed_after=removed_after)
    kept = [text for text in texts if text not in NO_WORD]
    without = iter(stand(kept, confirm=confirm, removed_after=removed_after))
    for text, standing in zip(texts, with_failures, strict=True):
        if text in NO_WORD:
            assert standing.status == text
        else:
            assert standing.status == next(without).status


@given(OUTCOMES, st.integers(1, 4))
def test_removed_only_after_as_many_crawls_in_a_row(texts, removed_after):
    for n, standing in enumerate(stand(texts, removed_after=removed_after)):
        if standing.status == "removed":
            said = [text for text in texts[: n + 1] if text not in NO_WORD]
            assert set(said[-removed_after:]) <= {"gone", "unlisted"}
