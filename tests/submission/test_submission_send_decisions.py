import logging

import pytest
from decision_cases import NOW, crawl, job, page, partition
from hypothesis import given, settings
from hypothesis import strategies as st

from thunderbit_dagster.api.errors import (
    AuthenticationError,
    BadRequestError,
    BatchSizeExceededError,
    BudgetExceededError,
    ConfigurationError,
    InsufficientCreditsError,
    NotSentError,
    ProtocolError,
    RateLimitedError,
    ReplyLostError,
    ServerError,
)
from thunderbit_dagster.api.requests import Distill
from thunderbit_dagster.ledger.records import Intent, Lost, Opened, Recorded, Refused, from_metadata
from thunderbit_dagster.ledger.submissions import fold
from thunderbit_dagster.submission.plan import pack, remaining
from thunderbit_dagster.submission.record_writer import SubmissionRecords
from thunderbit_dagster.submission.send import Sender
from thunderbit_dagster.urls import check_urls

LOG = logging.getLogger("tests.decisions")
REQUEST = Distill()
OUT_OF_CREDITS = InsufficientCreditsError(402, "INSUFFICIENT_CREDITS", "top up")
LOST = ReplyLostError("POST /batch/distill: the connection broke")


class Desk:
    """Partitions whose URLs are sent; all that is written and posted lands in one list, in order."""

    def __init__(self, lists, answer, *, size=100, on_lost_reply="wait", slots=()):
        self.happened = []
        self.slots = iter(slots)
        self.answer = answer
        self.jobs = 0
        self.ledger = SubmissionRecords(crawl(), self._write, {})
        self.checked = {partition(key): check_urls(listed) for key, listed in lists.items()}
        for where, checked in self.checked.items():
            self.ledger.open(where, checked, "request", "account")
        self.happened.clear()
        self.sender = Sender(self.ledger, REQUEST, self._slot, self._submit, on_lost_reply, LOG, clock=lambda: NOW)
        self.batches = pack({where: checked.wanted for where, checked in self.checked.items()}, size)

    def send(self):
        return self.sender.send_all(self.batches)

    def submission(self, key):
        return self.ledger.submissions[partition(key)]

    @property
    def posts(self):
        return [one for one in self.happened if isinstance(one, list)]

    @property
    def written(self):
        return [one for one in self.happened if not isinstance(one, list)]

    def kinds(self):
        return ["post" if isinstance(one, list) else one[1].event for one in self.happened]

    def _write(self, observation):
        record = from_metadata(observation.metadata)
        self.happened.append((observation.partition, record))

    def _slot(self):
        problem = next(self.slots, None)
        if problem is not None:
            raise problem

    def _submit(self, urls, request, _):
        assert request is REQUEST
        self.happened.append(list(urls))
        problem = self.answer(urls)
        if problem is not None:
            raise problem
        self.jobs += 1
        return job(self.jobs)


def accept(_urls):
    return None


def pages(*numbers):
    return [page(number) for number in numbers]


def test_an_intent_is_written_before_and_the_job_right_after_each_post():
    desk = Desk({"a": pages(1, 2), "b": pages(3, 4)}, accept, size=2)
    outcome = desk.send()
    assert desk.kinds() == ["intent", "post", "recorded"] * 2
    assert outcome.sent == 2
    assert outcome.problems == {}
    assert outcome.stopped is None
    (_, intent), _, (_, recorded) = desk.happened[:3]
    assert recorded.intent_id == intent.intent_id
    assert (recorded.job, recorded.at) == ("distill/batch_1", NOW)


def test_a_shared_job_is_written_for_all_its_partitions_and_its_home_first():
    desk = Desk({"a": pages(1, 2), "b": pages(2, 3)}, accept)
    desk.send()
    assert desk.kinds() == ["intent", "intent", "post", "recorded", "recorded"]
    assert desk.posts == [pages(1, 2, 3)]
    assert [key for key, _ in desk.written] == ["a", "b", "a", "b"]
    first, second = (record for _, record in desk.written[:2])
    assert (first.home, second.home) == ("a", "a")
    assert (first.size, second.size) == (3, 3)
    assert first.intent_id == second.intent_id
    assert [(item.job_position, item.position) for item in second.items] == [(1, 0), (2, 1)]
    assert [set(desk.submission(key).covered) for key in "ab"] == [{0, 1}, {0, 1}]


def test_a_crash_in_the_post_leaves_an_orphan():
    def crash(_urls):
        return KeyboardInterrupt()

    desk = Desk({"a": pages(1)}, crash)
    with pytest.raises(KeyboardInterrupt):
        desk.send()
    assert desk.kinds() == ["intent", "post"]
    assert len(desk.submission("a").orphans) == 1


@settings(max_examples=50)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60))
def test_a_job_that_is_too_large_is_halved(count, size, limit):
    def answer(urls):
        return BatchSizeExceededError(400, "BATCH_SIZE_EXCEEDED", "too many") if len(urls) > limit else None

    desk = Desk({"a": pages(*range(count))}, answer, size=size)
    outcome = desk.send()
    accepted = [posted for posted in desk.posts if len(posted) <= limit]
    assert [url for posted in accepted for url in posted] == pages(*range(count))
    assert set(desk.submission("a").covered) == set(range(count))
    assert desk.submission("a").rejected == []
    assert outcome.problems == {}
    assert desk.submission("a").orphans == []


@settings(max_examples=50)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=3, unique=True), st.integers(1, 40))
def test_a_bad_url_is_found_by_halving_and_alone_refused(bad, size):
    refused = set(pages(*bad))

    def answer(urls):
        return BadRequestError(400, "INVALID_URL", "no such page") if refused & set(urls) else None

    desk = Desk({"a": pages(*range(31))}, answer, size=size)
    outcome = desk.send()
    submission = desk.submission("a")
    assert {url.url for url in submission.rejected} == refused
    assert set(submission.covered) == set(range(31)) - set(bad)
    assert outcome.problems == {}
    assert outcome.stopped is None
    depth = size.bit_length()
    assert len(desk.posts) <= 31 // size + 1 + 2 * len(bad) * depth


@settings(max_examples=50)
@given(st.sets(st.integers(0, 5)), st.integers(1, 6))
def test_a_bad_url_of_one_partition_is_no_fault_of_the_others(bad, size):
    """Six partitions of one URL each: what each is told of its URL does not depend on the jobs it shared."""
    refused = set(pages(*bad))

    def answer(urls):
        return BadRequestError(400, "INVALID_URL", "no such page") if refused & set(urls) else None

    desk = Desk({f"p{n}": pages(n) for n in range(6)}, answer, size=size)
    assert desk.send().problems == {}
    for number in range(6):
        submission = desk.submission(f"p{number}")
        assert len(submission.rejected) == (number in bad)
        assert set(submission.covered) == (set() if number in bad else {0})


STOPPERS = [
    OUT_OF_CREDITS,
    AuthenticationError(401, "API_KEY_REVOKED", "no"),
    RateLimitedError(429, "RATE_LIMIT_EXCEEDED", "later"),
    BudgetExceededError(90.0, 60.0),
    BadRequestError(400, "INVALID_SCHEMA", "the schema has no properties"),
    NotSentError("POST /batch/distill: connection refused"),
]


@pytest.mark.parametrize("error", STOPPERS, ids=lambda error: type(error).__name__)
def test_what_no_other_job_would_survive_stops_the_rest(error):
    """Credits, key, limits, a wrong request and an absent service are the same for every job."""
    answers = iter([None, error])
    desk = Desk({"a": pages(1), "b": pages(2, 3), "c": pages(4)}, lambda _: next(answers, None), size=1)
    outcome = desk.send()
    assert desk.posts == [pages(1), pages(2)]
    assert outcome.sent == 1
    assert set(outcome.problems) == {partition("b"), partition("c")}
    for reason in outcome.problems.values():
        assert "not submitted, nothing was paid" in reason
        assert str(error) in reason
    refused = [record for _, record in desk.written if isinstance(record, Refused)]
    assert len(refused) == 1
    assert desk.submission("b").orphans == []
    assert desk.submission("c").posts == {}


@pytest.mark.parametrize("error", [BudgetExceededError(90.0, 60.0), NotSentError("interrupted")], ids=repr)
def test_waiting_for_a_slot_leaves_no_intent_behind(error):
    desk = Desk({"a": pages(1), "b": pages(2), "c": pages(3)}, accept, size=1, slots=[None, error])
    outcome = desk.send()
    assert desk.kinds() == ["intent", "post", "recorded"]
    assert set(outcome.problems) == {partition("b"), partition("c")}
    assert all(f"not submitted, nothing was paid for these URLs: {error}" in r for r in outcome.problems.values())


def test_a_crash_while_waiting_for_a_slot_leaves_no_orphan():
    desk = Desk({"a": pages(1)}, accept, slots=[KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        desk.send()
    assert desk.happened == []
    assert desk.submission("a").orphans == []


def test_the_next_run_goes_on_where_credits_ended():
    answers = iter([None, OUT_OF_CREDITS])
    desk = Desk({"a": pages(1, 2, 3)}, lambda _: next(answers, None), size=1)
    desk.send()
    left = remaining(desk.checked[partition("a")], desk.submission("a"))
    assert [url.url for url in left.wanted] == pages(2, 3)


def test_a_refusal_for_one_job_leaves_the_others():
    answers = iter([ConfigurationError("urls: 'http://a\\u00a0b' is not an http or https URL"), None])
    desk = Desk({"a": pages(1), "b": pages(2)}, lambda _: next(answers), size=1)
    outcome = desk.send()
    assert outcome.stopped is None
    assert set(outcome.problems) == {partition("a")}
    assert set(desk.submission("b").covered) == {0}


def lost_after(*answers):
    waiting = iter(answers)
    return lambda _urls: next(waiting, None)


@pytest.mark.parametrize("policy", ["wait", "fail"])
def test_a_lost_reply_is_named_and_not_sent_again(policy):
    desk = Desk({"a": pages(1), "b": pages(2)}, lost_after(LOST), size=1, on_lost_reply=policy)
    outcome = desk.send()
    assert desk.posts == [pages(1), pages(2)]
    assert set(outcome.problems) == {partition("a")}
    assert "on_lost_reply='resubmit'" in outcome.problems[partition("a")]
    assert desk.kinds()[:3] == ["intent", "post", "lost"]
    (lost,) = (record for _, record in desk.written if isinstance(record, Lost))
    assert not lost.resubmitted
    assert len(desk.submission("a").orphans) == 1
    assert set(desk.submission("a").known) == set()


def test_resubmitting_sends_a_lost_job_once_more():
    desk = Desk({"a": pages(1, 2)}, lost_after(LOST), on_lost_reply="resubmit")
    outcome = desk.send()
    assert desk.kinds() == ["intent", "post", "lost", "intent", "post", "recorded"]
    assert desk.posts == [pages(1, 2)] * 2
    assert outcome.problems == {}
    intents = [record for _, record in desk.written if isinstance(record, Intent)]
    assert [intent.attempt for intent in intents] == [1, 2]
    assert len({intent.intent_id for intent in intents}) == 2
    assert desk.submission("a").orphans == []


def test_resubmitting_ends_after_the_second_loss():
    desk = Desk({"a": pages(1)}, lambda _: LOST, on_lost_reply="resubmit")
    outcome = desk.send()
    assert len(desk.posts) == 2
    assert set(outcome.problems) == {partition("a")}
    assert [post.intent.attempt for post in desk.submission("a").orphans] == [2]


def test_halves_of_a_resubmitted_job_are_second_attempts():
    answers = iter([LOST, BatchSizeExceededError(400, "BATCH_SIZE_EXCEEDED", "too many"), None, None])
    desk = Desk({"a": pages(1, 2)}, lambda _: next(answers), on_lost_reply="resubmit")
    assert desk.send().problems == {}
    assert [r.attempt for _, r in desk.written if isinstance(r, Intent)] == [1, 2, 2, 2]


@pytest.mark.parametrize("arrived", [True, False])
def test_whether_a_reply_was_lost_is_the_clients_word(arrived):
    server, unreadable = ServerError(500, "INTERNAL_ERROR", "oops"), ProtocolError("no id", may_have_arrived=arrived)
    server.may_have_arrived = arrived
    for error in (server, unreadable):
        desk = Desk({"a": pages(1)}, lost_after(error))
        outcome = desk.send()
        assert len(desk.submission("a").orphans) == arrived
        assert ("nothing was paid" in outcome.problems[partition("a")]) != arrived


ANSWERS = [None, OUT_OF_CREDITS, LOST, BadRequestError(400, "INVALID_URL", "no")]


@given(
    st.dictionaries(st.sampled_from("abc"), st.lists(st.builds(page, st.integers(0, 6)), max_size=6), min_size=1),
    st.lists(st.sampled_from(ANSWERS), max_size=8),
    st.sampled_from(["wait", "resubmit", "fail"]),
    st.integers(1, 4),
)
def test_whatever_happens_no_url_is_forgotten(lists, answers, policy, size):
    """After any answers each URL has a job, is refused, or its partition has a problem; the log says the same."""
    coming = iter(answers)
    desk = Desk(lists, lambda _: next(coming, None), size=size, on_lost_reply=policy)
    opened = {where: ledger.opened for where, ledger in desk.ledger.submissions.items()}
    outcome = desk.send()
    for where, checked in desk.checked.items():
        submission = desk.ledger.submissions[where]
        told = {url.position for url in submission.rejected} | set(submission.covered)
        assert where in outcome.problems or told >= {url.position for url in checked.wanted}
        assert not {url.position for url in submission.rejected} & set(submission.covered)
        log = [record for key, record in desk.written if key == where.key]
        assert fold([opened[where], *log]) == submission
    posted = [url for posted in desk.posts for url in posted]
    if policy != "resubmit":
        recorded = [r for _, r in desk.written if isinstance(r, Recorded)]
        assert len({r.job for r in recorded}) == desk.jobs
    assert set(posted) <= {url for listed in lists.values() for url in listed}


def test_opening_writes_what_needs_no_request():
    written = []
    ledger = SubmissionRecords(crawl(), written.append, {})
    ledger.open(partition("a"), check_urls([page(1), page(1, "#x"), "bad url"]), "request", "account")
    record = from_metadata(written[0].metadata)
    assert isinstance(record, Opened)
    assert (record.total, record.request, record.account) == (3, "request", "account")
    assert [url.position for url in record.rejected] == [2]
    ledger.amend(partition("a"), check_urls([page(1)]))
    assert len(written) == 1
