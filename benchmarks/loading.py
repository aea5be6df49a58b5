"""What importing the package and loading its definitions cost over bare Dagster.

Each statement runs in a process of its own, and the statements take turns, so that a machine that slows down slows all
of them. The first round only fills the caches.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.accounts import ROOT


@dataclass(frozen=True)
class Statement:
    """A statement, and the name of that with which it is compared."""

    name: str
    text: str
    base: str


IMPORTS = (
    Statement("import dagster", "import dagster", "import dagster"),
    Statement(
        "import of the public names",
        "from thunderbit_dagster import Crawl, Distill, ParquetStore, ThunderbitResource, build_crawl_definitions",
        "import dagster",
    ),
    Statement("definitions.py", "import definitions", "import dagster"),
)


def measure(counts: Sequence[int], rounds: int) -> Iterator[dict[str, object]]:
    """Seconds that a new Python takes for each statement, and how often they are those of what it is compared with."""
    statements = [*IMPORTS, *(one for count in counts for one in _loads(count))]
    for turn in range(rounds + 1):
        seconds = {one.name: run(one.text) for one in statements}
        for one in statements if turn else ():
            ratio = seconds[one.name] / seconds[one.base]
            yield {"what": one.name, "round": turn, "seconds": seconds[one.name], "ratio": ratio}


def _loads(count: int) -> Iterator[Statement]:
    base = f"bare Dagster, crawls: {count}"
    for name, module in ((base, "bare"), (f"thunderbit_dagster, crawls: {count}", "crawls")):
        yield Statement(name, f"from benchmarks.locations.{module} import load; load({count})", base)


def run(statement: str) -> float:
    """Seconds that a new Python takes for a statement, from start to end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-W", "ignore", "-c", statement], check=True, cwd=ROOT)
    return time.perf_counter() - began
