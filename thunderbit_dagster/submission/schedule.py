"""A crawl's schedule: all URL partitions of each new date in one run, or in slices over the time that it takes."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.crawl.schedule import BoundSchedule, slice_of
from thunderbit_dagster.lazy import LazyModule
from thunderbit_dagster.partitions import DATE, SEPARATOR, KeyRange, Partition, chunks, group_into_ranges
from thunderbit_dagster.runs.names import backfill_job_name, submit_set_op
from thunderbit_dagster.runs.partitions import range_tags, set_config

if TYPE_CHECKING:
    from thunderbit_dagster.ledger import event_log, records
else:
    event_log = LazyModule("thunderbit_dagster.ledger.event_log")
    records = LazyModule("thunderbit_dagster.ledger.records")

_NAMED = 10
"""How many dates a skipped tick names."""


def build_schedule(crawl: Crawl, job_name: str, status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition | None:
    """The schedule that submits the crawl by itself; None when it is not to be.

    Slices and dates that were missed are seldom contiguous, so with ``spread`` or ``catch_up`` it is the job
    ``<crawl>_backfill`` that is launched.
    """
    wanted = crawl.scheduled
    if wanted is None:
        return None
    bound = wanted.bound(crawl.cadence)
    as_sets = bool(bound.spread or bound.catch_up) and crawl.partitions_def is not None

    @dg.schedule(
        name=f"{crawl.name}_schedule",
        job_name=backfill_job_name(crawl) if as_sets else job_name,
        cron_schedule=bound.crons if len(bound.crons) > 1 else bound.cron,
        execution_timezone=bound.timezone,
        default_status=status,
        description=_description(crawl, bound),
    )
    def submit_new(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        with dg.partition_loading_context(dynamic_partitions_store=context.instance):
            return tick_requests(crawl, bound, context.instance, context.scheduled_execution_time, as_sets=as_sets)

    return submit_new


def _description(crawl: Crawl, bound: BoundSchedule) -> str:
    what = "all URL partitions" if crawl.has_url_keys else "all URLs"
    of = " of each new date" if crawl.cadence else ""
    how = f"spread over {bound.spread} after each tick" if bound.spread else "in one run"
    return f"Submits the crawl `{crawl.name}`: {what}{of}, {how}."


def tick_requests(
    crawl: Crawl,
    bound: BoundSchedule,
    instance: dg.DagsterInstance,
    now: datetime,
    *,
    as_sets: bool,
    clock: Callable[[], float] = time.time,
) -> list[dg.RunRequest] | dg.SkipReason:
    """The runs of one tick. A tick that is evaluated twice asks for the same runs, by the same run keys.

    What ``past_dates`` refuses by now is left out: ``now`` is the tick's time, and a daemon that was down is late.
    """
    tick = bound.tick(now)
    dates = dates_at(crawl, bound, tick) if tick else []
    if tick is None or not dates:
        return dg.SkipReason(f"No date of the crawl {crawl.name} is complete yet.")
    if crawl.partitions_def is None:
        return [dg.RunRequest(run_key=_stamp(tick))]
    if crawl.has_url_keys and not crawl.url_keys:
        return dg.SkipReason(crawl.why_no_partition())
    by_slice = sliced(crawl, dates, bound, tick, now)
    done = submitted(crawl, instance, [key for keys in by_slice.values() for key in keys], tick)
    refused = refused_dates(crawl, dates, max(now.timestamp(), clock()))
    late = too_late(crawl, instance, [key for keys in by_slice.values() for key in keys if key not in done], refused)
    left = {number: [key for key in keys if key not in done | late] for number, keys in by_slice.items()}
    if not any(left.values()):
        return dg.SkipReason(_nothing_left(crawl, refused, late))
    if as_sets:
        return [one for number, keys in left.items() for one in set_requests(crawl, keys, _slice_key(tick, number))]
    stamp = "" if crawl.cadence else f"{_stamp(tick)} "
    ranges = group_into_ranges(left[0], _axes(crawl, dates), _limit(crawl))
    return [schedule_run_request(one, stamp) for one in ranges]


def dates_at(crawl: Crawl, bound: BoundSchedule, tick: datetime) -> list[str | None]:
    """The dates that a tick is for, oldest first; [None] without a cadence."""
    if crawl.cadence is None:
        return [None]
    newest = last_date(crawl.cadence, tick)
    if newest is None:
        return []
    with dg.partition_loading_context(effective_dt=tick):
        return list(crawl.cadence.get_partition_keys()[-1 - bound.catch_up :]) if bound.catch_up else [newest]


def last_date(cadence: dg.TimeWindowPartitionsDefinition, now: datetime) -> str | None:
    """The newest complete partition of the cadence at a time."""
    with dg.partition_loading_context(effective_dt=now):
        return cadence.get_last_partition_key()


def sliced(
    crawl: Crawl, dates: Sequence[str | None], bound: BoundSchedule, tick: datetime, now: datetime
) -> dict[int, list[str]]:
    """The partitions of the slices whose time has come, in the crawl's order."""
    by_slice: dict[int, list[str]] = {number: [] for number in bound.slices_begun(tick, now)}
    for date in dates:
        for urls in crawl.url_keys if crawl.has_url_keys else [None]:
            number = slice_of(urls, bound.slices) if urls is not None else 0
            if number in by_slice:
                by_slice[number].append(SEPARATOR.join(part for part in (date, urls) if part is not None))
    return by_slice


def submitted(crawl: Crawl, instance: dg.DagsterInstance, keys: Sequence[str], tick: datetime) -> set[str]:
    """Those that need no submission: of a cadence those ever submitted, else those submitted since the tick."""
    reader = event_log.LedgerReader(instance, crawl)
    if crawl.cadence:
        return {str(key) for key in reader.sealed(keys)}
    since = reader.outcomes_since_time(tick.timestamp())
    return {str(entry.partition_key) for entry in since if isinstance(entry.record, records.Sealed)}


def refused_dates(crawl: Crawl, dates: Iterable[str | None], at: float) -> dict[str, str]:
    """The dates that are refused at a Unix time, each with the reason."""
    named = [date for date in dates if date is not None]
    reasons = {date: crawl.past_refusal(Partition(None, {DATE: date}), at) for date in named}
    return {date: reason for date, reason in reasons.items() if reason}


def too_late(
    crawl: Crawl, instance: dg.DagsterInstance, keys: Sequence[str], refused: Collection[str]
) -> frozenset[str]:
    """The partitions of refused dates, but for those that a run has begun to submit: they are finished."""
    late = [key for key in keys if crawl.partition(key).date in refused]
    begun = event_log.LedgerReader(instance, crawl).submissions(late) if late else {}
    request = crawl.request.fingerprint()
    return frozenset(key for key in late if key not in begun or begun[key].opened.request != request)


def _nothing_left(crawl: Crawl, refused: Mapping[str, str], late: Collection[str]) -> str:
    dates = list(dict.fromkeys(str(crawl.partition(key).date) for key in sorted(late)))
    if not dates:
        return f"All partitions of the crawl {crawl.name} that are due are submitted."
    first = refused[dates[0]]
    names = ", ".join([*dates[:_NAMED], *(["..."] if len(dates) > _NAMED else [])])
    return (
        f"Nothing is left to submit for the crawl {crawl.name}: {len(dates):,} date(s) are too old ({names}); all "
        f"others that are due are submitted. {first[:1].upper()}{first[1:]}."
    )


def schedule_run_request(keys: KeyRange, stamp: str = "") -> dg.RunRequest:
    """One run over a range; its key is the range, so a tick that is evaluated twice asks once.

    ``stamp`` tells ticks apart where a range comes again with each.
    """
    if keys.start == keys.end:
        return dg.RunRequest(run_key=f"{stamp}{keys.start}", partition_key=keys.start)
    return dg.RunRequest(run_key=f"{stamp}{keys.start}...{keys.end}", tags=range_tags(keys.start, keys.end))


def set_requests(crawl: Crawl, keys: Sequence[str], stamp: str) -> list[dg.RunRequest]:
    """Runs over any set of partitions, as few as ``max_partitions_per_run`` allows."""
    return [
        dg.RunRequest(run_key=f"{stamp}/{number}", run_config=set_config(submit_set_op(crawl), some))
        for number, some in enumerate(chunks(keys, _limit(crawl)))
    ]


def _axes(crawl: Crawl, dates: Sequence[str | None]) -> list[Sequence[str]]:
    named = [date for date in dates if date is not None]
    return [*([named] if named else []), *([crawl.url_keys] if crawl.has_url_keys else [])]


def _limit(crawl: Crawl) -> int:
    return crawl.max_partitions_per_run


def _stamp(tick: datetime) -> str:
    return f"{tick:%Y-%m-%dT%H:%M%z}"


def _slice_key(tick: datetime, number: int) -> str:
    return f"{_stamp(tick)}/slice-{number}"
