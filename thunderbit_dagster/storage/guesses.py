"""What readers of Hive-style folders take a partition key for.

pandas, pyarrow, Polars and DuckDB guess a type from the names of the folders. A key is readable when all of them give
it back as it is, as text or as a value that is written the same: whole numbers, decimal numbers and ISO dates are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import MAXYEAR, date
from itertools import takewhile
from typing import Final

from thunderbit_dagster.storage.layout import alike

_LEAP_YEAR: Final = 4
_WHOLE: Final = re.compile(r"0|-?[1-9]\d*")
_DECIMAL: Final = re.compile(r"-?\d+\.\d+")
_DATE: Final = re.compile(r"([+-]?\d+)([-./])(\d{1,2})\2(\d+)")


@dataclass(frozen=True, slots=True)
class _Guess:
    """Which readers take a key for something else, and for what."""

    readers: str
    value: str


def _date(key: str) -> str | None:
    """The day that Polars or DuckDB makes of three numbers; year first, or day first."""
    found = _DATE.fullmatch(key)
    if found is None:
        return None
    first, month, last = int(found[1]), int(found[3]), int(found[4])
    for year, day in ((first, last), (last, first)):
        with suppress(ValueError, OverflowError):
            # The readers know years that Python does not.
            date(year if 0 < year <= MAXYEAR else _LEAP_YEAR, month, day)
            return f"{year:04d}-{month:02d}-{day:02d}" if 0 < year <= MAXYEAR else f"a date of the year {year}"
    return None


# The first that matches decides. Case is ignored throughout: which cases count differs between versions.
_GUESSES: Final[tuple[tuple[re.Pattern[str], str, Callable[[str], str | None]], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), readers, value)
    for pattern, readers, value in (
        (r"-?\d+", "pandas, pyarrow and Polars", lambda key: str(int(key))),
        (r"0x[0-9a-f]+", "pandas, pyarrow and DuckDB", lambda key: str(int(key, 16))),
        (r"0b[01]+", "DuckDB", lambda key: str(int(key, 2))),
        (r"[+-]?(\d+\.|\d*\.\d+|\d*\.?\d+e[+-]?\d+)", "Polars", lambda key: str(float(key) + 0.0)),  # no -0.0
        (r"nan|[+-]?inf(inity)?", "Polars or DuckDB", lambda _: "a number or a date"),
        (r"true|false", "Polars", lambda key: f"the boolean {key.capitalize()}"),
        (r"null", "DuckDB", lambda _: "a missing value"),
        (r"epoch", "DuckDB", lambda _: "1970-01-01"),
        (r"([01]?\d|2[0-3]):[0-5]?\d(:([0-5]?\d|60)(\.\d+)?)?", "Polars", lambda _: "a time of day, and fails"),
        (_DATE.pattern, "Polars or DuckDB", _date),
        (r"([+-]?\d+([-./])\d+\2\d+T?\d*:[\d:.]+|\d{8}T\d+)(Z|[+-]\d\d:?\d\d)?", "Polars", lambda _: "a timestamp"),
    )
)


def key_problem(keys: Iterable[str]) -> str | None:
    """Why some keys cannot be the partitions of one table, of which any part may be there; None when they can."""
    listed = list(dict.fromkeys(keys))
    if same := alike(listed):
        return (
            f"the keys {' and '.join(map(repr, same))} differ only by case, so they would share a folder on a "
            "case-insensitive disk. Rename one"
        )
    for key in listed:
        if guess := _guess(key):
            twins = [other for other in listed if other != key and _value(other) == guess.value]
            return _sentence(guess, key, twins)
    return _mixed_numbers(listed)


def added_key_problem(key: str, keys: Iterable[str]) -> str | None:
    """``key_problem`` for a key that is among others by now, of which only those before it count."""
    before = list(takewhile(lambda other: other != key, keys))
    same = [other for other in before if other.casefold() == key.casefold()]
    mixed = [other for other in before if _is_number(key) and _is_number(other)]
    return key_problem([*same, key]) or key_problem([key, *(other for other in mixed if not _guess(other))])


def _guess(key: str) -> _Guess | None:
    for pattern, readers, value in _GUESSES:
        if pattern.fullmatch(key) and (read := value(key)) is not None:
            return None if read == key else _Guess(readers, read.removesuffix(".0"))
    return None


def _value(key: str) -> str:
    guess = _guess(key)
    return guess.value if guess else key.removesuffix(".0")


def _is_number(key: str) -> bool:
    return bool(_WHOLE.fullmatch(key) or _DECIMAL.fullmatch(key))


def _mixed_numbers(keys: Iterable[str]) -> str | None:
    """Polars makes decimal numbers of whole ones, too, when a folder has both."""
    whole = decimal = None
    for key in keys:
        whole = whole or (key if _WHOLE.fullmatch(key) else None)
        decimal = decimal or (key if _DECIMAL.fullmatch(key) else None)
        if whole and decimal:
            return _sentence(_Guess("Polars", f"{float(whole)} beside {decimal!r}"), whole, [])
    return None


def _sentence(guess: _Guess, key: str, twins: Sequence[str]) -> str:
    keys = f"keys {key!r} and {twins[0]!r}" if twins else f"key {key!r}"
    verb = "read" if " and " in guess.readers else "reads"
    prefix = "v" if key[0].isdigit() and ":" not in key else "key-"
    return (
        f"`urls` has the {keys}, but {guess.readers} {verb} {'both' if twins else 'it'} as "
        f"{guess.value}. Put letters in front, such as {prefix + key!r}"
    )
