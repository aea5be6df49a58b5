"""A planned backfill as figures, and as tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TypedDict

from rich.console import Console
from rich.table import Table

from thunderbit_dagster.backfill.plan import Backfill, Need


class UrlCounts(TypedDict):
    """URLs of a partition, or of all: ``to_send`` are what is left of ``listed`` after all the others."""

    listed: int
    repeated: int
    refused: int
    in_open_jobs: int
    reply_unknown: int
    to_send: int


class Credits(TypedDict):
    """``at_most`` is None when URLs of some partitions are not known; ``known_at_most`` leaves those out."""

    per_url_at_most: int
    at_most: int | None
    known_at_most: int
    not_paid_again: int
    used_today: int


class Figures(TypedDict):
    """What ``--json`` prints. A partition of ``unread`` is None, and in none of the other figures."""

    crawl: str
    partitions: dict[str, UrlCounts | None]
    unread: dict[str, list[str]]
    urls: UrlCounts
    batch_jobs: int
    requests: dict[str, int]
    credits: Credits
    caps: list[str]
    dagster_runs: dict[str, int]
    seconds: int
    assumed: dict[str, float]
    warnings: list[str]


SHOWN = 20
"""Partitions listed one by one."""


def figures(backfill: Backfill, *, knows_dagster: bool) -> Figures:
    """All that is to be said of a backfill."""
    work, limits = backfill.forecast, backfill.limits
    return Figures(
        crawl=backfill.crawl.name,
        partitions={str(need.partition): None if need.unread else _urls([need]) for need in backfill.needs},
        unread={reason: [str(need.partition) for need in needs] for reason, needs in backfill.unread.items()},
        urls=_urls(backfill.needs),
        batch_jobs=work.submits,
        requests={
            "submits": work.submits,
            "status_polls": work.polls,
            "page_reads": work.page_reads,
            "all": work.requests,
        },
        credits=_credits(backfill),
        caps=backfill.caps(),
        dagster_runs={"submit": len(backfill.runs), "collect_at_least": sum(map(bool, backfill.run_credits))},
        seconds=round(work.seconds),
        assumed={
            "requests_per_minute": limits.requests_per_minute,
            "concurrent_jobs": limits.concurrent_jobs,
            "seconds_per_page": limits.seconds_per_page,
            "sensor_interval_seconds": limits.tick_seconds,
        },
        warnings=_warnings(backfill, knows_dagster=knows_dagster),
    )


def _credits(backfill: Backfill) -> Credits:
    return Credits(
        per_url_at_most=backfill.price,
        at_most=None if backfill.unread else backfill.credits,
        known_at_most=backfill.credits,
        not_paid_again=sum(need.held for need in backfill.needs) * backfill.price,
        used_today=backfill.used_today,
    )


def _urls(needs: Sequence[Need]) -> UrlCounts:
    return UrlCounts(
        listed=sum(need.listed for need in needs),
        repeated=sum(need.repeated for need in needs),
        refused=sum(need.refused for need in needs),
        in_open_jobs=sum(need.held for need in needs),
        reply_unknown=sum(need.doubtful for need in needs),
        to_send=sum(len(need.to_send) for need in needs),
    )


def _warnings(backfill: Backfill, *, knows_dagster: bool) -> list[str]:
    told = _problems([need for need in backfill.needs if need.problem and not need.past])
    if past := backfill.past:
        told.append(
            f"{len(past):,} partition(s) are older than `past_dates` allows, and nothing is sent for them. "
            f"{past[0].partition}: {past[0].problem}."
        )
    if not knows_dagster:
        told.append(
            "No Dagster instance was found, so open jobs and credits used today are not known. Set DAGSTER_HOME."
        )
    if doubtful := sum(need.doubtful for need in backfill.needs):
        told.append(
            f"{doubtful:,} URLs are in submits whose reply was lost; whether they are sent again is "
            f"up to on_lost_reply, which is {backfill.thunderbit.on_lost_reply!r}."
        )
    oldest, deadline = timedelta(seconds=backfill.forecast.oldest_job_seconds), backfill.crawl.job_deadline
    if oldest > deadline:
        told.append(
            f"A job would be {timedelta(seconds=round(oldest.total_seconds()))} old when it ends, but job_deadline is "
            f"{deadline}: jobs older than that are given up. Raise it, or backfill in parts."
        )
    return told


def _problems(needs: Sequence[Need]) -> list[str]:
    told = [f"{need.partition}: {need.problem}" for need in needs[:SHOWN]]
    return [*told, f"... {len(needs) - SHOWN:,} more of this kind"] if len(needs) > SHOWN else told


def print_plan(found: Figures) -> None:
    """Tables for people: the partitions (the first and the last, when there are many), then the sums."""
    console = Console()
    console.print(_partition_table(found))
    console.print(_sums(found))
    for text in found["caps"]:
        console.print(f"Cap: {text}", style="yellow", highlight=False, markup=False)
    for text in found["warnings"]:
        console.print(f"Note: {text}", highlight=False, markup=False)


def _partition_table(found: Figures) -> Table:
    view = Table(title=f"Crawl {found['crawl']}: URLs")
    view.add_column("partition")
    for name in UrlCounts.__annotations__:
        view.add_column(name.replace("_", " "), justify="right")
    listed = list(found["partitions"].items())
    for name, urls in listed[:SHOWN]:
        view.add_row(name, *_cells(urls))
    if len(listed) > SHOWN:
        view.add_row(f"... {len(listed) - SHOWN:,} more")
    view.add_section()
    view.add_row("all known" if found["unread"] else "all", *_cells(found["urls"]))
    return view


def _cells(urls: UrlCounts | None) -> list[str]:
    return [f"{value:,}" for value in urls.values()] if urls else ["?"] * len(UrlCounts.__annotations__)


def _sums(found: Figures) -> Table:
    requests, runs, assumed = found["requests"], found["dagster_runs"], found["assumed"]
    view = Table(title="What it takes", show_header=False)
    view.add_row("Dagster runs", f"{runs['submit']:,} to submit, at least {runs['collect_at_least']:,} to collect")
    view.add_row("batch jobs", f"{found['batch_jobs']:,}")
    view.add_row(
        "requests",
        f"about {requests['all']:,}: {requests['submits']:,} submits, {requests['status_polls']:,} status polls, "
        f"{requests['page_reads']:,} page reads",
    )
    view.add_row(
        "credits", f"{found['credits']['known_at_most']:,} at most, {found['credits']['per_url_at_most']:,} per URL"
    )
    for reason, names in found["unread"].items():
        view.add_row("not counted here", f"{len(names):,} partition(s) whose URLs {reason}")
    view.add_row("not paid again", f"{found['credits']['not_paid_again']:,} credits, in open jobs")
    view.add_row("used today", f"{found['credits']['used_today']:,} credits (UTC)")
    view.add_row("time", f"about {timedelta(seconds=found['seconds'])}")
    view.add_row(
        "assumed",
        f"{assumed['requests_per_minute']:,} requests per minute, {assumed['concurrent_jobs']:,} concurrent jobs, "
        f"{assumed['seconds_per_page']:g} s per page",
    )
    return view
