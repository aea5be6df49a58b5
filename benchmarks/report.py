"""Tables and plots of what was measured, written into a page of the documentation between two markers.

python -m benchmarks.report --results benchmarks/results --page docs/performance.md
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import plots
from benchmarks.crawling import CONTENDERS
from benchmarks.stats import Summary, number_at

BEGIN = "<!-- measured: written by `python -m benchmarks.report` -->"
END = "<!-- end of what was measured -->"
NOTHING = "Nothing has been measured yet: run `make bench`."

Record = Mapping[str, object]


@dataclass(frozen=True)
class Results:
    """What one file holds: the kind of measurement, its settings, the machine, and a record for each repetition."""

    name: str
    kind: str
    settings: Record
    machine: Record
    records: Sequence[Record]

    @classmethod
    def read(cls, file: Path) -> Results:
        return cls(name=file.stem, **json.loads(file.read_text()))

    def by(self, field: str) -> dict[object, list[Record]]:
        """Records with the same value of a field, in the order in which they came."""
        groups: dict[object, list[Record]] = {}
        for record in self.records:
            groups.setdefault(record[field], []).append(record)
        return groups


CRAWL_COLUMNS = (
    ("rows right", "rows.right", ""),
    ("missing", "rows.missing", ""),
    ("doubled", "rows.doubled", ""),
    ("wall", "wall_seconds", "s"),
    ("over the account alone", "over_floor", "x"),
    ("first submit to last row", "to_last_row_seconds", "s"),
    ("job's end to being noticed", "noticing.median", "s"),
    ("to its rows published", "publishing.median", "s"),
    ("submits", "requests.submit", ""),
    ("status requests", "requests.status", ""),
    ("refused (429)", "refused", ""),
    ("memory at most", "peak_memory_mb", "MB"),
    ("before it began", "idle_memory_mb", "MB"),
    ("processor", "cpu_seconds", "s"),
)
TICK_COLUMNS = (
    ("first tick, all due", "first_tick_seconds", "s"),
    ("ticks until all are asked", "ticks_until_all_asked", ""),
    ("writing their events", "writing_seconds", "s"),
    ("tick with none due", "none_due_seconds", "s"),
    ("its processor time", "none_due_cpu_seconds", "s"),
    ("cursor", "cursor_bytes", "bytes"),
)
IDLE_COLUMNS = (
    ("first tick", "first_tick_seconds", "s"),
    ("tick", "tick_seconds", "s"),
    ("its processor time", "tick_cpu_seconds", "s"),
    ("events written", "events_written", ""),
)
COLLECT_COLUMNS = (
    ("collect run", "collect_seconds", "s"),
    ("over decoding and writing", "over_decoding", "x"),
    ("its processor time", "collect_cpu_seconds", "s"),
    ("fetching the answers", "fetch_seconds", "s"),
    ("decoding them", "decode_seconds", "s"),
    ("writing the Parquet", "write_seconds", "s"),
    ("an empty run", "empty_run_seconds", "s"),
    ("memory at most", "peak_memory_mb", "MB"),
)
LOADING_COLUMNS = (("a new Python, start to end", "seconds", "s"), ("over bare Dagster", "ratio", "x"))
LAUNCH_COLUMNS = (
    ("the step of an empty asset", "dagster_seconds", "s"),
    ("the first submit of a crawl", "first_submit_seconds", "s"),
)
BACKFILL_COLUMNS = (
    ("rows right", "rows.right", ""),
    ("batch jobs", "jobs", ""),
    ("runs of Dagster", "dagster_runs", ""),
    ("requests", "total_requests", ""),
    ("wall", "wall_seconds", "s"),
    ("the account alone", "floor_seconds", "s"),
    ("memory at most", "peak_memory_mb", "MB"),
    ("processor", "cpu_seconds", "s"),
)


def section(results: Results, images: Path) -> Iterator[str]:
    """A heading, what was asked for, and the table of a file of results."""
    title, field, columns = KINDS[results.kind]
    yield f"### {title}" if results.name == results.kind else f"### {title}: {results.name}"
    yield ""
    yield _settings(results.settings)
    yield ""
    yield from table(results, field, columns)
    yield ""
    if results.kind == "crawl":
        image = plots.crawl(results.name, {str(name): group for name, group in results.by(field).items()}, images)
        if image:
            yield f"![Wall time and delays of {results.name}](images/{image.name})"
            yield ""
    yield from _failures(results)


def table(results: Results, field: str, columns: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    yield f"| | {' | '.join(title for title, _, _ in columns)} |"
    yield f"|---{'|---' * len(columns)}|"
    for value, group in results.by(field).items():
        cells = [_cell([with_totals(one) for one in group], path, unit) for _, path, unit in columns]
        yield f"| {_named(value)} | {' | '.join(cells)} |"


def with_totals(record: Record) -> Record:
    """The record with sums over its requests, and its time over the least that it could be."""
    requests = record.get("requests")
    counts = requests if isinstance(requests, Mapping) else {}
    wall, floor = number_at(record, "wall_seconds"), number_at(record, "floor_seconds")
    collect, decode, write_ = (number_at(record, f"{what}_seconds") for what in ("collect", "decode", "write"))
    return {
        **record,
        "total_requests": sum(counts.values()),
        "refused": counts.get("refused (429)", 0),
        "over_floor": wall / floor if wall and floor else None,
        "over_decoding": collect / (decode + write_) if collect and decode and write_ else None,
    }


def _cell(group: Iterable[Record], path: str, unit: str) -> str:
    summary = Summary.of(number_at(one, path) for one in group)
    return summary.text(unit) if summary else "none"


def _named(value: object) -> str:
    return CONTENDERS[value].title if isinstance(value, str) and value in CONTENDERS else str(value)


def _settings(settings: Record) -> str:
    return ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in settings.items() if value is not None)


def _failures(results: Results) -> Iterator[str]:
    failed = {str(one["contender"]): str(one["error"]) for one in results.records if one.get("exit_code")}
    for name, error in failed.items():
        yield f"- {_named(name)} ended with an error: `{error[:200]}`"
    if failed:
        yield ""


KINDS = {
    "crawl": ("One crawl, by several programs", "contender", CRAWL_COLUMNS),
    "backfill": ("A backfill", "contender", BACKFILL_COLUMNS),
    "ticks": ("A tick of the sensor, by open jobs", "jobs", TICK_COLUMNS),
    "idle": ("A tick with nothing open, by crawls", "crawls", IDLE_COLUMNS),
    "collection": ("A collect run, by rows", "rows", COLLECT_COLUMNS),
    "launching": ("From the launch to the first submit", "way", LAUNCH_COLUMNS),
    "loading": ("Loading a code location", "what", LOADING_COLUMNS),
}


def generated(files: Sequence[Path], images: Path) -> str:
    """The generated part of the page."""
    everything = [Results.read(file) for file in files]
    if not everything:
        return NOTHING
    lines = ["Median of the repetitions, and in brackets the least and the most.", ""]
    for kind in KINDS:
        for results in everything:
            if results.kind == kind:
                lines += section(results, images)
    machines = sorted({_settings(one.machine) for one in everything})
    return "\n".join([*lines, *(f"Measured on {one}." for one in machines)])


def write(page: Path, folder: Path) -> None:
    """Replace the generated part of a page.

    Raises:
        ValueError: the page has no markers.
    """
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} has no markers")
    made = generated(sorted(folder.glob("*.json")), page.parent / "images")
    page.write_text(f"{before}{begin}\n\n{made}\n\n{end}{after}")


def main() -> None:
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(prog="benchmarks.report", description=__doc__)
    parser.add_argument("--results", type=Path, default=root / "benchmarks" / "results")
    parser.add_argument("--page", type=Path, default=root / "docs" / "performance.md")
    given = parser.parse_args()
    write(given.page, given.results)


if __name__ == "__main__":
    main()
