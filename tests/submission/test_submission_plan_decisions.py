from collections import Counter
from dataclasses import replace

from decision_cases import NOW, opened_with, page, partition, record_job, submission_of
from hypothesis import example, given, settings
from hypothesis import strategies as st

from thunderbit_dagster.ledger.records import Amended, DuplicateUrl, Intent, Recorded, Refused, RejectedUrl, SentUrl
from thunderbit_dagster.ledger.submissions import apply
from thunderbit_dagster.submission.plan import Batch, pack, remaining
from thunderbit_dagster.urls import check_urls

SPELLINGS = ["", "#part", "?utm_source=x"]
good_urls = st.builds(page, st.integers(0, 8), st.sampled_from(SPELLINGS))
bad_urls = st.sampled_from(["", "not a url", "ftp://example.org/"])
url_lists = st.lists(good_urls | bad_urls, max_size=12)
sizes = st.integers(1, 7)


@given(st.dictionaries(st.sampled_from("abcd").map(partition), url_lists, max_size=4), sizes)
def test_packing_places_every_url_once(lists, size):
    wanted = {where: check_urls(listed).wanted for where, listed in lists.items()}
    batches = pack(wanted, size)
    placed = Counter((place.partition, place.wanted) for b in batches for one in b.pages for place in one.places)
    assert placed == Counter((where, url) for where, urls in wanted.items() for url in urls)
    assert all(len(batch.pages) == size for batch in batches[:-1])
    assert all(1 <= len(batch.pages) <= size for batch in batches[-1:])
    canonicals = [{place.wanted.canonical for place in one.places} for batch in batches for one in batch.pages]
    assert all(len(one) == 1 for one in canonicals)
    assert len(set().union(*canonicals)) == len(canonicals) if canonicals else not batches
    assert all(one.url == one.places[0].wanted.url for batch in batches for one in batch.pages)


@given(st.dictionaries(st.sampled_from("abcd").map(partition), url_lists, min_size=1, max_size=4), sizes)
def test_a_batch_tells_each_partition_its_items(lists, size):
    for batch in pack({where: check_urls(listed).wanted for where, listed in lists.items()}, size):
        assert len(set(batch.urls)) == len(batch.urls)
        items = {where: batch.items(where) for where in batch.partitions}
        assert all(items.values())
        assert {item.job_position for some in items.values() for item in some} == set(range(len(batch.pages)))
        for some in items.values():
            assert all((item.sent or item.url) == batch.urls[item.job_position] for item in some)
        assert batch.items(partition("nobody")) == ()


@given(st.lists(good_urls, min_size=1, max_size=20), st.integers(1, 3))
def test_halves_are_the_whole_in_order(listed, attempt):
    (packed,) = pack({partition("a"): check_urls(listed).wanted}, 100)
    batch = Batch(packed.pages, attempt)
    if len(batch.pages) > 1:
        first, second = batch.halves()
        assert first.pages + second.pages == batch.pages
        assert 0 <= len(second.pages) - len(first.pages) <= 1
        assert first.attempt == second.attempt == attempt


def test_nothing_was_sent():
    checked = check_urls([page(1), page(1), "bad url"])
    assert remaining(checked, None) == replace(checked, duplicates=())


@settings(max_examples=300)
@given(url_lists, st.data())
@example([page(0), page(0)], None)
def test_an_unchanged_list_leaves_exactly_the_rest_at_its_places(listed, data):
    checked, submission = opened_with(listed)
    sent = data.draw(st.sets(st.sampled_from(checked.wanted))) if data and checked.wanted else set()
    record_job(submission, sorted(sent, key=lambda url: url.position))
    left = remaining(checked, submission)
    assert left.wanted == tuple(url for url in checked.wanted if url not in sent)
    firsts = {url.position for url in sent}
    assert left.duplicates == tuple(url for url in checked.duplicates if url.first in firsts)
    assert left.rejected == ()


class Story:
    """A partition whose list is edited between runs, each of which sends a part of what it should."""

    def __init__(self):
        self.submission = None
        self.sent = Counter()

    def run(self, listed, sends):
        checked = check_urls(listed)
        if self.submission is None:
            self.submission, left = submission_of(checked), checked
        else:
            left = remaining(checked, self.submission)
            self.amend(left)
        sending = [url for url in left.wanted if sends(url)]
        record_job(self.submission, sending)
        self.amend(remaining(checked, self.submission))
        self.sent.update(url.canonical for url in sending)
        return checked, left, sending

    def amend(self, left):
        if left.rejected or left.duplicates:
            apply(self.submission, amended(left))

    def check(self, checked):
        """What must hold once everything of the newest list was sent."""
        rows = Counter([item.url for item in self.submission.covered.values()])
        rows.update(url.url for url in self.submission.duplicates)
        assert Counter(url.url for url in checked.wanted + checked.duplicates) <= rows
        places = Counter(
            [
                *self.submission.covered,
                *(url.position for url in self.submission.rejected),
                *(url.position for url in self.submission.duplicates),
            ]
        )
        assert not [position for position, count in places.items() if count > 1]
        assert {url.url for url in checked.rejected} <= {url.url for url in self.submission.rejected}
        held = {item.url for item in self.submission.covered.values()}
        shared = {url.url for url in self.submission.duplicates}
        assert {url.url for url in checked.wanted + checked.duplicates} <= held | shared
        by_place = {position: check_urls([item.url]).wanted[0] for position, item in self.submission.covered.items()}
        for repeat in self.submission.duplicates:
            assert by_place[repeat.first].canonical == check_urls([repeat.url]).wanted[0].canonical


def amended(left):
    return Amended(
        submission_id="s1",
        rejected=tuple(RejectedUrl(position=r.position, url=r.url, reason=r.reason) for r in left.rejected),
        duplicates=tuple(DuplicateUrl(position=d.position, url=d.url, first=d.first) for d in left.duplicates),
    )


@settings(max_examples=200)
@given(url_lists, url_lists)
def test_an_edited_list_is_joined_to_what_was_sent(before, after):
    """Everything of the first list was sent; the second run sends the rest of the second list."""
    story = Story()
    story.run(before, lambda _: True)
    known = set(story.submission.known)
    checked, left, _ = story.run(after, lambda _: True)
    assert not known & {url.position for group in (left.wanted, left.duplicates, left.rejected) for url in group}
    story.check(checked)


@settings(max_examples=300)
@given(st.lists(st.tuples(url_lists, st.integers(0, 6)), min_size=1, max_size=3), url_lists)
def test_lists_edited_between_runs_that_were_cut_short(runs, last):
    """A run may send only its first few URLs, as when credits end; the last run sends all."""
    story = Story()
    for listed, enough in runs:
        chances = iter(range(100))
        story.run(listed, lambda _, chances=chances, enough=enough: next(chances) < enough)
    checked, _, _ = story.run(last, lambda _: True)
    story.check(checked)


@given(url_lists, url_lists)
def test_a_page_that_a_job_holds_is_not_paid_twice(before, after):
    """Also when the edited list spells it otherwise."""
    story = Story()
    story.run(before, lambda _: True)
    story.run(after, lambda _: True)
    assert not [canonical for canonical, count in story.sent.items() if count > 1]


def test_a_repeated_url_is_sent_after_a_run_that_sent_nothing():
    """Credits ended before the first POST: the second run must send the page, and name its repeat."""
    checked, submission = opened_with([page(1), page(1)])
    assert remaining(checked, submission).wanted == checked.wanted


def test_a_repeat_is_never_of_another_page():
    """Nothing of [1, 1#part] was sent; then the list became [2]."""
    _, submission = opened_with([page(1), page(1, "#part")])
    left = remaining(check_urls([page(2)]), submission)
    firsts = {repeat.first for repeat in submission.duplicates}
    assert not firsts & {url.position for url in left.wanted}


def test_a_repeat_of_a_page_that_was_never_sent_is_forgotten_once_the_page_is_sent_from_another_place():
    story = Story()
    story.run([page(1, "#part"), page(1, "#part")], lambda _: False)
    story.run([page(1, "?utm_source=x")], lambda _: True)
    checked, _, _ = story.run([page(1, "#part")], lambda _: True)
    story.check(checked)


def test_repeats_of_two_lists_of_which_neither_was_sent():
    """The page kept its name but is now spelled otherwise, with the spellings of both lists as its repeats."""
    story = Story()
    story.run([page(0, "#a"), page(0, "?utm_id=1")], lambda _: False)
    story.run([page(0, "?utm_id=1"), page(0, "#a")], lambda _: False)
    checked, _, _ = story.run([page(0), page(0, "?utm_id=1"), page(0, "#a")], lambda _: True)
    story.check(checked)


def test_urls_whose_places_are_taken_go_to_the_end_each_to_its_own():
    checked, submission = opened_with([page(1), page(2)])
    record_job(submission, checked.wanted)
    left = remaining(check_urls([page(3), page(4), page(1), "bad url"]), submission)
    assert [(url.position, url.url) for url in left.wanted] == [(2, page(3)), (3, page(4))]
    assert [url.position for url in left.rejected] == [4]


def test_what_the_api_refused_is_not_sent_again():
    checked, submission = opened_with([page(1), page(2)])
    item = SentUrl(job_position=0, position=0, url=page(1))
    apply(submission, Intent(submission_id="s1", intent_id="x", size=1, items=(item,)))
    apply(submission, Refused(submission_id="s1", intent_id="x", code="INVALID_URL", message="no"))
    assert remaining(checked, submission).wanted == checked.wanted[1:]


def test_a_job_that_was_shared_is_known_to_both_partitions():
    checked = check_urls([page(1)])
    (batch,) = pack({partition("a"): checked.wanted, partition("b"): checked.wanted}, 100)
    assert batch.partitions == [partition("a"), partition("b")]
    submission = submission_of(checked)
    intent = Intent(submission_id="s1", intent_id="x", size=1, items=batch.items(partition("b")))
    apply(submission, intent)
    apply(submission, Recorded(submission_id="s1", intent_id="x", job="distill/1", at=NOW))
    assert remaining(checked, submission).wanted == ()


def test_items_of_a_page_that_many_partitions_want_take_one_look_each():
    """A backfill of 300 dates over 10 URLs: 3,000 places in one job, not 900,000 looks at them."""

    class Counting(str):
        __slots__ = ()
        compared = 0

        def __eq__(self, other):
            Counting.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    wanted = check_urls([page(number) for number in range(10)]).wanted
    (batch,) = pack({partition(Counting(f"p{number}")): wanted for number in range(100)}, 100)
    Counting.compared = 0
    for where in batch.partitions:
        assert len(batch.items(where)) == 10
    assert Counting.compared < 20_000
