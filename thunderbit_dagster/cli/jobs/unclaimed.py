"""Open submissions that no crawl of the definitions looks after, and what can be done about them.

A key may be gone from its crawl, a crawl may have another name now, or another code location began the submission.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import click
import dagster as dg
from rich.table import Table

from thunderbit_dagster.collection.collect import Collection
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.definitions import Built
from thunderbit_dagster.extraction.output import output_of
from thunderbit_dagster.ledger.event_log import LedgerReader, open_submissions, outcome_observation, shared_outcomes
from thunderbit_dagster.ledger.owner import Owner
from thunderbit_dagster.ledger.records import Collected, Moved, Opened, Sealed, to_metadata
from thunderbit_dagster.ledger.submissions import Submission
from thunderbit_dagster.resource import ThunderbitResource

BY = "thunderbit-dagster jobs"


@dataclass(frozen=True)
class Unclaimed:
    """A partition's open submission that no definition looks after: whose it is, its newest record, and why."""

    crawl: str
    key: str | None
    record: Opened | Sealed
    reason: str

    @property
    def jobs(self) -> list[str]:
        """Its batch jobs, once everything was sent."""
        return [share.job for share in self.record.jobs] if isinstance(self.record, Sealed) else []

    def __str__(self) -> str:
        return f"{self.crawl}, {self.key or 'the whole crawl'}"


def find_unclaimed(instance: dg.DagsterInstance, builds: Sequence[Built], after: float) -> list[Unclaimed]:
    """The open submissions begun after a Unix time that the sensor of these definitions does not collect.

    Those whose jobs other partitions have a share in are left out: the rows go there.
    """
    homes = {crawl.name: (crawl, built) for built in builds for crawl in built.crawls}
    found: list[Unclaimed] = []
    shared = set[str]()
    for name, recent in shared_outcomes(instance, after=after).items():
        left = {}
        for key, record in open_submissions(recent).items():
            if reason := _why_unclaimed(homes.get(name), name, key, record):
                left[key] = Unclaimed(name, key, record, reason)
        found += left.values()
        sealed = [entry for entry in recent if isinstance(entry.record, Sealed) and entry.partition_key not in left]
        shared.update(share.job for entry in sealed if isinstance(entry.record, Sealed) for share in entry.record.jobs)
    return [one for one in found if not one.jobs or not shared.issuperset(one.jobs)]


def _why_unclaimed(home: tuple[Crawl, Built] | None, name: str, key: str | None, record: Opened | Sealed) -> str | None:
    if home is None:
        return f"no crawl is named {name}"
    crawl, built = home
    if not Owner("", built.store.base_uri).owns(Owner("", record.store)):
        return f"it publishes to {record.store}"
    return None if crawl.knows(crawl.partition(key)) else "the crawl has no such partition"


def unclaimed_table(found: Sequence[Unclaimed]) -> Table:
    """One line for each submission."""
    view = Table("crawl", "partition", "jobs", "why", box=None, pad_edge=False, title="Not covered by any definition")
    for one in found:
        view.add_row(one.crawl, one.key or "", ", ".join(one.jobs) or "submission incomplete", one.reason)
    return view


def claim_submissions(instance: dg.DagsterInstance, crawl: Crawl, built: Built, after: float) -> Iterator[str]:
    """Take over a crawl's open submissions that another code location, or another store, began; their partitions."""
    for key, record in open_submissions(shared_outcomes(instance, after=after).get(crawl.name, [])).items():
        mine = {"location": "", "store": built.store.base_uri}
        if (record.location, record.store) == ("", built.store.base_uri):
            continue
        moved = Moved(submission_id=record.submission_id, location="", store=built.store.base_uri)
        words = f"taken over for {built.store.base_uri}"
        instance.report_runless_asset_event(
            dg.AssetObservation(
                crawl.key("submissions"), partition=key, metadata={"event": words, **to_metadata(moved)}
            )
        )
        taken = record.model_copy(update=mine)
        instance.report_runless_asset_event(outcome_observation(crawl, key, taken, f"taken over by {BY} claim"))
        yield key or "the whole crawl"


def collect_submissions(
    instance: dg.DagsterInstance, built: Built, thunderbit: ThunderbitResource, one: Unclaimed
) -> tuple[int, int]:
    """Publish the rows of a submission under the key and the name that it was made for; how many succeeded and failed.

    Raises:
        click.ClickException: they cannot be published there, and why.
    """
    crawl, submission = _crawl_of(instance, built, one)
    partition = crawl.partition(one.key)
    if one.key is not None and not partition.dimensions:
        raise click.ClickException(
            f"{one}: the key does not have the dimensions of the current partitions. Materialize `submissions` of the "
            "partitions that list its URLs: their rows go there, and nothing is paid again."
        )
    run = Collection(
        client=thunderbit.client,
        store=built.store,
        crawl_name=crawl.name,
        run_id=BY,
        log=logging.getLogger("thunderbit_dagster"),
        explain=thunderbit.explain,
        output=output_of(crawl.request),
        fragments=crawl.fragments,
    )
    report = run.collect({partition: submission}).get(partition)
    if report is None or report.pair is None:
        raise click.ClickException(f"{one}: {run.problems.get(partition, 'nothing was published')}")
    succeeded, failed = report.pair.succeeded.rows, report.pair.failed.rows
    record = Collected(submission_id=submission.id, succeeded=succeeded, failed=failed)
    instance.report_runless_asset_event(outcome_observation(crawl, one.key, record, f"collected by {BY} collect"))
    return succeeded, failed


def _crawl_of(instance: dg.DagsterInstance, built: Built, one: Unclaimed) -> tuple[Crawl, Submission]:
    """A crawl of the definitions under the submission's name, of the same request."""
    for crawl in sorted(built.crawls, key=lambda crawl: crawl.name != one.crawl):
        named = replace(crawl, name=one.crawl)
        submission = LedgerReader(instance, named).submissions([one.key]).get(one.key)
        if submission and submission.opened.request == crawl.request.fingerprint():
            return named, submission
    raise click.ClickException(
        f"{one}: no crawl in the definitions has the same request, so the schema of its rows is not known."
    )
