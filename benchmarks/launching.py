"""From a click to the first submit, and what of it Dagster takes for an asset that does nothing.

python -m benchmarks.launching --rounds 3
"""

from __future__ import annotations

import argparse
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from benchmarks.accounts import ROOT, account, read_journal
from benchmarks.deployment import Deployment, deployment
from benchmarks.locations import CRAWL, EMPTY, KEYS
from benchmarks.pages import Site
from thunderbit_dagster.runs.partitions import PARTITION_TAG

DEFINITIONS = ROOT / "benchmarks" / "locations" / "launched.py"
MINUTE = 60.0
PATIENCE = 300.0
SITE = Site(job_seconds=1.0, body_bytes=1_000)


@dataclass(frozen=True)
class Launches:
    """A running Dagster, the account of its crawl, and the folder in which the empty asset notes its steps."""

    running: Deployment
    origin: str
    notes: Path

    def submitted(self) -> list[float]:
        """When the crawl's jobs were submitted (Unix times)."""
        return sorted(job.submitted_at for job in read_journal(self.origin).jobs)

    def noted(self) -> list[float]:
        """When steps of the empty asset began (Unix times)."""
        return sorted(float(note.name) for note in self.notes.iterdir())

    def seconds(self, launch: Callable[[], object], times: Callable[[], list[float]]) -> float:
        """From a launch to the first new time; returns when all that was launched has ended."""
        before, began = len(times()), time.time()
        launch()
        self.running.until(lambda: len(times()) > before, "the first step", PATIENCE)
        self.settle()
        return times()[before] - began

    def settle(self) -> None:
        """Wait until no run is under way, so that the next launch has the machine to itself."""
        self.running.until(self._is_idle, "the end of the runs", PATIENCE)

    def _is_idle(self) -> bool:
        submitted, published = (self._last_materialized(name) for name in ("submissions", "failed"))
        return submitted <= published and all(run.is_finished for run in self.running.instance.get_runs())

    def _last_materialized(self, table: str) -> float:
        found = self.running.instance.fetch_materializations(dg.AssetKey([CRAWL, table]), limit=1).records
        return found[0].timestamp if found else 0.0


@contextmanager
def launches(*, scheduled: bool) -> Iterator[Launches]:
    key = f"tb_{secrets.token_hex(16)}"
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, account(SITE, "enterprise", key) as origin:
        notes = Path(folder) / "notes"
        notes.mkdir()
        variables = {
            "PYTHONPATH": str(ROOT),
            "BENCHMARK_NOTES": str(notes),
            "BENCHMARK_SCHEDULED": "yes" if scheduled else "",
            "THUNDERBIT_API_KEY": key,
            "THUNDERBIT_BASE_URL": f"{origin}/openapi/v1",
            "THUNDERBIT_REQUESTS_PER_MINUTE": "1000",
            "THUNDERBIT_DATA_URI": str(Path(folder) / "parquet"),
        }
        with deployment(DEFINITIONS, Path(folder) / "dagster", variables, webhooks=False) as running:
            yield Launches(running, origin, notes)


def measure(rounds: int) -> Iterator[dict[str, object]]:
    """Seconds to the first step of an empty asset and to the first submit of a crawl, for each way to launch them."""
    with launches(scheduled=False) as here:
        for turn in range(rounds):
            yield {"way": "Materialize, one partition", "round": turn + 1, **_one_run(here, KEYS[turn % len(KEYS)])}
            yield {"way": "Materialize, all partitions (a backfill)", "round": turn + 1, **_backfill(here)}
            yield {"way": "thunderbit-dagster backfill", "round": turn + 1, **_command(here)}
    with launches(scheduled=True) as here:
        yield from _by_schedule(here, rounds)


def _one_run(here: Launches, key: str) -> dict[str, float]:
    api, tags = here.running.api, {PARTITION_TAG: key}
    return {
        "dagster_seconds": here.seconds(lambda: api.launch(f"{EMPTY}_submit", tags), here.noted),
        "first_submit_seconds": here.seconds(lambda: api.launch(f"{CRAWL}_submit", tags), here.submitted),
    }


def _backfill(here: Launches) -> dict[str, float]:
    running, keys = here.running, list(KEYS)
    return {
        "dagster_seconds": here.seconds(lambda: running.launch_backfill(EMPTY, keys), here.noted),
        "first_submit_seconds": here.seconds(
            lambda: running.launch_backfill(f"{CRAWL}/submissions", keys), here.submitted
        ),
    }


def _command(here: Launches) -> dict[str, float]:
    command = [sys.executable, "-m", "thunderbit_dagster.cli", "backfill", CRAWL, "--yes", "--all"]
    command += ["-f", str(DEFINITIONS)]

    def launch() -> None:
        subprocess.run(command, check=True, env=here.running.children.env, stdout=subprocess.DEVNULL)

    return {"first_submit_seconds": here.seconds(launch, here.submitted)}


def _by_schedule(here: Launches, rounds: int) -> Iterator[dict[str, object]]:
    """Of the ticks at full minutes, those in which both schedules launched their run."""
    here.running.until(
        lambda: min(len(here.noted()), len(here.submitted())) > rounds, "the ticks", PATIENCE + 60 * rounds
    )
    dagster, ours = (
        {time_ // MINUTE: time_ % MINUTE for time_ in reversed(times)} for times in (here.noted(), here.submitted())
    )
    for turn, minute in enumerate(sorted(dagster.keys() & ours.keys())[-rounds:], 1):
        yield {
            "way": "a schedule, from its tick",
            "round": turn,
            "dagster_seconds": dagster[minute],
            "first_submit_seconds": ours[minute],
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.launching", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    for record in measure(parser.parse_args().rounds):
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
