"""The API's description: its operations, and Hypothesis strategies for its schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timezone
from functools import cache
from pathlib import Path

import jsonschema_rs
import yaml
from hypothesis import strategies as st

FILE = Path(__file__).parents[1] / "contract" / "thunderbit-openapi.yaml"
METHODS = ("get", "post", "delete")


@cache
def spec() -> Mapping[str, object]:
    return yaml.safe_load(FILE.read_text("utf-8"))


def resolve(node: Mapping[str, object]) -> Mapping[str, object]:
    while "$ref" in node:
        target = spec()
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


@dataclass(frozen=True)
class Documented:
    """One documented answer: of which operation, with which status, its schema and its examples."""

    path: str
    method: str
    status: str
    schema: Mapping[str, object]
    examples: tuple[object, ...]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}"


def answers() -> Iterator[Documented]:
    for path, operations in spec()["paths"].items():
        for method in METHODS:
            for status, response in operations.get(method, {}).get("responses", {}).items():
                media = resolve(response).get("content", {}).get("application/json")
                if media is not None:
                    examples = tuple(one["value"] for one in media.get("examples", {}).values())
                    yield Documented(path, method, status, media["schema"], examples)


def validator(name: str) -> jsonschema_rs.Validator:
    schema = {"$ref": f"#/components/schemas/{name}", "components": spec()["components"]}
    return jsonschema_rs.Draft202012Validator(schema)


anything = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
unknown_keys = st.text("xyz", min_size=3, max_size=5)


def values(schema: Mapping[str, object]) -> st.SearchStrategy[object]:
    """Values that fit a schema, with unknown keys where objects do not forbid them."""
    schema = resolve(schema)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "allOf" in schema:
        parts = st.tuples(*(values(part) for part in schema["allOf"]))
        return parts.map(lambda found: {name: item for part in found for name, item in part.items()})
    kinds = schema.get("type", "any")
    return st.one_of(*(_of_type(kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds)))


def _of_type(kind: str, schema: Mapping[str, object]) -> st.SearchStrategy[object]:
    if kind == "object":
        return _objects(schema)
    if kind == "array":
        return st.lists(values(schema["items"]), max_size=4)
    if kind == "string":
        return _strings(schema)
    if kind == "integer":
        return st.integers(schema.get("minimum", 0), schema.get("maximum", 10**6))
    return {"boolean": st.booleans(), "null": st.none()}.get(kind, anything)


def _strings(schema: Mapping[str, object]) -> st.SearchStrategy[str]:
    if schema.get("format") == "date-time":
        return st.datetimes(timezones=st.just(timezone.utc)).map(
            lambda moment: moment.isoformat().replace("+00:00", "Z")
        )
    return st.text("abcXYZ_019", min_size=1, max_size=12)


def _objects(schema: Mapping[str, object]) -> st.SearchStrategy[dict[str, object]]:
    fields = {name: values(field) for name, field in schema.get("properties", {}).items()}
    required = {name: fields.pop(name) for name in schema.get("required", ()) if name in fields}
    known = st.fixed_dictionaries(required, optional=fields)
    more = st.dictionaries(unknown_keys, anything, max_size=2)
    return st.builds(lambda extra, found: {**extra, **found}, more, known)
