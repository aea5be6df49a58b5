"""Checks on what came back: how many URLs succeeded, pages without content, and pages that are the same.

They read the Parquet of a run's partitions after it was published, and hold nothing back. Executed on their own they
look at every partition in storage. Dagster records one evaluation for a run, so each has its numbers over all of the
run's partitions, and a table of the worst.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import dagster as dg

from thunderbit_dagster.collection.check_names import BLANK_DOCUMENTS, DUPLICATE_CONTENT, SUCCESS_RATE
from thunderbit_dagster.collection.checks import audit_partitions, evaluation
from thunderbit_dagster.collection.partition_writer import BLANK_COUNT, is_blank
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.metadata.tables import Cell, percent, table
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.storage.store import Footer, ParquetStore

WORST: Final = 20
"""How many partitions, or pages of a partition, a table names."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured of one partition.

    Attributes:
        blank: The URLs of pages without content.
        repeated: Pages whose content another page of the partition has, each with that page.
    """

    partition: Partition
    submitted: int
    succeeded: int
    blank: Sequence[str]
    repeated: Sequence[tuple[str, str]]

    @property
    def rate(self) -> float:
        """The share of URLs that succeeded; 1.0 when there were none."""
        return self.succeeded / self.submitted if self.submitted else 1.0


def check_partitions(
    instance: dg.DagsterInstance, crawl: Crawl, store: ParquetStore, partitions: Sequence[Partition]
) -> Iterator[dg.AssetCheckEvaluation]:
    """All checks of ``succeeded`` for some partitions, by a step that is not of them; none without partitions."""
    if not partitions:
        return
    yield from audit_partitions(instance, crawl, store, partitions)
    for result in quality_results(crawl, store, partitions):
        yield evaluation(crawl, result.check_name or "", result)


def quality_results(
    crawl: Crawl, store: ParquetStore, partitions: Sequence[Partition]
) -> Iterator[dg.AssetCheckResult]:
    """The result of each check over some partitions; those that are not in storage are left out."""
    measured = [found for one in partitions if (found := measure(store, crawl.name, one)) is not None]
    yield _blank_result(crawl, measured)
    yield _duplicate_result(crawl, measured)
    if crawl.success_rate is not None:
        yield _rate_result(crawl, measured, *crawl.success_rate)


def measure(store: ParquetStore, crawl: str, partition: Partition) -> Quality | None:
    """What the files of a partition say; None when there are none."""
    where = partition.dimensions
    succeeded, failed = store.footer(crawl, "succeeded", where), store.footer(crawl, "failed", where)
    if succeeded is None or failed is None:
        return None
    blank = _blank_pages(store, crawl, where, succeeded)
    return Quality(
        partition,
        succeeded.num_rows + failed.num_rows,
        succeeded.num_rows,
        blank,
        _repeated_pages(store, crawl, where, blank),
    )


def _blank_pages(store: ParquetStore, crawl: str, where: Mapping[str, str], footer: Footer) -> list[str]:
    if footer.metadata.get(BLANK_COUNT) == "0":  # spares reading every page of the partition
        return []
    rows = store.read(crawl, "succeeded", where, ["url", "markdown", "data"]).to_pylist()
    return [row["url"] for row in rows if is_blank(row["markdown"], row["data"])]


def _repeated_pages(
    store: ParquetStore, crawl: str, where: Mapping[str, str], blank: Sequence[str]
) -> list[tuple[str, str]]:
    rows = store.read(crawl, "succeeded", where, ["url", "canonical_url", "final_url", "content_hash"]).to_pylist()
    empty = set(blank)
    # Pages without content are alike, and the matter of another check. A page and what redirects to it are one.
    pages = {row["canonical_url"]: row for row in rows if row["url"] not in empty and row["content_hash"] is not None}
    first: dict[str, str] = {}
    for url, row in pages.items():
        first.setdefault(row["content_hash"], url)
    pairs = [(url, first[row["content_hash"]]) for url, row in pages.items()]
    return [(url, same) for url, same in pairs if url != same and not _is_one_page(pages[url], pages[same])]


def _is_one_page(row: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return row["final_url"] is not None and row["final_url"] == other["final_url"]


def _rate_result(crawl: Crawl, measured: Sequence[Quality], warn: float, error: float) -> dg.AssetCheckResult:
    submitted, succeeded = sum(one.submitted for one in measured), sum(one.succeeded for one in measured)
    worst = sorted((one for one in measured if one.rate < 1), key=lambda one: one.rate)
    low, bad = [one for one in worst if one.rate < warn], [one for one in worst if one.rate < error]
    numbers = {
        "urls submitted": submitted,
        "rows succeeded": succeeded,
        "success rate": round(succeeded / submitted, 4) if submitted else 1.0,
        "lowest success rate": round(worst[0].rate, 4) if worst else 1.0,
        "partitions checked": len(measured),
        "partitions with a warning or in error": len(low),
        "partitions in error": len(bad),
    }
    rows = ((str(one.partition), one.submitted, one.succeeded, round(one.rate, 4)) for one in worst[:WORST])
    columns = {"partition": "string", "urls": "int", "succeeded": "int", "success rate": "float"}
    text = f"{len(low)} of {len(measured)} partitions are below {percent(warn)}" if low else None
    return dg.AssetCheckResult(
        asset_key=crawl.key("succeeded"),
        check_name=SUCCESS_RATE,
        passed=not low,
        severity=dg.AssetCheckSeverity.ERROR if bad else dg.AssetCheckSeverity.WARN,
        description=text,
        metadata={**numbers, **({"worst partitions": table(columns, rows)} if worst else {})},
    )


def _blank_result(crawl: Crawl, measured: Sequence[Quality]) -> dg.AssetCheckResult:
    return _page_result(
        crawl,
        BLANK_DOCUMENTS,
        "pages without content",
        measured,
        found={one.partition: [(url,) for url in one.blank] for one in measured},
        columns=("url",),
    )


def _duplicate_result(crawl: Crawl, measured: Sequence[Quality]) -> dg.AssetCheckResult:
    return _page_result(
        crawl,
        DUPLICATE_CONTENT,
        "pages that repeat another",
        measured,
        found={one.partition: one.repeated for one in measured},
        columns=("url", "same content as"),
    )


def _page_result(
    crawl: Crawl,
    check: str,
    what: str,
    measured: Sequence[Quality],
    *,
    found: Mapping[Partition, Sequence[tuple[str, ...]]],
    columns: Sequence[str],
) -> dg.AssetCheckResult:
    """A check that counts pages: it warns when there are any, and names partitions and pages."""
    worst = sorted((one for one in measured if found[one.partition]), key=lambda one: -len(found[one.partition]))
    total, pages = sum(map(len, found.values())), sum(one.succeeded for one in measured)
    numbers = {
        what: total,
        f"share of {what}": round(total / pages, 4) if pages else 0.0,
        "pages checked": pages,
        "partitions checked": len(measured),
        f"partitions with {what}": len(worst),
    }
    counts = ((str(one.partition), len(found[one.partition]), one.succeeded) for one in worst[:WORST])
    tables = {
        "worst partitions": table({"partition": "string", what: "int", "pages": "int"}, counts),
        f"list of {what}": table({"partition": "string", **dict.fromkeys(columns, "string")}, _named(worst, found)),
    }
    return dg.AssetCheckResult(
        asset_key=crawl.key("succeeded"),
        check_name=check,
        passed=not total,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{total:,} {what} in {len(worst):,} of {len(measured):,} partitions" if total else None,
        metadata={**numbers, **(tables if total else {})},
    )


def _named(
    worst: Iterable[Quality], found: Mapping[Partition, Sequence[tuple[str, ...]]]
) -> Iterator[tuple[Cell, ...]]:
    for one in worst:
        yield from ((str(one.partition), *page) for page in islice(found[one.partition], WORST))
