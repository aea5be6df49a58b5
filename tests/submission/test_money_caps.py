"""Caps on credits: what fits is sent, the rest is not submitted and never failed."""

import threading
import time
from functools import partial
from unittest import mock

import dagster as dg
import pytest
from crawl_world import crawl, failure_of, new_instance, one_partition, resource
from hypothesis import given, settings
from hypothesis import strategies as st

from thunderbit_dagster import Crawl, Distill, ThunderbitResource
from thunderbit_dagster.emulator import Rule
from thunderbit_dagster.ledger.credits import CREDITS, CreditReader, Tally, day_start
from thunderbit_dagster.ledger.event_log import Entry
from thunderbit_dagster.ledger.records import Bill, Billed, Reserved, Settled
from thunderbit_dagster.submission import asset
from thunderbit_dagster.submission.credit_caps import TRIES, Caps, CreditCaps, UsedCredits

UNPAID = "not submitted, nothing was paid for these URLs"


class WorkerKilledError(Exception):
    """Stands for the end of the process."""


def at(moment):
    """Submissions whose caps are judged by a clock of their own."""
    return mock.patch.object(asset, "CreditCaps", partial(CreditCaps, clock=lambda: moment))


def flat(jobs):
    return [url for job in jobs for url in job]


def test_a_run_sends_what_fits_its_cap_and_the_next_run_sends_the_rest(line, pages):
    urls = pages.urls(5)
    docs = line(one_partition(urls, batch_size=2), max_credits_per_run=3)
    _, reasons = failure_of(docs.submit())
    assert docs.sent() == [urls[:2], urls[2:3]]
    for part in (UNPAID, "`max_credits_per_run` is 3; 3 are", "the next run continues here"):
        assert part in reasons["all"]
    assert docs.published("submissions") == set()
    docs.through()
    assert docs.sent() == [urls[:2], urls[2:3], urls[3:]]
    assert docs.urls("succeeded") == urls
    assert docs.urls("failed") == []


def test_a_cap_that_just_suffices_is_no_obstacle(line, pages):
    urls = pages.urls(4)
    docs = line(one_partition(urls, batch_size=2), max_credits_per_run=4, max_credits_per_day=4)
    docs.through()
    assert docs.sent() == [urls[:2], urls[2:]]


def test_the_price_of_a_url_counts_not_the_url(line, pages):
    urls = pages.urls(3)
    docs = line(one_partition(urls, request=Distill(summary=True)), max_credits_per_run=14)
    _, reasons = failure_of(docs.submit())
    assert docs.sent() == [urls[:2]]
    assert "10 are used or reserved by this run, and a URL may cost 5" in reasons["all"]


def test_partitions_before_the_cap_are_published_and_only_those_behind_it_are_incomplete(line, pages):
    lists = {key: pages.urls(2) for key in "abc"}
    docs = line(crawl(lists, batch_size=2), max_credits_per_run=3)
    _, reasons = failure_of(docs.submit("a", "c"))
    assert docs.published("submissions") == {"a"}
    assert set(reasons) == {"b", "c"}
    assert docs.sent() == [lists["a"], lists["b"][:1]]


def test_a_retry_of_the_step_in_the_same_run_has_no_new_cap(line, pages):
    docs = line(one_partition(pages.urls(5)), max_credits_per_run=2)
    retrying = [one.with_attributes() for one in docs.definitions.assets]
    job = dg.define_asset_job(
        "retrying",
        selection=[docs.crawl.key("submissions")],
        op_retry_policy=dg.RetryPolicy(max_retries=2),
        executor_def=dg.in_process_executor,
    )
    defs = dg.Definitions(assets=retrying, jobs=[job], resources=docs.definitions.resources)
    run = defs.resolve_job_def("retrying").execute_in_process(
        instance=docs.instance, partition_key="all", raise_on_error=False
    )
    assert not run.success
    assert sum(event.event_type_value == "STEP_RESTARTED" for event in run.all_events) == 2
    assert len(flat(docs.sent())) == 2


def test_the_day_is_counted_over_crawls_and_runs_and_a_new_day_begins_at_midnight_utc(line, pages):
    now = time.time()
    first, second = one_partition(pages.urls(3)), one_partition(pages.urls(3))
    docs = line(first, second, max_credits_per_day=4)
    with at(now):
        assert docs.submit().success
        docs.crawls = [second, first]
        _, reasons = failure_of(docs.submit())
        assert len(flat(docs.sent())) == 4
        for part in (UNPAID, "`max_credits_per_day` is 4; 4 are", "since midnight (UTC)", "00:00 UTC"):
            assert part in reasons["all"]
        failure_of(docs.submit())
        assert len(flat(docs.sent())) == 4
    with at(day_start(now) + 86_400):
        assert docs.submit().success
    assert flat(docs.sent()) == [*first.urls["all"], *second.urls["all"]]


def test_another_account_in_the_same_instance_has_a_day_of_its_own(line, pages):
    for _ in range(2):
        docs = line(one_partition(pages.urls(2)), max_credits_per_day=2)
        assert docs.submit().success


def test_once_collected_the_bill_counts_and_not_the_estimate(line, pages):
    urls = [*pages.urls(2), *pages.urls(2, "missing")]
    docs = line(one_partition(urls), max_credits_per_day=4)
    docs.through()
    assert docs.emulator.credits_left == 1_000_000 - 2
    more = pages.urls(3)
    docs.crawls = [one_partition(more)]
    _, reasons = failure_of(docs.submit())
    assert docs.sent() == [urls, more[:2]]
    assert "`max_credits_per_day` is 4; 4 are" in reasons["all"]


def test_what_the_api_refused_is_not_counted(line, pages, emulator_of):
    urls = pages.urls(2)
    emulator = emulator_of(Rule("status", method="POST", route="/batch/*", nth=(1,), status=402))
    docs = line(one_partition(urls), emulator=emulator, max_credits_per_day=2)
    _, reasons = failure_of(docs.submit())
    assert "INSUFFICIENT_CREDITS" in reasons["all"]
    docs.through()
    assert docs.urls("succeeded") == urls


def test_a_submit_whose_reply_was_lost_stays_counted_and_is_not_sent_over_the_cap(line, pages, emulator_of):
    urls = pages.urls(2)
    emulator = emulator_of(Rule("drop_after", method="POST", route="/batch/*", nth=(1,)))
    docs = line(one_partition(urls), emulator=emulator, on_lost_reply="resubmit", max_credits_per_day=3)
    _, reasons = failure_of(docs.submit())
    assert [len(job) for job in docs.sent()] == [2, 1]
    assert "`max_credits_per_day` is 3; 3 are" in reasons["all"]


def test_a_run_killed_before_its_post_leaves_its_credits_set_aside(line, pages):
    urls = pages.urls(2)
    docs = line(one_partition(urls), max_credits_per_day=3)
    with mock.patch.object(asset.SubmissionRun, "_submit", side_effect=WorkerKilledError):
        assert not docs.submit().success
    docs.crawls = [one_partition(urls)]
    failure_of(docs.submit())
    assert docs.sent() == [urls[:1]]


def test_a_partitions_cap_holds_over_the_runs_that_continue_its_submission(line, pages):
    urls = pages.urls(5)
    small = one_partition(urls, batch_size=2, max_credits_per_partition=3)
    docs = line(small)
    _, reasons = failure_of(docs.submit())
    assert docs.sent() == [urls[:2], urls[2:3]]
    for part in (UNPAID, "`max_credits_per_partition` is 3", "the first 3 fit", "Raise the cap"):
        assert part in reasons["all"]
    _, reasons = failure_of(docs.submit())
    assert "earlier runs took 3 of it" in reasons["all"]
    assert docs.posts == 2
    docs.crawls = [one_partition(urls, name=small.name, batch_size=2, max_credits_per_partition=5)]
    docs.through()
    assert docs.sent() == [urls[:2], urls[2:3], urls[3:]]
    assert docs.urls("succeeded") == urls


def test_once_collected_a_partitions_cap_begins_anew(line, pages):
    docs = line(one_partition(pages.urls(2), max_credits_per_partition=2))
    docs.through()
    docs.through()
    assert len(docs.jobs) == 2


def test_a_partition_over_its_cap_leaves_the_others_alone(line, pages):
    lists = {"large": pages.urls(3), "small": pages.urls(2)}
    docs = line(crawl(lists, max_credits_per_partition=2))
    _, reasons = failure_of(docs.submit("large", "small"))
    assert set(reasons) == {"large"}
    assert docs.published("submissions") == {"small"}
    assert docs.sent() == [[*lists["large"][:2], *lists["small"]]]


def test_caps_that_allow_nothing_are_refused_at_once(pages):
    with pytest.raises(ValueError, match="max_credits_per_partition"):
        Crawl(name="docs", urls=pages.urls(1), request=Distill(summary=True), max_credits_per_partition=4)
    with pytest.raises(ValueError, match="max_credits_per_day"):
        ThunderbitResource(api_key="tb_" + "0" * 32, max_credits_per_day=0)
    with pytest.raises(ValueError, match="max_credits_per_run"):
        ThunderbitResource(api_key="tb_" + "0" * 32, max_credits_per_run=0)


# Runs at the same time


def purse(instance, account, cap, price=1):
    """A run's purse; what it writes carries no run, as from outside of one."""
    reader = CreditReader(instance, account, day_start(time.time()) - 86_400)
    return CreditCaps(Caps(per_day=cap), price, "docs", "a run", reader, instance.report_runless_asset_event)


def test_of_two_runs_that_saw_the_same_credits_free_one_at_most_gets_them(instance):
    one, other = purse(instance, "two", 10), purse(instance, "two", 10)
    assert (one.fitting(8), other.fitting(8)) == (8, 8)
    assert one.reserve("a", 8)
    assert not other.reserve("b", 8)
    assert other.fitting(8) == 2
    assert other.reserve("c", 2)


def test_after_some_collisions_a_run_gives_up(instance):
    one, other = purse(instance, "busy", 10), purse(instance, "busy", 10)
    assert one.reserve("busy", 8)
    for number in range(TRIES):
        assert not other.reserve(f"late-{number}", 8)
    assert other.fitting(1) == 0
    assert "other runs" in other.refusal()


def test_many_runs_at_once_never_pass_the_cap(instance):
    cap, passed = 20, []

    def spend(name):
        own = purse(instance, "many", cap)
        for number in range(6):
            fits = own.fitting(3)
            if not fits:
                return
            if own.reserve(f"{name}-{number}", fits):
                passed.append(fits)

    threads = [threading.Thread(target=spend, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 < sum(passed) <= cap
    reader = CreditReader(instance, "many", 0.0)
    assert reader.tally().since(0) == sum(passed)


def test_events_that_become_visible_late_are_read_all_the_same(tmp_path):
    """As on PostgreSQL, where a lower storage id may be committed after a higher one."""
    clock, invisible = [0.0], set()

    class Late:
        """An event log that does not show some events yet."""

        def fetch_observations(self, wanted, **options):
            page = instance.fetch_observations(wanted, **options)
            seen = [record for record in page.records if record.storage_id not in invisible]
            return dg.EventRecordsResult(seen, page.cursor, page.has_more)

    with new_instance(tmp_path, spare=True) as instance:
        reader = CreditReader(Late(), "late", 0.0, monotonic=lambda: clock[0])
        writer = purse(instance, "late", 100)
        writer.reserve("a", 1)
        writer.reserve("b", 2)
        events = instance.fetch_observations(dg.AssetRecordsFilter(CREDITS), limit=2, ascending=True).records
        invisible.add(events[0].storage_id)
        assert reader.tally().since(0) == 2
        clock[0] = 30.0
        invisible.clear()
        assert reader.tally().since(0) == 3


def test_settled_events_are_not_read_again(tmp_path):
    clock, asked = [0.0], []

    class Counting:
        """An event log that counts what it hands out."""

        def fetch_observations(self, wanted, **options):
            page = instance.fetch_observations(wanted, **options)
            asked.append(len(page.records))
            return page

    with new_instance(tmp_path, spare=True) as instance:
        reader = CreditReader(Counting(), "long", 0.0, monotonic=lambda: clock[0])
        writer = purse(instance, "long", 100)
        for number in range(5):
            writer.reserve(f"{number}", 1)
            clock[0] += 50.0
            assert reader.tally().since(0) == number + 1
        assert max(asked) <= 3


# Decisions


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 60), st.integers(0, 60))
def test_what_is_left_is_what_the_tighter_cap_leaves(per_run, per_day, by_run, today):
    used = UsedCredits(by_run, today)
    assert Caps().left(used) is None
    assert Caps(per_run).left(used) == per_run - by_run
    assert Caps(per_run, per_day).left(used) == min(per_run - by_run, per_day - today)


@settings(max_examples=60)
@given(
    st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.integers(1, 30), st.none() | st.integers(0, 40))),
    st.randoms(use_true_random=False),
)
def test_a_tally_does_not_depend_on_order_or_repetition(jobs, random):
    records = [
        Reserved(account="mine", crawl="docs", intent_id=name, credits=asked) for name, (asked, _) in jobs.items()
    ]
    known = [(name, bill) for name, (_, bill) in jobs.items() if bill is not None]
    split = random.randint(0, len(known))
    records += [Settled(intent_id=name, credits=bill) for name, bill in known[:split]]
    records += [Billed(bills=tuple(Bill(intent_id=name, credits=bill, job="job") for name, bill in known[split:]))]
    records += [Reserved(account="another", crawl="docs", intent_id="x", credits=1_000)]
    shuffled = [*records, *records]
    random.shuffle(shuffled)
    tally = Tally("mine")
    for number, record in enumerate(shuffled):
        tally.take(Entry(number, 100.0, None, "run", record))
    due = sum(asked if bill is None else bill for asked, bill in jobs.values())
    assert tally.since(100.0) == tally.of_run("run") == due
    assert tally.since(100.1) == tally.of_run("another run") == 0


def test_the_uses_of_credits_plot_on_one_asset_of_all_crawls(line, pages):
    docs = line(one_partition(pages.urls(2)))
    docs.through()
    records = docs.instance.fetch_observations(dg.AssetRecordsFilter(CREDITS), limit=2).records
    shown = {name: value.value for r in records for name, value in r.asset_observation.metadata.items()}
    assert (shown["credits reserved"], shown["credits used"]) == (2, 2)
    assert (shown["crawl"], shown["job"]) == (docs.crawl.name, f"distill/{docs.jobs[0].id}")
    assert resource(docs.emulator).api_key not in str(shown)
