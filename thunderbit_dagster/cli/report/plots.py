"""Bars of a report as numbers that an SVG needs; pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from thunderbit_dagster.cli.report.figures import PLOTTED, DateCounts

HEIGHT, BAR, GAP = 160, 28, 8
MOST_LABELS = 12


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle and what it stands for."""

    x: float
    y: float
    height: float
    kind: str
    count: int
    date: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Bars above dates; ``most`` is what the full height stands for."""

    bars: Sequence[Bar]
    labels: Sequence[tuple[float, str]]
    width: float
    most: int


def status_plot(dates: Sequence[DateCounts]) -> Plot:
    """The URLs of each date that did not stay as they were, by status, on top of each other."""
    stacks = [[(kind, one.statuses.get(kind, 0)) for kind in PLOTTED] for one in dates[1:]]
    return _plot([one.date for one in dates[1:]], stacks)


def credit_plot(dates: Sequence[DateCounts]) -> Plot:
    """The credits of each date."""
    return _plot([one.date for one in dates], [[("credits", one.credits)] for one in dates])


def _plot(dates: Sequence[str], stacks: Sequence[Sequence[tuple[str, int]]]) -> Plot:
    most = max((sum(count for _, count in stack) for stack in stacks), default=0)
    bars = [bar for number, stack in enumerate(stacks) for bar in _bars(number, dates[number], stack, max(most, 1))]
    step = -(-len(dates) // MOST_LABELS) or 1
    labels = [(_x(number) + BAR / 2, date) for number, date in enumerate(dates) if number % step == 0]
    return Plot(bars, labels, max(_x(len(dates)), BAR), most)


def _bars(number: int, date: str, stack: Sequence[tuple[str, int]], most: int) -> Iterator[Bar]:
    top = float(HEIGHT)
    for kind, count in stack:
        height = HEIGHT * count / most
        top -= height
        if count:
            yield Bar(_x(number), round(top, 2), round(height, 2), kind, count, date)


def _x(number: int) -> float:
    return number * (BAR + GAP)
