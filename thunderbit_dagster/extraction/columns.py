"""The columns that a JSON Schema asks for, and their Arrow types.

A value that Arrow has no single type for (any value, a choice of several types, an object whose fields are not
named) becomes a column of JSON text. Formats other than dates stay what they are to JSON: text.

A date that may have a time is an instant, and a number that may be text, as pydantic states a `Decimal`, a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

from thunderbit_dagster.api.schemas import SchemaError, without_null
from thunderbit_dagster.lazy import LazyModule

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = LazyModule("pyarrow")

JsonKind = Literal["text", "integer", "number", "boolean", "date", "instant", "list", "object", "json"]

_KINDS: Final[Mapping[object, JsonKind]] = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "array": "list",
    "object": "object",
}
_FORMATS: Final[Mapping[object, JsonKind]] = {"date": "date", "date-time": "instant"}
_PYTHON: Final[Mapping[type, str]] = {str: "string", bool: "boolean", int: "integer", float: "number"}


@dataclass(frozen=True, slots=True)
class SchemaColumn:
    """One column: `fields` of an object, the `element` of a list.

    `values` are what an object holds beside its fields; one without fields is JSON text, yet its values are read as
    theirs. `required` names fields, as the schema does.
    """

    kind: JsonKind
    description: str = ""
    fields: Mapping[str, SchemaColumn] = field(default_factory=dict)
    element: SchemaColumn | None = None
    values: SchemaColumn | None = None
    nullable: bool = False
    required: frozenset[str] = frozenset()

    @property
    def type(self) -> pa.DataType:
        """The Arrow type; every part of it may be null."""
        if self.element is not None:
            return pa.list_(self.element.type)
        if self.kind == "object":
            return pa.struct([column.named(name) for name, column in self.fields.items()])
        return _scalars()[self.kind]

    def named(self, name: str) -> pa.Field:
        """The column as an Arrow field with its description."""
        told = " ".join(filter(None, (self.description, "(JSON text)" if self.kind == "json" else "")))
        return pa.field(name, self.type, metadata={"description": told} if told else None)


@cache
def _scalars() -> Mapping[JsonKind, pa.DataType]:
    return {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "instant": pa.timestamp("us", tz="UTC"),
        "json": pa.string(),
    }


def item_column(row_schema: Mapping[str, object]) -> SchemaColumn:
    """The columns of one extracted row, from a schema as `thunderbit_dagster.api.schemas.row_schema` gives it.

    Raises:
        SchemaError: two fields differ only in case, which SQL engines cannot tell apart, or one has no name.
    """
    return _column(row_schema, "")


def _column(schema: object, path: str | None) -> SchemaColumn:
    """The column of one value; `path` is None within JSON text, where any names do."""
    if not isinstance(schema, Mapping):
        return SchemaColumn("json", nullable=True)
    plain, nullable = without_null(schema)
    kind, told = _kind(plain), str(plain.get("description") or "")
    if kind == "list":
        items = plain.get("items")
        element = _column(items, _below(path, "[]")) if items else None
        return SchemaColumn(kind if element else "json", told, element=element, nullable=nullable)
    if kind == "object":
        return _object(plain, path, told, nullable=nullable)
    return SchemaColumn(kind, told, nullable=nullable)


def _object(plain: Mapping[str, object], path: str | None, told: str, *, nullable: bool) -> SchemaColumn:
    properties, required, more = (plain.get(name) for name in ("properties", "required", "additionalProperties"))
    named = properties if isinstance(properties, Mapping) else {}
    return SchemaColumn(
        "object" if named else "json",
        told,
        _fields(named, path),
        values=_column(more, None) if isinstance(more, Mapping) and more else None,
        nullable=nullable,
        required=frozenset(map(str, required)) if isinstance(required, list) else frozenset(),
    )


def _fields(properties: Mapping[str, object], path: str | None) -> dict[str, SchemaColumn]:
    names: dict[str, str] = {}
    for name in properties if path is not None else ():
        other = names.setdefault(name.casefold(), name)
        if other != name or not name.strip():
            problem = f"differs from {other!r} only in case" if name.strip() else "has no name"
            raise SchemaError(f"field {path}{name!r} {problem}; SQL engines cannot read such columns")
    return {name: _column(one, _below(path, f"{name}.")) for name, one in properties.items()}


def _below(path: str | None, step: str) -> str | None:
    return None if path is None else f"{path}{step}"


def _kind(schema: Mapping[str, object]) -> JsonKind:
    choices = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(choices, Sequence) and not isinstance(choices, str):
        return _common([_column(one, None).kind for one in choices])
    words = schema.get("type", _implied(schema))
    kinds = [_KINDS.get(word, "json") for word in (words if isinstance(words, list) else [words])]
    found = _common(kinds)
    return _FORMATS.get(schema.get("format"), found) if found == "text" and "enum" not in schema else found


def _common(kinds: Sequence[JsonKind]) -> JsonKind:
    """The one kind of several choices; JSON when there is none."""
    distinct = set(kinds)
    if len(distinct) == 1 and not distinct & {"list", "object"}:
        return kinds[0]
    if distinct == {"integer", "number"}:
        return "number"
    return kinds[0] if len(kinds) == 1 else "json"


def _implied(schema: Mapping[str, object]) -> object:
    """The type of a schema that does not state it."""
    if "properties" in schema:
        return "object"
    if "items" in schema:
        return "array"
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    names = {_PYTHON.get(type(value)) for value in values} if isinstance(values, list) else set()
    return names.pop() if len(names) == 1 else None
