"""What detectors of changes make of ten days of a synthetic web, of which the truth is known.

python -m benchmarks.detecting --pages 10000 --days 10 --seed 1

Each detector sees the pages as the API would give them: walls are pages like others, and failures have a code. A change
that lasts for one day only is real on that day; on the day after, when the page is as before, nobody is judged.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from difflib import SequenceMatcher

from benchmarks.web import PageOnDay, Web
from thunderbit_dagster import Changes, ParquetStore
from thunderbit_dagster.changes.published import History, read_dates
from thunderbit_dagster.changes.rows import ChangeReader
from thunderbit_dagster.storage.schema import content_hash

CRAWL = "web"
REAL = ("changed", "blip")
NOT_FOUND = "SCRAPE_TARGET_NOT_FOUND"
ALIKE_FROM = 0.99
_TARGETS = re.compile(r"\]\([^)]*\)")
_SPACE = re.compile(r"\s+")

Verdicts = Mapping[str, str]
"""What a detector says of each URL of a day: "changed", "removed", "content" for a new page, or anything else."""
Day = Sequence[PageOnDay]


@dataclass
class Tally:
    """How often a detector was right about changes, and what it took for a removal or for content."""

    found: int = 0
    missed: int = 0
    false: int = 0
    wrongly_removed: int = 0
    walls_as_content: int = 0
    missed_kinds: Counter[str] = field(default_factory=Counter)
    false_kinds: Counter[str] = field(default_factory=Counter)

    def count(self, page: PageOnDay, verdict: str) -> None:
        """Judge what was said of a page."""
        if page.truth == "wall":
            self.walls_as_content += verdict in ("changed", "content")
            return
        if page.truth in REAL:
            self.found += verdict == "changed"
            self.missed += verdict != "changed"
            self.missed_kinds.update([page.kind] if verdict != "changed" else [])
        elif verdict == "changed":
            self.false += 1
            self.false_kinds.update([f"{page.truth} {page.kind}".strip()])
        self.wrongly_removed += verdict == "removed" and page.truth not in ("removed", "absent")

    def record(self) -> dict[str, object]:
        """The figures; shares are of 1."""
        said, real = self.found + self.false, self.found + self.missed
        return {
            "precision": self.found / said if said else 1.0,
            "recall": self.found / real if real else 1.0,
            "wrongly_removed": self.wrongly_removed,
            "walls_as_content": self.walls_as_content,
            "missed_kinds": dict(self.missed_kinds.most_common()),
            "false_kinds": dict(self.false_kinds.most_common()),
        }


def ours(days: Sequence[Day], web: Web, settings: Changes) -> Iterator[Verdicts]:
    """This package's rows, made from the Parquet of each day and those before it."""
    with tempfile.TemporaryDirectory() as folder:
        store = ParquetStore(folder)
        partitions: list[dict[str, str]] = []
        for number, day in enumerate(days):
            partitions.append({"date": web.date(number).isoformat()})
            _publish(store, partitions[-1], day)
            dates = read_dates(store, CRAWL, partitions[-settings.history - 1 :])
            rows = ChangeReader(History(store, CRAWL, "markdown", dates), settings).rows()
            yield {str(row["url"]): "content" if row["status"] == "new" else str(row["status"]) for row in rows}


def _publish(store: ParquetStore, dimensions: Mapping[str, str], day: Day) -> None:
    at = datetime.fromisoformat(dimensions["date"]).replace(tzinfo=timezone.utc)
    with store.open_partition(CRAWL, dimensions) as writer:
        for position, page in enumerate(day):
            row = {"url": page.url, "canonical_url": page.url, "position": position, "collected_at": at}
            origin = {"submission_id": dimensions["date"], "run_id": "benchmark"}
            if page.markdown is not None:
                text = {"markdown": page.markdown, "content_hash": content_hash(page.markdown), "completed_at": at}
                writer.write_succeeded({**row, **origin, **text})  # type: ignore[typeddict-item]  # from two parts
            else:
                why = {"status": "FAILED", "error_code": page.error_code or "", "error_class": "permanent"}
                writer.write_failed({**row, **origin, **why, "retryable": False})  # type: ignore[typeddict-item]
        writer.commit({"submission_id": dimensions["date"], "submitted": str(len(day))})


IsChanged = Callable[[str, str], bool]


def simple(days: Sequence[Day], is_changed: IsChanged) -> Iterator[Verdicts]:
    """A detector that compares each page with the last that it got; a page that is gone is removed at once."""
    before: dict[str, str] = {}
    for day in days:
        verdicts: dict[str, str] = {}
        for page in day:
            if page.markdown is None:
                verdicts[page.url] = "removed" if page.error_code == NOT_FOUND and page.url in before else "none"
            elif page.url in before:
                verdicts[page.url] = "changed" if is_changed(before[page.url], page.markdown) else "unchanged"
            else:
                verdicts[page.url] = "content"
            if page.markdown is not None:
                before[page.url] = page.markdown
        yield verdicts


def by_text(old: str, new: str) -> bool:
    """As changedetection.io by default: the visible text, without white space and without where links lead."""
    return _SPACE.sub("", _TARGETS.sub("]", old)) != _SPACE.sub("", _TARGETS.sub("]", new))


def by_ratio(old: str, new: str) -> bool:
    """difflib's ratio of lines below a threshold."""
    if old == new:
        return False
    return SequenceMatcher(None, old.splitlines(), new.splitlines(), autojunk=False).ratio() < ALIKE_FROM


DETECTORS: Mapping[str, Callable[[Sequence[Day], Web], Iterator[Verdicts]]] = {
    "hash of the Markdown": lambda days, _: simple(days, str.__ne__),
    "changedetection.io's text": lambda days, _: simple(days, by_text),
    f"difflib ratio below {ALIKE_FROM}": lambda days, _: simple(days, by_ratio),
    "ours": lambda days, web: ours(days, web, Changes()),
}


def measure(web: Web) -> Iterator[dict[str, object]]:
    """What each detector found over all days but the first."""
    days = [list(web.day(number)) for number in range(web.days)]
    for name, detector in DETECTORS.items():
        began, tally = time.process_time(), Tally()
        for number, verdicts in enumerate(detector(days, web)):
            if number:
                judge(days[number - 1], days[number], verdicts, tally)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        seconds = time.process_time() - began
        yield {"detector": name, "pages": web.pages, **tally.record(), "cpu_seconds": seconds, "peak_memory_mb": memory}


def judge(before: Day, day: Day, verdicts: Verdicts, tally: Tally) -> None:
    """Hold a day's verdicts against the truth."""
    back = {page.url for page in before if page.truth == "blip"}
    for page in day:
        if page.url not in back:
            tally.count(page, verdicts.get(page.url, "none"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("--pages", 10_000), ("--days", 10), ("--seed", 1)):
        parser.add_argument(name, type=int, default=default)
    given = parser.parse_args()
    print(json.dumps(list(measure(Web(given.pages, given.days, given.seed))), indent=1))


if __name__ == "__main__":
    main()
