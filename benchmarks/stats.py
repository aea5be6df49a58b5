"""Repeated measurements in few numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Summary:
    """Of repeated measurements the median, the least and the most."""

    median: float
    least: float
    most: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Summary | None:
        """What is None was not measured; of no values, None."""
        measured = [value for value in values if value is not None]
        return cls(median(measured), min(measured), max(measured), len(measured)) if measured else None

    def text(self, unit: str = "") -> str:
        """Such as ``35.2 (34.9 to 36.0) s``; the range only where there is one."""
        after = f" {unit}" if unit else ""
        if self.least == self.most:
            return f"{shown(self.median)}{after}"
        return f"{shown(self.median)} ({shown(self.least)} to {shown(self.most)}){after}"


def shown(value: float) -> str:
    """Three digits that say something, with commas between thousands."""
    size = abs(value)
    digits = 0 if size >= 100 or value == int(value) else 1 if size >= 10 else 2 if size >= 1 else 3  # noqa: PLR2004
    return f"{value:,.{digits}f}"


def number_at(record: Mapping[str, object], path: str) -> float | None:
    """The number at ``noticing.median`` and the like; None where there is none."""
    value: object = record
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) else None
