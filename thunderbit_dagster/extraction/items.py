"""What the API extracted from one page, read against the schema: valid items, and what is wrong with the others.

The API's pages disagree on how values are spelled: numbers may come as text, and what a page does not state may be
null or left out. So a value counts when it can be read as its type without a guess: `"12.5"` is a number,
`"12,50 EUR"` is not; null and an absent field are the same; so is empty text for anything but text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from thunderbit_dagster.extraction.columns import JsonKind, SchemaColumn, item_column
from thunderbit_dagster.storage.schema import INVALID_OUTPUT, VALID, ExtractError, canonical_json

if TYPE_CHECKING:
    import jsonschema_rs

_T = TypeVar("_T")
ItemFault: TypeAlias = tuple[str, str, str]
"""Where, which rule of JSON Schema, and what is wrong."""

ERRORS_PER_ITEM: Final = 10
MESSAGE_CHARACTERS: Final = 200

_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,30})(?:\.\d{1,30})?(?:[eE][+-]?\d{1,3})?")
_TRUTH: Final = {"true": True, "false": False}
_INT64: Final = range(-(2**63), 2**63)
_INSTANT: Final = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)"
    r"(?:[Tt ](?P<clock>\d\d:\d\d(?::\d\d)?)(?:\.(?P<fraction>\d{1,9}))? ?(?P<zone>[Zz]|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Extracted:
    """One page's output: the valid items in their order, and what is wrong with the others.

    `unnamed` counts values, by name, of fields that the schema does not name; they are in the raw data alone.
    """

    items: list[Mapping[str, object]]
    errors: list[ExtractError]
    invalid: int = 0
    unnamed: Mapping[str, int] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        return INVALID_OUTPUT if self.errors else VALID


@dataclass(frozen=True)
class ItemReader:
    """Reads the output for one schema, as `thunderbit_dagster.api.schemas.row_schema` gives it."""

    schema: Mapping[str, object]

    @cached_property
    def column(self) -> SchemaColumn:
        """The columns of an item."""
        return item_column(self.schema)

    def read(self, data: str | None) -> Extracted:
        """The output of one page from its raw data, the JSON text of a list of objects."""
        if data is None:
            return Extracted([], [ExtractError(item=None, field="", rule="required", message="the row has no data")])
        items: list[Mapping[str, object]] = []
        errors: list[ExtractError] = []
        invalid = 0
        unnamed: dict[str, int] = {}
        for number, raw in enumerate(json.loads(data)):
            for name in raw.keys() - self.column.fields.keys():
                unnamed[name] = unnamed.get(name, 0) + 1
            item, wrong = self._item(raw, number)
            errors += wrong
            invalid += bool(wrong)
            if not wrong:
                items.append(item)
        return Extracted(items, errors, invalid, unnamed)

    def _item(self, raw: Mapping[str, object], number: int) -> tuple[Mapping[str, object], list[ExtractError]]:
        normal = _normal(self.column, raw)
        faults = list(self._faults(normal))
        untyped: list[ItemFault] = []
        item = _typed(self.column, normal, "", untyped)
        named = {path for path, _, _ in faults}
        faults += [fault for fault in untyped if fault[0] not in named]
        errors = [
            ExtractError(item=number, field=path, rule=rule, message=message[:MESSAGE_CHARACTERS])
            for path, rule, message in sorted(faults)[:ERRORS_PER_ITEM]
        ]
        return (item if isinstance(item, Mapping) else {}), errors

    def _faults(self, item: object) -> Iterator[ItemFault]:
        """Field, rule of JSON Schema, and message, for each rule that the item breaks."""
        for error in self._validator.iter_errors(item):
            rule = next((str(step) for step in reversed(error.schema_path) if not isinstance(step, int)), "")
            path = [*error.instance_path]
            # The message is all that names the missing field.
            missing = re.match(r'"(.*)" is a required property', error.message) if rule == "required" else None
            yield _path([*path, missing[1]] if missing else path), rule, error.message

    @cached_property
    def _validator(self) -> jsonschema_rs.Draft202012Validator:
        import jsonschema_rs  # noqa: PLC0415 - needed for extractions alone

        return jsonschema_rs.Draft202012Validator(dict(self.schema), validate_formats=False)


def _path(steps: Sequence[str | int]) -> str:
    """Where a value is: `offers[0].price`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")


def _normal(column: SchemaColumn, value: object) -> object:
    """The value as JSON of its column's type where it can be read as that, else as it came; no field is null."""
    if isinstance(value, Mapping) and (column.kind == "object" or column.values is not None):
        return _normal_object(column, value)
    if isinstance(value, list) and column.element is not None:
        element = column.element
        return [_normal(element, one) for one in value]
    if isinstance(value, str) and column.kind not in ("text", "json"):
        return _from_text(column.kind, value.strip())
    if isinstance(value, int | float) and column.kind == "text":
        return json.dumps(value)
    if isinstance(value, float) and column.kind == "integer" and value.is_integer():
        return int(value)
    return value


def _normal_object(column: SchemaColumn, value: Mapping[str, object]) -> Mapping[str, object]:
    known = {name: _normal(one, value.get(name)) for name, one in column.fields.items()}
    others = {name: one for name, one in value.items() if name not in known}
    given = {name: one for name, one in known.items() if one is not None}
    if column.values is None:
        return {**given, **others}
    values = column.values
    read = {name: _normal(values, one) for name, one in others.items()}
    return {**given, **{name: one for name, one in read.items() if one is not None or values.nullable}}


def _from_text(kind: JsonKind, text: str) -> object:
    if not text:
        return None
    if kind == "boolean":
        return _TRUTH.get(text.lower(), text)
    if kind in ("integer", "number") and _NUMBER.fullmatch(text):
        number = json.loads(text)
        return int(number) if kind == "integer" and isinstance(number, float) and number.is_integer() else number
    return text


def _typed(column: SchemaColumn, value: object, path: str, faults: list[ItemFault]) -> object:
    """The value as Arrow takes it, without the fields that have no column; what is none of its type is a fault."""
    if value is None:
        return None
    if column.kind == "object" and isinstance(value, Mapping):
        fields = column.fields.items()
        return {name: _typed(one, value.get(name), f"{path}.{name}".lstrip("."), faults) for name, one in fields}
    if column.element is not None and isinstance(value, list):
        element = column.element
        return [_typed(element, one, f"{path}[{place}]", faults) for place, one in enumerate(value)]
    if column.kind == "json" and column.values is not None and isinstance(value, Mapping):
        for name, one in value.items():  # The text keeps them as JSON has them; what is none of its type is a fault.
            _typed(column.values, one, f"{path}.{name}", faults)
    try:
        return _SCALARS[column.kind](value)
    except (ValueError, OverflowError) as error:
        faults.append((path, "type", str(error)))
        return None


def _of_type(kind: type[_T], name: str) -> Callable[[object], _T]:
    def check(value: object) -> _T:
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
        raise ValueError(f"is not a valid {name}")

    return check


def _integer(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value in _INT64:
        return value
    raise ValueError("is not a 64-bit integer")


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise ValueError("is not a 64-bit number")


def _date(value: object) -> date:
    return date.fromisoformat(_instant_parts(value)["day"])


def _instant(value: object) -> datetime:
    """A time without an offset is in UTC; a date alone is its first moment."""
    parts = _instant_parts(value)
    clock = parts["clock"] or "00:00"
    found = datetime.fromisoformat(f"{parts['day']} {clock}").replace(
        microsecond=int((parts["fraction"] or "0")[:6].ljust(6, "0")), tzinfo=timezone.utc
    )
    return found - _offset(parts["zone"] or "Z")


def _instant_parts(value: object) -> re.Match[str]:
    found = _INSTANT.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("is not an ISO 8601 date")
    return found


def _offset(zone: str) -> timedelta:
    if zone in "Zz":
        return timedelta()
    size = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    return -size if zone[0] == "-" else size


_SCALARS: Final[Mapping[JsonKind, Callable[[object], object]]] = {
    "text": _of_type(str, "text"),
    "integer": _integer,
    "number": _number,
    "boolean": _of_type(bool, "boolean"),
    "date": _date,
    "instant": _instant,
    "list": _of_type(list, "list"),
    "object": _of_type(dict, "object"),
    "json": canonical_json,
}
