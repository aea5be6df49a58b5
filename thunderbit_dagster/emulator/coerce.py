"""Text of a page to the type a field asks for; None when it is not of that type."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from thunderbit_dagster.emulator.document import absolute
from thunderbit_dagster.emulator.schema import FieldType
from thunderbit_dagster.emulator.structured_data import Scalar

_NUMBER: Final = re.compile(r"[-+\u2212]?\d[\d.,'\u00a0\u202f ]*")
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_GROUP: Final = 3
_YES: Final = frozenset({"true", "yes", "y", "1", "on", "available", "instock", "in stock", "ja", "oui"})
_NO: Final = frozenset(
    {"false", "no", "n", "0", "off", "unavailable", "outofstock", "out of stock", "sold out", "nein"}
)
_DATES: Final = ("%d %B %Y", "%B %d, %Y", "%d %b %Y", "%b %d, %Y", "%Y/%m/%d", "%d.%m.%Y", "%B %Y")
_VOCABULARY: Final = re.compile(r"\Ahttps?://(?:www\.)?schema\.org/(\w+)\Z")


def coerce(value: Scalar, kind: FieldType, base: str) -> Scalar | None:
    """The value as `kind`; `base` makes addresses absolute."""
    return _COERCIONS.get(kind, _string)(value, base)


def _string(value: Scalar, _base: str) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    vocabulary = _VOCABULARY.match(str(value))
    return vocabulary[1] if vocabulary else str(value) or None


def read_number(value: Scalar, _base: str = "") -> float | int | None:
    """The first number in a text, with either comma or point for the decimals."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    found = _NUMBER.search(value)
    if not found:
        return None
    text = re.sub(r"['\u00a0\u202f ]", "", found[0].replace("\u2212", "-")).rstrip(".,")
    parsed = float(_with_point(text))
    return int(parsed) if parsed.is_integer() and "." not in _with_point(text) else parsed


def _with_point(text: str) -> str:
    last = max(text.rfind("."), text.rfind(","))
    if last < 0:
        return text
    mark, other = text[last], ",."[text[last] == ","]
    # A mark that comes again, or one before exactly three digits with none of the other, groups thousands.
    grouping = text.count(mark) > 1 or (mark == "," and other not in text and len(text) - last - 1 == _GROUP)
    whole = re.sub(r"[.,]", "", text if grouping else text[:last])
    return whole if grouping else f"{whole}.{text[last + 1 :]}"


def _integer(value: Scalar, _base: str) -> int | None:
    found = read_number(value)
    return int(found) if found is not None and float(found).is_integer() else None


def _boolean(value: Scalar, base: str) -> bool | None:
    if isinstance(value, bool):
        return value
    word = str(_string(value, base) or "").lower()
    return True if word in _YES else False if word in _NO else None


def _url(value: Scalar, base: str) -> str | None:
    return absolute(base, value) if isinstance(value, str) and not any(c.isspace() for c in value) else None


def _email(value: Scalar, _base: str) -> str | None:
    found = _EMAIL.search(str(value))
    return found[0] if found else None


def _date(value: Scalar, _base: str) -> str | None:
    text = str(value).strip()
    parsed = next((found for read in _READERS if (found := _try(read, text)) is not None), None)
    if parsed is None:
        return None
    return parsed.isoformat() if ":" in text else parsed.date().isoformat()


def _try(read: Callable[[str], datetime], text: str) -> datetime | None:
    try:
        return read(text)
    except (ValueError, TypeError, IndexError):
        return None


def _iso(text: str) -> datetime:
    return datetime.fromisoformat(text.removesuffix("Z") + ("+00:00" if text.endswith("Z") else ""))


def _written(pattern: str) -> Callable[[str], datetime]:
    return lambda text: datetime.strptime(text, pattern)  # noqa: DTZ007 - a date without a time has no zone


_READERS: Final[tuple[Callable[[str], datetime], ...]] = (
    _iso,
    *(_written(pattern) for pattern in _DATES),
    parsedate_to_datetime,
)
_COERCIONS: Final[Mapping[FieldType, Callable[[Scalar, str], Scalar | None]]] = {
    "string": _string,
    "number": read_number,
    "integer": _integer,
    "boolean": _boolean,
    "url": _url,
    "email": _email,
    "date": _date,
}
