import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thunderbit_dagster.api.models import JobRef
from thunderbit_dagster.ledger.records import (
    RECORD_KEY,
    Amended,
    Collected,
    DuplicateUrl,
    Intent,
    JobShare,
    LedgerError,
    Lost,
    Opened,
    Progress,
    Recorded,
    Refused,
    RejectedUrl,
    Sealed,
    SentUrl,
    from_metadata,
    to_metadata,
)
from thunderbit_dagster.ledger.submissions import fold

texts = st.text(st.characters(codec="utf-8"), max_size=20)
numbers = st.integers(0, 10_000)
times = st.floats(0, 4e9)
rejected = st.lists(st.builds(RejectedUrl, position=numbers, url=texts, reason=texts), max_size=3).map(tuple)
duplicates = st.lists(st.builds(DuplicateUrl, position=numbers, url=texts, first=numbers), max_size=3).map(tuple)
items = st.lists(
    st.builds(SentUrl, job_position=numbers, position=numbers, url=texts, sent=st.none() | texts), max_size=3
).map(tuple)
records = st.one_of(
    st.builds(
        Opened,
        submission_id=texts,
        request=texts,
        account=texts,
        total=numbers,
        rejected=rejected,
        duplicates=duplicates,
    ),
    st.builds(Amended, submission_id=texts, rejected=rejected, duplicates=duplicates),
    st.builds(
        Intent,
        submission_id=texts,
        intent_id=texts,
        size=numbers,
        attempt=numbers,
        home=st.none() | texts,
        items=items,
    ),
    st.builds(Recorded, submission_id=texts, intent_id=texts, job=texts, at=times),
    st.builds(Refused, submission_id=texts, intent_id=texts, code=texts, message=texts),
    st.builds(Lost, submission_id=texts, intent_id=texts, message=texts, resubmitted=st.booleans()),
    st.builds(
        Sealed,
        submission_id=texts,
        total=numbers,
        jobs=st.lists(st.builds(JobShare, job=texts, rows=numbers, size=numbers, at=times), max_size=3).map(tuple),
    ),
    st.builds(
        Progress,
        job=texts,
        status=texts,
        done=st.none() | numbers,
        total=st.none() | numbers,
        credits_used=st.none() | numbers,
        missed=numbers,
        polls=numbers,
        at=times,
    ),
    st.builds(Collected, submission_id=texts, succeeded=numbers, failed=numbers),
)


@given(records)
def test_a_record_comes_back_from_an_event(record):
    event = dg.AssetObservation("docs", metadata={"rows": 3, **to_metadata(record)})
    stored = dg.deserialize_value(dg.serialize_value(event), dg.AssetObservation)
    assert from_metadata(stored.metadata) == record


def test_other_events_are_not_ours():
    assert from_metadata({}) is None
    assert from_metadata({"rows": dg.MetadataValue.int(3)}) is None
    assert from_metadata({RECORD_KEY: dg.MetadataValue.text("opened")}) is None


@pytest.mark.parametrize("change", [{"v": 2}, {"event": "rewound"}, {"submission_id": None}])
def test_a_record_of_a_newer_version_is_an_error(change):
    written = {**Collected(submission_id="s", succeeded=1, failed=0).model_dump(mode="json"), **change}
    with pytest.raises(LedgerError, match=r"version 1.*Upgrade") as raised:
        from_metadata({RECORD_KEY: dg.MetadataValue.json(written)})
    assert "Nothing was sent" in str(raised.value)


def test_a_new_field_of_a_newer_version_is_ignored():
    record = Collected(submission_id="s", succeeded=1, failed=0)
    written = {**record.model_dump(mode="json"), "mood": "fine"}
    assert from_metadata({RECORD_KEY: dg.MetadataValue.json(written)}) == record


JOB_SIZE = 3


@st.composite
def histories(draw):
    """A legal history of a partition: submissions one after another, each URL sent again only when it may be."""
    history = []
    for number in range(draw(st.integers(0, 3))):
        history += draw(submission_histories(f"s{number}"))
    return history


@st.composite
def submission_histories(draw, submission_id):
    total = draw(st.integers(1, 8))
    bad = draw(st.sets(st.integers(0, 7), max_size=2)) & set(range(total))
    left = [position for position in range(total) if position not in bad]
    repeats = {left.pop() for _ in range(draw(st.integers(0, max(0, len(left) - 1))))} if left else set()
    history = [
        Opened(
            submission_id=submission_id,
            request="r",
            account="a",
            total=total,
            rejected=tuple(RejectedUrl(position=p, url=f"u{p}", reason="bad") for p in sorted(bad)),
            duplicates=tuple(DuplicateUrl(position=p, url=f"u{p}", first=left[0]) for p in sorted(repeats)),
        )
    ]
    intents = 0
    while left and intents < 6:
        batch, left = left[:JOB_SIZE], left[JOB_SIZE:]
        intents += 1
        name = f"{submission_id}-{intents}"
        sent = tuple(SentUrl(job_position=n, position=p, url=f"u{p}") for n, p in enumerate(batch))
        history.append(Intent(submission_id=submission_id, intent_id=name, size=len(batch), items=sent))
        answer = draw(st.sampled_from(["recorded", "refused", "lost", "again", "silence"]))
        if answer == "recorded":
            history.append(Recorded(submission_id=submission_id, intent_id=name, job=f"distill/{name}", at=1.0))
        elif answer == "refused":
            history.append(
                Refused(submission_id=submission_id, intent_id=name, code="INSUFFICIENT_CREDITS", message="")
            )
        elif answer in {"lost", "again"}:
            again = answer == "again"
            history.append(Lost(submission_id=submission_id, intent_id=name, message="", resubmitted=again))
            left = batch + left if again else left
    return history


@given(histories(), st.data())
def test_every_prefix_of_a_history_is_consistent(history, data):
    prefix = history[: len(history) - data.draw(st.integers(0, len(history)))]
    submission = fold(prefix)
    opened = [record for record in prefix if isinstance(record, Opened)]
    if not opened:
        assert submission is None
        return
    newest = opened[-1]
    assert submission.opened == newest
    of_it = [record for record in prefix if record.submission_id == newest.submission_id]
    answered = {
        r.intent_id for r in of_it if isinstance(r, Recorded | Refused) or (isinstance(r, Lost) and r.resubmitted)
    }
    assert {post.intent.intent_id for post in submission.orphans} == {
        r.intent_id for r in of_it if isinstance(r, Intent)
    } - answered
    assert not {id(post) for post in submission.orphans} & {id(post) for post in submission.running}
    kinds = [
        set(submission.covered),
        {url.position for url in submission.rejected},
        {url.position for url in submission.duplicates},
    ]
    assert sum(map(len, kinds)) == len(set.union(*kinds))
    assert set(submission.known) == set.union(*kinds)
    assert all(submission.known[position] == f"u{position}" for position in submission.known)
    assert set(submission.known) <= set(range(newest.total))
    assert [share.job for share in submission.jobs] == [str(post.job) for post in submission.running]
    assert sum(share.rows for share in submission.jobs) == len(submission.covered)


def test_a_job_that_was_refused_for_one_url_of_another_partition_says_nothing_of_ours():
    """Two partitions with one URL each share a job of two; it is refused, and halved."""
    opened = Opened(submission_id="s", request="r", account="a", total=1)
    shared = Intent(
        submission_id="s", intent_id="i1", size=2, items=(SentUrl(job_position=0, position=0, url="http://good/"),)
    )
    refused = Refused(submission_id="s", intent_id="i1", code="INVALID_URL", message="http://bad")
    alone = shared.model_copy(update={"intent_id": "i2", "size": 1})
    recorded = Recorded(submission_id="s", intent_id="i2", job="distill/1", at=1.0)
    assert fold([opened, shared, refused]).rejected == []
    settled = fold([opened, shared, refused, alone, recorded])
    assert settled.rejected == []
    assert set(settled.covered) == {0}


def test_a_url_that_was_refused_alone_is_rejected():
    opened = Opened(submission_id="s", request="r", account="a", total=1)
    alone = Intent(
        submission_id="s", intent_id="i", size=1, items=(SentUrl(job_position=0, position=4, url="http://b"),)
    )
    refused = Refused(submission_id="s", intent_id="i", code="INVALID_URL", message="no such host")
    (url,) = fold([opened, alone, refused]).rejected
    assert (url.position, url.url) == (4, "http://b")
    assert "INVALID_URL" in url.reason
    assert "no such host" in url.reason
    broke = refused.model_copy(update={"code": "INSUFFICIENT_CREDITS"})
    assert fold([opened, alone, broke]).rejected == []


def test_answers_to_unknown_intents_and_records_of_other_submissions_are_ignored():
    first = Opened(submission_id="s1", request="r", account="a", total=1)
    second = first.model_copy(update={"submission_id": "s2"})
    intent = Intent(submission_id="s1", intent_id="i", size=1, items=(SentUrl(job_position=0, position=0, url="u"),))
    recorded = Recorded(submission_id="s1", intent_id="i", job="distill/1", at=1.0)
    stray = recorded.model_copy(update={"submission_id": "s2"})
    assert fold([first, recorded]).posts == {}
    assert fold([first, second, intent, recorded, stray]).posts == {}
    assert fold([intent, recorded]) is None
    assert fold([first, second]).id == "s2"


def test_reading_a_history_twice_changes_nothing():
    """Dagster may store an event more than once."""
    opened = Opened(submission_id="s", request="r", account="a", total=1)
    intent = Intent(submission_id="s", intent_id="i", size=1, items=(SentUrl(job_position=0, position=0, url="u"),))
    recorded = Recorded(submission_id="s", intent_id="i", job="extract/7", at=1.0)
    twice = fold([opened, intent, recorded, opened, intent, recorded])
    assert twice == fold([opened, intent, recorded])
    assert twice.running[0].job == JobRef.parse("extract/7")


@pytest.mark.parametrize(("resubmitted", "orphans"), [(False, 1), (True, 0)])
def test_a_lost_reply_leaves_an_orphan_until_it_is_decided(resubmitted, orphans):
    opened = Opened(submission_id="s", request="r", account="a", total=1)
    intent = Intent(submission_id="s", intent_id="i", size=1, items=(SentUrl(job_position=0, position=0, url="u"),))
    lost = Lost(submission_id="s", intent_id="i", message="timed out", resubmitted=resubmitted)
    assert len(fold([opened, intent]).orphans) == 1
    assert len(fold([opened, intent, lost]).orphans) == orphans
    found = Recorded(submission_id="s", intent_id="i", job="distill/1", at=1.0)
    assert fold([opened, intent, lost, found]).orphans == []


def test_an_intent_that_is_stored_again_keeps_its_answer():
    opened = Opened(submission_id="s", request="r", account="a", total=1)
    intent = Intent(submission_id="s", intent_id="i", size=1, items=(SentUrl(job_position=0, position=0, url="u"),))
    recorded = Recorded(submission_id="s", intent_id="i", job="distill/1", at=1.0)
    assert set(fold([opened, intent, recorded, intent]).covered) == {0}
