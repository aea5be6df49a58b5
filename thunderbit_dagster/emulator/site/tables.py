"""One year of high and low waters as a very large table, from five tidal constituents."""

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import cache
from math import cos, radians

# Name, speed in degrees an hour (the same on every coast), amplitude in metres, phase in degrees.
CONSTITUENTS = (
    ("M2", 28.9841042, 0.868, 297.0),
    ("S2", 30.0, 0.297, 334.0),
    ("N2", 28.4397295, 0.175, 273.0),
    ("K2", 30.0821373, 0.086, 331.0),
    ("K1", 15.0410686, 0.101, 219.0),
)
MEAN_LEVEL = 1.53
YEAR = 2026
STEP = timedelta(minutes=6)


def level(hours: float) -> float:
    """Metres above chart datum, `hours` after the start of the year."""
    return MEAN_LEVEL + sum(size * cos(radians(speed * hours - phase)) for _, speed, size, phase in CONSTITUENTS)


def turning_points() -> Iterator[tuple[datetime, str, float]]:
    """Every high and low water of the year, to six minutes."""
    start = datetime(YEAR, 1, 1, tzinfo=timezone.utc)
    heights = [level(step / 10) for step in range(365 * 240)]
    for step, (before, here, after) in enumerate(zip(heights, heights[1:], heights[2:], strict=False), start=1):
        if before < here >= after:
            yield start + step * STEP, "high", here
        elif before > here <= after:
            yield start + step * STEP, "low", here


@cache
def tide_table() -> str:
    """The table as HTML, about 1,400 rows: date, time in UTC, kind of water, height in metres."""
    head = "<tr><th>Date</th><th>Time (UTC)</th><th>Water</th><th>Height (m)</th></tr>"
    rows = "\n".join(
        f"<tr><td>{at:%Y-%m-%d}</td><td>{at:%H:%M}</td><td>{kind}</td><td>{height:.2f}</td></tr>"
        for at, kind, height in turning_points()
    )
    caption = f"<caption>High and low waters, Sandvær, {YEAR}</caption>"
    return f"<table>{caption}\n<thead>{head}</thead>\n<tbody>\n{rows}\n</tbody></table>"
