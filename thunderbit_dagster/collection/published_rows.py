"""What is published of a partition already, by its own files, and what of it stays when it is published again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timezone

import pyarrow as pa
import pyarrow.compute as pc

from thunderbit_dagster.api.codes import UNKNOWN_CODE, RowStatus
from thunderbit_dagster.ledger.submissions import Submission
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.storage.errors import DamagedFileError
from thunderbit_dagster.storage.schema import SCHEMA_VERSION, FailedRow, SucceededRow, Table, repair_text
from thunderbit_dagster.storage.store import Footer, ParquetStore

SUBMISSION_TIME = "submission_time"
"""Key of both footers: when the submission began or its last job was accepted, whichever is later (ISO 8601)."""
TABLES: tuple[Table, Table] = ("succeeded", "failed")
_TEXTS = ("markdown", "html", "summary", "answer", "data")
LISTS = ("links", "images", "highlights")
CONTENT = (*_TEXTS, *LISTS)
"""The columns that make a page more or less."""
EMPTY_LIST = "[]"

Sizes = tuple[int, ...]
"""Of each column of ``CONTENT``: its characters or its elements."""


class StaysError(Exception):
    """What is published of a partition stays as it is, and nothing else is published."""


class SupersededError(StaysError):
    """A newer submission is published."""


def submission_time(submission: Submission) -> datetime | None:
    """When a submission began or its last job was accepted; None for one without a job in records that told no time."""
    latest = max(submission.opened.at, *(share.at for share in submission.jobs), 0.0)
    return datetime.fromtimestamp(latest, timezone.utc) if latest else None


@dataclass(frozen=True)
class PublishedPlace:
    """A partition in a store, and the submission that is to be published there.

    ``last`` is the submission that this deployment published there last, as its event log tells.
    """

    store: ParquetStore
    crawl: str
    partition: Partition
    submission: Submission
    last: str | None = None

    def footer(self, table: Table) -> Footer | None:
        """What the file of a table says of itself.

        Raises:
            StorageError: it cannot be read.
        """
        return self.store.footer(self.crawl, table, self.partition.dimensions)

    def batches(self, table: Table, columns: Collection[str]) -> Iterator[pa.RecordBatch]:
        """The rows of a table, a few at a time.

        Raises:
            StorageError: they cannot be read.
        """
        return self.store.batches(self.crawl, table, self.partition.dimensions, columns)

    def uri(self, table: Table) -> str:
        return self.store.uri(self.crawl, table, self.partition.dimensions)


@dataclass(frozen=True)
class Files:
    """Both tables of a partition at one moment: their footers, and what is wrong with those that have none."""

    footers: Mapping[Table, Footer]
    damaged: Mapping[Table, str]

    @property
    def commits(self) -> dict[Table, str | None]:
        """Which version of each table it is."""
        return {table: footer.metadata.get("commit_id") for table, footer in self.footers.items()}

    def of(self, submission_id: str) -> list[Table]:
        """The tables that hold rows of a submission."""
        return [table for table, one in self.footers.items() if one.metadata.get("submission_id") == submission_id]


def look(place: PublishedPlace) -> Files:
    """What lies there now.

    Raises:
        StorageError: the store cannot be read.
    """
    footers: dict[Table, Footer] = {}
    damaged: dict[Table, str] = {}
    for table in TABLES:
        try:
            footer = place.footer(table)
        except DamagedFileError as error:
            damaged[table] = str(error)
        else:
            if footer is not None:
                footers[table] = footer
    return Files(footers, damaged)


def require_replaceable(files: Files, place: PublishedPlace) -> None:
    """Whether the submission may be published over the files.

    Raises:
        SupersededError: they are of a newer submission of another deployment.
        StaysError: they are of this submission, and this version cannot tell what they hold.
    """
    for table, footer in files.footers.items():
        _require_not_newer(footer.metadata, place, table)
    own = files.of(place.submission.id)
    for table in own:
        if not _is_of_a_known_version(files.footers[table]):
            raise StaysError(
                f"{place.uri(table)} was written by a newer version of this package and holds rows of this submission: "
                "it stays as it is. Upgrade, then collect again"
            )
    if files.damaged and (own or place.last == place.submission.id):
        table, reason = next(iter(files.damaged.items()))
        raise StaysError(
            f"{reason} It may hold rows of this submission that cannot be fetched again, so nothing was replaced. "
            f"Restore {place.uri(table)}, or move it elsewhere, then collect again"
        )


def _require_not_newer(found: Mapping[str, str], place: PublishedPlace, table: Table) -> None:
    theirs, their_id = _time_of(found), found.get("submission_id")
    ours, our_id = submission_time(place.submission), place.submission.id
    # The event log knows the order of this deployment's own submissions, whatever the clocks say.
    if theirs is None or their_id in (our_id, place.last) or (ours is not None and ours >= theirs):
        return
    when = f"of {ours.isoformat(' ', 'seconds')}" if ours else "of an unknown time"
    raise SupersededError(
        f"a newer submission is published there: {their_id} of {theirs.isoformat(' ', 'seconds')}. It stays, and this "
        f"one, {our_id} {when}, is not published. Another deployment seems to write to {place.uri(table)}: give one "
        "of them another store or crawl name. Materialize `submissions` to crawl the partition again"
    )


def _time_of(found: Mapping[str, str]) -> datetime | None:
    """The submission time in a footer; None in files of older versions, which count as older."""
    try:
        time = datetime.fromisoformat(found.get(SUBMISSION_TIME, ""))
    except ValueError:
        return None
    return time if time.tzinfo else None


def _is_of_a_known_version(footer: Footer) -> bool:
    version = footer.metadata.get("schema_version", "")
    return version.isdigit() and int(version) <= SCHEMA_VERSION


@dataclass
class Earlier:
    """What is published of a submission that is collected again, row by row, by position.

    A page stays unless the new one has all that it has. A failure stays when it has a reason of its own and the new
    answer neither brings a page with content nor repeats that reason.
    """

    place: PublishedPlace
    files: Files
    pages: dict[int, Sizes] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)

    def outlasts_page(self, row: SucceededRow) -> bool:
        """Whether the published row stays, although the API now sends this page."""
        sizes = sizes_of(row)
        if (published := self.pages.get(row["position"])) is not None:
            return any(new < old for new, old in zip(sizes, published, strict=True))
        return row["position"] in self.failures and not any(sizes)

    def outlasts_failure(self, row: FailedRow) -> bool:
        """Whether the published row stays, although the URL now counts as failed for this reason."""
        position = row["position"]
        return position in self.pages or self.failures.get(position, row["error_code"]) != row["error_code"]

    def rows(self, table: Table, positions: AbstractSet[int], columns: Collection[str]) -> Iterator[dict[str, object]]:
        """Those rows of a table, as they are published.

        Raises:
            StorageError: they cannot be read.
        """
        if not positions:
            return
        wanted = pa.array(positions, pa.int32())
        for batch in self.place.batches(table, {"position", *columns}):
            yield from batch.filter(pc.is_in(batch.column("position"), wanted)).to_pylist()

    def require_unchanged(self, kept: Collection[int], pages: AbstractSet[int]) -> None:
        """Look again, right before publishing: another run, or another deployment, may have published meanwhile.

        Args:
            kept: Positions whose rows are taken from the files as they were at first.
            pages: Positions for which a page with content is about to be published.

        Raises:
            StaysError: what is there now is newer, or holds what would be lost.
            StorageError: the store cannot be read.
        """
        files = look(self.place)
        if files.commits == self.files.commits and files.damaged == self.files.damaged:
            return
        fuller = {position for position, sizes in read_earlier(self.place, files).pages.items() if any(sizes)}
        if kept or not fuller <= pages:
            raise StaysError("another run has published this partition meanwhile. Its files stay; collect again")


def read_earlier(place: PublishedPlace, files: Files | None = None) -> Earlier:
    """What is published of the submission.

    Raises:
        StaysError: it stays as it is; the text says why.
        StorageError: the store cannot be read.
    """
    files = look(place) if files is None else files
    require_replaceable(files, place)
    earlier, own = Earlier(place, files), files.of(place.submission.id)
    if "succeeded" in own:
        _read_pages(earlier)
    if "failed" in own:
        _read_failures(earlier)
    return earlier


def _read_pages(earlier: Earlier) -> None:
    known = earlier.place.submission.known
    strange = 0
    for batch in earlier.place.batches("succeeded", ("position", "url", *CONTENT)):
        columns = [_sizes_in(batch, name) for name in CONTENT]
        positions, urls = (batch.column(name).to_pylist() for name in ("position", "url"))
        for position, url, *sizes in zip(positions, urls, *columns, strict=True):
            earlier.pages[position] = tuple(sizes)
            strange += position not in known or repair_text(known[position]) != url
    if strange:
        raise StaysError(
            f"{earlier.place.uri('succeeded')} holds {strange} row(s) of this submission for URLs that the event log "
            "does not list. The files stay as they are. Materialize `submissions` to crawl the partition again"
        )


def _read_failures(earlier: Earlier) -> None:
    for batch in earlier.place.batches("failed", ("position", "status", "error_code")):
        for row in batch.to_pylist():
            if row["status"] == RowStatus.FAILED.value and row["error_code"] != UNKNOWN_CODE:
                earlier.failures[row["position"]] = row["error_code"]


def _sizes_in(batch: pa.RecordBatch, name: str) -> list[int]:
    if name not in batch.schema.names:
        return [0] * batch.num_rows
    column = batch.column(name)
    lengths = pc.utf8_length(column) if name in _TEXTS else pc.list_value_length(column)
    found: list[int] = pc.fill_null(lengths, 0).to_pylist()
    return [max(0, size - len(EMPTY_LIST)) for size in found] if name == "data" else found


def sizes_of(row: SucceededRow) -> Sizes:
    """How much of a page there is, column by column."""
    values = (row.get("markdown"), row.get("html"), row.get("summary"), row.get("answer"))
    data = max(0, len(row.get("data") or "") - len(EMPTY_LIST))
    lists = (row.get("links"), row.get("images"), row.get("highlights"))
    return (*(len(text or "") for text in values), data, *(len(some or ()) for some in lists))
