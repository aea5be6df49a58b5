"""The `schema` of an extraction, in the three dialects that the API's documents describe (section 2.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from thunderbit_dagster.emulator.errors import EmulatorError

FieldType = Literal["string", "number", "integer", "boolean", "url", "email", "date", "array", "object"]

_JSON_TYPES: Final = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
_FORMATS: Final[Mapping[object, FieldType]] = {
    "uri": "url",
    "url": "url",
    "uri-reference": "url",
    "email": "email",
    "date": "date",
    "date-time": "date",
}
_LIST_TYPES: Final[Mapping[str, FieldType]] = {
    "text": "string",
    "string": "string",
    "number": "number",
    "integer": "integer",
    "boolean": "boolean",
    "url": "url",
    "email": "email",
    "date": "date",
}
_MARKS: Final = frozenset({"properties", "$defs", "items", "$ref", "allOf", "anyOf"})
_DEEPEST: Final = 8


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to find. `items` are the fields of an object, or of the objects in an array.

    `element` is the type of an array's values, and `choices` are the only values allowed (none given: any).
    """

    name: str
    type: FieldType = "string"
    description: str = ""
    items: tuple["Field", ...] = ()
    element: FieldType = "string"
    choices: tuple[object, ...] = ()


def parse_schema(schema: object) -> tuple[Field, ...]:
    """The fields that a schema asks for.

    Raises:
        ApiError: `INVALID_SCHEMA`.
    """
    fields = _fields(schema)
    if not fields:
        raise EmulatorError("INVALID_SCHEMA", "The schema names no field.")
    return fields


def _fields(schema: object) -> tuple[Field, ...]:
    if isinstance(schema, list):
        return tuple(_listed(entry) for entry in schema)
    if not isinstance(schema, dict):
        raise EmulatorError("INVALID_SCHEMA", "The schema is a JSON object.")
    if isinstance(schema.get("fields"), list):
        return tuple(_listed(entry) for entry in schema["fields"])
    if any(name in _MARKS and not _is_instruction(name, told) for name, told in schema.items()):
        return _of_json_schema(schema)
    if schema.get("type") in ("object", "array"):
        raise EmulatorError("INVALID_SCHEMA", "The schema names no field: give 'properties'.")
    return tuple(_mapped(name, told) for name, told in schema.items() if not name.startswith("$"))


def _is_instruction(name: str, told: object) -> bool:
    """Whether a map names a field that is called as a keyword of JSON Schema."""
    return isinstance(told, str) and name != "$ref"


def _listed(entry: object) -> Field:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"]:
        raise EmulatorError("INVALID_SCHEMA", "Each field of a list is an object with a 'name'.")
    written = str(entry.get("type", "TEXT"))
    if written.lower() not in _LIST_TYPES:
        raise EmulatorError("INVALID_SCHEMA", f"Field {entry['name']!r}: {written!r} is no type.")
    told = entry.get("instruction") or entry.get("description") or ""
    return Field(entry["name"], _LIST_TYPES[written.lower()], str(told))


def _mapped(name: str, told: object) -> Field:
    if isinstance(told, str):
        return Field(name, _LIST_TYPES.get(told.lower(), "string"), told)
    if isinstance(told, dict):
        return _field(name, told, {}, 0)
    raise EmulatorError("INVALID_SCHEMA", f"Field {name!r} has neither an instruction nor a schema.")


def _of_json_schema(schema: Mapping[str, object]) -> tuple[Field, ...]:
    resolved = _resolve(schema, schema)
    if resolved.get("type") == "array" or ("items" in resolved and "properties" not in resolved):
        resolved = _resolve(resolved.get("items"), schema)
    return _properties(resolved, schema, 0)


def _properties(schema: Mapping[str, object], whole: Mapping[str, object], depth: int) -> tuple[Field, ...]:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        raise EmulatorError("INVALID_SCHEMA", "'properties' is an object.")
    return tuple(_field(name, told, whole, depth) for name, told in properties.items())


def _field(name: str, told: object, whole: Mapping[str, object], depth: int) -> Field:
    if told is True or depth > _DEEPEST:
        return Field(name)
    schema = _resolve(told, whole)
    description = " ".join(str(schema[key]) for key in ("title", "description") if key in schema)
    kind = _type(name, schema)
    if kind == "array":
        inner = _resolve(schema.get("items") or {}, whole)
        nested = _properties(inner, whole, depth + 1) if "properties" in inner else ()
        return Field(name, kind, description, nested, _type(name, inner), _choices(inner))
    if kind == "object":
        nested = _properties(schema, whole, depth + 1) if "properties" in schema else ()
        return Field(name, kind, description, nested)
    return Field(name, kind, description, choices=_choices(schema))


def _choices(schema: Mapping[str, object]) -> tuple[object, ...]:
    if "const" in schema:
        return (schema["const"],)
    named = schema.get("enum")
    return tuple(value for value in named if value is not None) if isinstance(named, list) else ()


def _type(name: str, schema: Mapping[str, object]) -> FieldType:
    written = schema.get("type", "object" if "properties" in schema else "string")
    names: Sequence[object] = written if isinstance(written, list) else [written]
    if not names or any(
        not isinstance(one, str) or one.lower() not in _JSON_TYPES | _LIST_TYPES.keys() for one in names
    ):
        raise EmulatorError("INVALID_SCHEMA", f"Field {name!r}: {written!r} is no type.")
    first = next((str(one).lower() for one in names if one != "null"), "string")
    if first in {"array", "object"}:
        return "array" if first == "array" else "object"
    found = _LIST_TYPES.get(first, "string")
    return _FORMATS.get(schema.get("format"), found) if found == "string" else found


def _resolve(schema: object, whole: Mapping[str, object], depth: int = 0) -> Mapping[str, object]:
    """The schema with references to its own `$defs` followed, and the first real choice of `anyOf` taken."""
    if not isinstance(schema, dict):
        raise EmulatorError("INVALID_SCHEMA", "A field's schema is an object.")
    if depth > _DEEPEST:
        return {}
    for key in ("anyOf", "oneOf", "allOf"):
        choices = schema.get(key)
        if isinstance(choices, list):
            real = [one for one in choices if not (isinstance(one, dict) and one.get("type") == "null")]
            rest = {name: value for name, value in schema.items() if name != key}
            return {**_resolve(real[0], whole, depth + 1), **rest} if real else rest
    if isinstance(schema.get("$ref"), str):
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        return {**_resolve(_at(str(schema["$ref"]), whole), whole, depth + 1), **rest}
    return schema


def _at(reference: str, whole: object) -> object:
    for step in reference.removeprefix("#").strip("/").split("/"):
        whole = whole.get(step) if isinstance(whole, dict) else None
    if not reference.startswith("#") or whole is None:
        raise EmulatorError("INVALID_SCHEMA", f"{reference!r} is not in the schema.")
    return whole
