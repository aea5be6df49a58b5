"""What the demo says at its end: what was submitted, what came of it, and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from thunderbit_dagster.cli.processes import http_client
from thunderbit_dagster.collection.checks import Audit, audit
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.ledger.event_log import LedgerReader
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.storage.store import ParquetStore


@dataclass(frozen=True, slots=True)
class Usage:
    """The emulator's counters at a moment."""

    requests: int
    submits: int
    reads: int
    credits_left: int
    fetches: int

    def since(self, before: Usage) -> Usage:
        """What was used in between; ``credits_left`` becomes the credits spent."""
        return Usage(
            self.requests - before.requests,
            self.submits - before.submits,
            self.reads - before.reads,
            before.credits_left - self.credits_left,
            self.fetches - before.fetches,
        )


def read_usage(emulator_url: str) -> Usage:
    """The counters of an emulator on this machine. They begin at 0 with each start; credits do not."""
    stats = http_client().get(f"{emulator_url}/_emulator/stats", timeout=10.0).raise_for_status().json()
    requests: Mapping[str, int] = stats["requests"]
    return Usage(
        requests=sum(requests.values()),
        submits=sum(count for route, count in requests.items() if route.startswith("POST /batch")),
        reads=sum(count for route, count in requests.items() if route.startswith("GET /batch")),
        credits_left=sum(account["left"] for account in stats["credits"].values()),
        fetches=stats["fetches"],
    )


def audit_all(crawl: Crawl, store: ParquetStore, reader: LedgerReader, partitions: list[Partition]) -> list[Audit]:
    """The conservation check of every partition, from the files and the event log."""
    sealed = reader.sealed([partition.key for partition in partitions])
    return [audit(p, store.pair(crawl.name, p.dimensions), sealed.get(p.key)) for p in partitions]


def failure_counts(crawl: Crawl, store: ParquetStore, partitions: Iterable[Partition]) -> Counter[tuple[str, str]]:
    """Failed rows by error code and class, over all partitions."""
    counts: Counter[tuple[str, str]] = Counter()
    for partition in partitions:
        rows = store.read(crawl.name, "failed", partition.dimensions, columns=["error_code", "error_class"])
        counts.update((row["error_code"], row["error_class"]) for row in rows.to_pylist())
    return counts


def print_partitions(console: Console, audits: list[Audit]) -> None:
    view = Table("URL partition", "submitted", "succeeded", "failed", "conservation", title="Rows")
    for column in (1, 2, 3):
        view.columns[column].justify = "right"
    for one in audits:
        counts = (str(one.submitted), str(one.succeeded), str(one.failed))
        view.add_row(str(one.partition), *counts, one.fault or "holds")
    totals = [sum(values) for values in zip(*((a.submitted, a.succeeded, a.failed) for a in audits), strict=True)]
    view.add_section()
    view.add_row("all", *map(str, totals), "holds" if not any(one.fault for one in audits) else "BROKEN")
    console.print(view)


def print_failures(console: Console, counts: Counter[tuple[str, str]]) -> None:
    view = Table("reason", "class", "URLs", title="Failed URLs")
    view.columns[2].justify = "right"
    for (code, error_class), count in counts.most_common():
        view.add_row(code, error_class, str(count))
    console.print(view)


def print_usage(console: Console, usage: Usage, seconds: float) -> None:
    view = Table(
        "batch jobs submitted", "polls and page reads", "pages fetched", "credits paid", "seconds", title="Cost"
    )
    for column in view.columns:
        column.justify = "right"
    view.add_row(str(usage.submits), str(usage.reads), str(usage.fetches), str(usage.credits_left), f"{seconds:.0f}")
    console.print(view)
