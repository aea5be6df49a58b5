"""The schema of an extraction: read in each dialect that the API's pages describe, checked, and put as plainly as
it can be.

The pages show JSON Schema with a `description` per field, and two older dialects: a map from field name to
instruction, and a list of fields of the types TEXT, NUMBER, URL, EMAIL and DATE. None lists the keywords of JSON
Schema that the service understands. So what is sent uses as few as possible: references are put in place, and a
field that may be null is one that is not required. What no service can understand is refused here, before anything
is paid.

Source: "Quickstart", the endpoint page of `/extract`, the MCP page.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

_OBJECT: Final = "object"
_MARKS: Final = frozenset({"properties", "items", "$ref", "allOf", "anyOf", "oneOf", "$defs", "definitions"})
"""A schema with one of these keys is JSON Schema, and not a map of instructions."""

_LEFT_OUT: Final = frozenset(
    {"$schema", "$id", "$anchor", "$comment", "$vocabulary", "$defs", "definitions", "discriminator"}
)
_NAMED: Final = frozenset({"properties", "patternProperties", "dependentSchemas"})
_LISTED: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SINGLE: Final = frozenset(
    {
        "items",
        "additionalProperties",
        "propertyNames",
        "contains",
        "not",
        "if",
        "then",
        "else",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
_VALUES: Final = frozenset(
    {
        *("type", "enum", "const", "format", "required", "dependentRequired", "default", "title", "description"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
        *("pattern", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "minContains"),
        *("maxContains", "examples", "example", "deprecated", "readOnly", "writeOnly"),
        *("contentEncoding", "contentMediaType"),
    }
)
_KEYWORDS: Final = _LEFT_OUT | _NAMED | _LISTED | _SINGLE | _VALUES | {"$ref"}
_LIST_TYPES: Final[Mapping[str, Mapping[str, str]]] = {
    "TEXT": {"type": "string"},
    "NUMBER": {"type": "number"},
    "URL": {"type": "string", "format": "uri"},
    "EMAIL": {"type": "string", "format": "email"},
    "DATE": {"type": "string", "format": "date"},
}
_DECIMAL_TEXT: Final = "^(?!^[-+.]*$)"
"""How the pattern begins that pydantic gives the text of a `Decimal`, where it gives one."""

_SOURCE: Final = "(Thunderbit API, field schema)"


class SchemaError(ValueError):
    """A schema that cannot be extracted; the text names the field and what is wrong."""


def wire_schema(schema: Mapping[str, object]) -> dict[str, object]:
    """What is sent for a schema: JSON Schema made plain, and the older dialects as they are.

    A map with a field called as a keyword of JSON Schema is sent as JSON Schema, so that nothing reads it as one.

    Raises:
        SchemaError: as `row_schema`.
    """
    row = row_schema(schema)
    if not _is_json_schema(schema):
        return row if schema.keys() & _MARKS else dict(schema)
    whole = _whole(schema)
    return {**whole, "items": row} if whole.get("type") == "array" else row


def row_schema(schema: Mapping[str, object]) -> dict[str, object]:
    """The JSON Schema of one extracted row: an object, without references, its fields null only by being absent.

    Raises:
        SchemaError: no field is named; a keyword is unknown or has a wrong value; a reference leads nowhere, out of
            the schema, or back to itself; a required field is not among the fields.
    """
    if _is_json_schema(schema):
        row = _row_of(_whole(schema))
    else:
        row = _of_list(schema["fields"]) if isinstance(schema.get("fields"), list) else _of_map(schema)
    if not isinstance(row, Mapping) or not isinstance(row.get("properties"), Mapping) or not row["properties"]:
        raise SchemaError(f"declares no field: give `properties` {_SOURCE}")
    checked = {"type": _OBJECT, **row}
    _must_be_json_schema(checked)
    return checked


def resolved_row(schema: Mapping[str, object]) -> Mapping[str, object]:
    """The JSON Schema of one row with its references put in place, else as it is: what is required stays so.

    Raises:
        SchemaError: a keyword is unknown, or a reference leads nowhere, out of the schema, or back to itself.
    """
    return _mapping(_row_of(_merged(_mapping(_resolve(schema, schema, (), "")))))


def without_null(schema: Mapping[str, object]) -> tuple[dict[str, object], bool]:
    """The schema of a value that is not null, and whether null was allowed.

    A choice of one, also of one type that is spelled in two ways, and an `allOf` of objects, are put in place.
    """
    plain, nullable = _merged(schema), False
    for key in ("anyOf", "oneOf"):
        choices = plain.get(key)
        if isinstance(choices, list):
            not_null = [one for one in choices if not _is_null(one)]
            nullable |= len(not_null) < len(choices)
            real = _without_spellings(not_null)
            if len(real) == 1 and isinstance(real[0], Mapping):
                plain = {**real[0], **{name: value for name, value in plain.items() if name != key}}
                plain, inner = without_null(plain)
                nullable |= inner
            else:
                plain[key] = real
    kinds = plain.get("type")
    if isinstance(kinds, list) and "null" in kinds:
        left = [kind for kind in kinds if kind != "null"]
        plain["type"], nullable = left[0] if len(left) == 1 else left, True
    values = plain.get("enum")
    if isinstance(values, list) and None in values:
        plain["enum"] = [value for value in values if value is not None]
        nullable = True
    return plain, nullable or _accepts_anything(plain)


def _is_json_schema(schema: Mapping[str, object]) -> bool:
    if isinstance(schema.get("fields"), list):
        return False
    # A map of instructions may have a field called `items`, whose instruction is text.
    marked = any(isinstance(schema.get(mark), Mapping | list) for mark in _MARKS) or isinstance(schema.get("$ref"), str)
    return marked or schema.get("type") in (_OBJECT, "array")


def _row_of(whole: Mapping[str, object]) -> object:
    return whole.get("items") if whole.get("type") == "array" else whole


def _whole(schema: Mapping[str, object]) -> dict[str, object]:
    """JSON Schema with its references put in place and its optional fields made plain."""
    whole = _plain_object(_mapping(_resolve(schema, schema, (), "")))
    return {"type": "array", **whole} if "items" in whole and "properties" not in whole else whole


# References and keywords


def _resolve(schema: object, whole: Mapping[str, object], seen: tuple[str, ...], path: str) -> object:
    """The schema with all references put in place; `seen` holds those that led here."""
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, Mapping):
        raise SchemaError(f"{_at(path)} is not a schema: give an object {_SOURCE}")
    for keyword in schema:
        _must_be_known(keyword, path)
    reference = schema.get("$ref")
    if reference is not None:
        return _follow(reference, schema, whole, seen, path)
    return {
        keyword: _resolve_inside(keyword, value, whole, seen, path)
        for keyword, value in schema.items()
        if keyword not in _LEFT_OUT
    }


def _follow(
    reference: object, schema: Mapping[str, object], whole: Mapping[str, object], seen: tuple[str, ...], path: str
) -> object:
    if not isinstance(reference, str) or not reference.startswith("#"):
        raise SchemaError(f"{_at(path)} refers to {reference!r}, which is outside the schema {_SOURCE}")
    if reference in seen:
        raise SchemaError(f"{_at(path)} contains itself ({reference}), so it cannot be a column {_SOURCE}")
    found = _resolve(_lookup(reference, whole, path), whole, (*seen, reference), path)
    beside = {keyword: value for keyword, value in schema.items() if keyword != "$ref"}
    more = _resolve(beside, whole, seen, path)
    # What stands beside a reference is meant for this one place: a better description, a default.
    return {**found, **more} if isinstance(found, Mapping) and isinstance(more, Mapping) else found


def _lookup(reference: str, whole: object, path: str) -> object:
    for step in filter(None, reference.removeprefix("#").split("/")):
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(whole, Mapping) or name not in whole:
            raise SchemaError(f"{_at(path)} refers to {reference!r}, which is not in the schema {_SOURCE}")
        whole = whole[name]
    return whole


def _resolve_inside(
    keyword: str, value: object, whole: Mapping[str, object], seen: tuple[str, ...], path: str
) -> object:
    if keyword in _NAMED and isinstance(value, Mapping):
        return {name: _resolve(one, whole, seen, _below(path, str(name))) for name, one in value.items()}
    if keyword in _LISTED and isinstance(value, list):
        return [_resolve(one, whole, seen, path) for one in value]
    if keyword in _SINGLE:
        return _resolve(value, whole, seen, f"{path}[]" if keyword == "items" else path)
    return value


def _must_be_known(keyword: object, path: str) -> None:
    if keyword in _KEYWORDS or str(keyword).startswith("x-"):
        return
    near = difflib.get_close_matches(str(keyword), _KEYWORDS, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise SchemaError(f"{_at(path)} has the unknown keyword {str(keyword)!r}{hint} {_SOURCE}")


def _must_be_json_schema(row: Mapping[str, object]) -> None:
    """Every keyword has a value that JSON Schema allows, and what is required is a field."""
    import jsonschema_rs  # noqa: PLC0415 - needed for extractions alone

    try:
        jsonschema_rs.Draft202012Validator(dict(row))
    except jsonschema_rs.ValidationError as error:
        place = ".".join(str(step) for step in error.instance_path if step not in ("properties", "items"))
        raise SchemaError(f"{_at(place)}: {error.message} {_SOURCE}") from None
    for path, names in _unmet(row, ""):
        raise SchemaError(f"{_at(path)} requires {', '.join(names)}, which is not among its fields {_SOURCE}")


def _unmet(schema: object, path: str) -> Iterator[tuple[str, list[str]]]:
    if not isinstance(schema, Mapping):
        return
    properties, required = schema.get("properties"), schema.get("required")
    if isinstance(properties, Mapping):
        if isinstance(required, list) and (names := [str(name) for name in required if name not in properties]):
            yield path, names
        for name, one in properties.items():
            yield from _unmet(one, _below(path, name))
    yield from _unmet(schema.get("items"), f"{path}[]")


# Plain forms


def _plain_object(schema: Mapping[str, object]) -> dict[str, object]:
    """An object or an array whose fields, at any depth, are null only by being absent."""
    plain = _merged(schema)
    properties = plain.get("properties")
    if isinstance(properties, Mapping):
        found = {name: _plain_field(one) for name, one in properties.items()}
        plain["properties"] = {name: one for name, (one, _) in found.items()}
        optional = {name for name, (_, nullable) in found.items() if nullable}
        required = plain.get("required")
        if isinstance(required, list) and optional:
            plain["required"] = [name for name in required if name not in optional]
        if plain.get("required") == []:
            del plain["required"]
    if isinstance(plain.get("items"), Mapping):
        element, nullable = _plain_field(plain["items"])
        # An element cannot be absent, so it goes on to be null.
        plain["items"] = {"anyOf": [element, {"type": "null"}]} if nullable and element else element
    if isinstance(plain.get("additionalProperties"), Mapping):
        value, nullable = _plain_field(plain["additionalProperties"])
        plain["additionalProperties"] = {"anyOf": [value, {"type": "null"}]} if nullable and value else value
    return plain


def _plain_field(schema: object) -> tuple[object, bool]:
    if not isinstance(schema, Mapping):
        return schema, True
    plain, nullable = without_null(schema)
    if plain.get("default", "") is None:
        del plain["default"]
    return _plain_object(plain), nullable


def _merged(schema: Mapping[str, object]) -> dict[str, object]:
    """The schema with an `allOf` of objects, or of one, put in place."""
    parts = schema.get("allOf")
    if not isinstance(parts, list) or not parts or not all(isinstance(part, Mapping) for part in parts):
        return dict(schema)
    rest = {name: value for name, value in schema.items() if name != "allOf"}
    if len(parts) > 1 and not all(part.get("type", _OBJECT) == _OBJECT and "properties" in part for part in parts):
        return dict(schema)
    whole: dict[str, object] = {}
    for part in [*map(_merged, parts), rest]:
        properties = {**_mapping(whole.get("properties")), **_mapping(part.get("properties"))}
        required = [*_list(whole.get("required")), *_list(part.get("required"))]
        whole.update(part)
        whole.update({"properties": properties} if properties else {})
        whole.update({"required": list(dict.fromkeys(required))} if required else {})
    return whole


def _without_spellings(choices: list[object]) -> list[object]:
    """The choices without those that only spell another in a second way.

    A number or its text is a number, as pydantic states a `Decimal`; a date or a date with a time is one with a time.
    """
    dates = [one.get("format") if isinstance(one, Mapping) else None for one in choices]
    if sorted(map(str, dates)) == ["date", "date-time"]:
        return [one for one, kind in zip(choices, dates, strict=True) if kind == "date-time"]
    pairs = zip([None, *choices], choices, strict=False)
    return [one for before, one in pairs if not (_is_number(before) and _is_any_text(one))]


def _is_number(schema: object) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") == "number"


def _is_any_text(schema: object) -> bool:
    """Whether it is text with no rule of its own but that of a `Decimal`."""
    if not isinstance(schema, Mapping) or schema.keys() - {"type", "pattern"}:
        return False
    return schema.get("type") == "string" and str(schema.get("pattern", _DECIMAL_TEXT)).startswith(_DECIMAL_TEXT)


def _is_null(schema: object) -> bool:
    return isinstance(schema, Mapping) and (schema.get("type") == "null" or ("const", None) in schema.items())


def _accepts_anything(schema: Mapping[str, object]) -> bool:
    return not schema.keys() & {"type", "enum", "const", "anyOf", "oneOf", "allOf", "properties", "items"}


# Older dialects


def _of_map(schema: Mapping[str, object]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for name, told in schema.items():
        if isinstance(told, str) and told.strip():
            fields[name] = {"type": "string", "description": told}
        elif isinstance(told, Mapping):
            fields[name], _ = _plain_field(_resolve(told, told, (), name))
        else:
            raise SchemaError(f"{_at(name)} has neither an instruction nor a schema {_SOURCE}")
    return {"type": _OBJECT, "properties": fields}


def _of_list(entries: object) -> dict[str, object]:
    return {"type": _OBJECT, "properties": dict(_of_entry(entry) for entry in _list(entries))}


def _of_entry(entry: object) -> tuple[str, dict[str, object]]:
    told = _mapping(entry)
    name, kind = told.get("name"), str(told.get("type", "TEXT")).upper()
    if not isinstance(name, str) or not name:
        raise SchemaError(f"has a field without a `name` {_SOURCE}")
    if kind not in _LIST_TYPES:
        raise SchemaError(f"{_at(name)}: {told['type']!r} is not one of {', '.join(_LIST_TYPES)} {_SOURCE}")
    instruction = told.get("instruction") or told.get("description")
    return name, {**_LIST_TYPES[kind], **({"description": str(instruction)} if instruction else {})}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _at(path: str) -> str:
    return f"field {path}" if path else "the schema"
