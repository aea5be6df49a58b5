"""Schemas become columns, and what the API answers becomes typed items or named faults: no guess, no crash."""

import datetime as dt
import json
import math
from decimal import Decimal
from enum import Enum
from typing import Literal
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError, create_model
from typing_extensions import TypedDict

from thunderbit_dagster.api import Extract
from thunderbit_dagster.api.schemas import SchemaError
from thunderbit_dagster.extraction.items import ERRORS_PER_ITEM, MESSAGE_CHARACTERS, ItemReader
from thunderbit_dagster.extraction.models import models_of
from thunderbit_dagster.extraction.output import output_of
from thunderbit_dagster.storage.schema import SCHEMAS, canonical_json

SUCCEEDED = SCHEMAS["succeeded"]
FAILED = SCHEMAS["failed"]

UTC = dt.timezone.utc
TEXT = pa.string()
INSTANT = pa.timestamp("us", tz="UTC")


class Offer(BaseModel):
    price: float = Field(description="list price")
    currency: Literal["EUR", "USD"] = "EUR"


class Product(BaseModel):
    name: str
    stock: int | None = None
    price: float | None = Field(None, ge=0)
    sold: bool = False
    released: dt.date | None = None
    seen: dt.datetime | None = None
    tags: list[str] = []
    offers: list[Offer] = []
    best: Offer | None = None
    extra: dict[str, int] = {}
    code: int | str | None = None


def fields(**properties: object) -> dict:
    return {"type": "object", "properties": properties}


DECIMAL_TEXT = {"type": "string", "pattern": r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"}
DATE, TIME = ({"type": "string", "format": kind} for kind in ("date", "date-time"))
PRICES = {"type": "object", "additionalProperties": {"type": "number"}}


def reader(schema: object) -> ItemReader:
    return output_of(Extract(schema=schema)).reader


def read(schema: object, *items: object):
    return reader(schema).read(canonical_json(list(items)))


def faults(schema: object, *items: object) -> list[tuple[int | None, str, str]]:
    return [(error["item"], error["field"], error["rule"]) for error in read(schema, *items).errors]


def test_a_model_becomes_typed_columns():
    offer = pa.struct([("price", pa.float64()), ("currency", TEXT)])
    columns = {
        "name": TEXT,
        "stock": pa.int64(),
        "price": pa.float64(),
        "sold": pa.bool_(),
        "released": pa.date32(),
        "seen": INSTANT,
        "tags": pa.list_(TEXT),
        "offers": pa.list_(offer),
        "best": offer,
        "extra": TEXT,
        "code": TEXT,
    }
    output = output_of(Extract(schema=Product))
    items = output.schemas["succeeded"].field("items").type
    assert items == pa.list_(pa.struct(list(columns.items())))
    assert items.value_type.field("best").type.field("price").metadata == {b"description": b"list price"}
    assert output.schemas["failed"] == FAILED
    assert output.schemas["succeeded"].names == [*SUCCEEDED.names, "items", "extract_outcome", "extract_errors"]


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": ["integer", "null"]}, pa.int64()),
        ({"type": ["integer", "number"]}, pa.float64()),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}, {"type": "null"}]}, pa.float64()),
        ({"oneOf": [{"type": "string", "format": "uri"}, {"type": "string"}]}, TEXT),
        ({"enum": ["a", "b", None]}, TEXT),
        ({"enum": [1, 2]}, pa.int64()),
        ({"enum": [1, "b"]}, TEXT),
        ({"const": True}, pa.bool_()),
        ({"type": "string", "format": "uuid"}, TEXT),
        ({"type": "string", "enum": ["2026-01-01"], "format": "date"}, TEXT),
        ({"properties": {"a": {"type": "integer"}}}, pa.struct([("a", pa.int64())])),
        ({"items": {"type": ["integer", "null"]}}, pa.list_(pa.int64())),
        ({"type": "array", "items": {"items": {"type": "boolean"}}}, pa.list_(pa.list_(pa.bool_()))),
        ({"type": "array"}, TEXT),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, TEXT),
        ({"anyOf": [{"type": "array", "items": {}}, {"type": "string"}]}, TEXT),
        ({"type": "object", "additionalProperties": fields(x={}, X={})}, TEXT),
        ({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}, {"type": "null"}]}, pa.float64()),
        ({"anyOf": [{"type": "number"}, DECIMAL_TEXT, {"type": "integer"}]}, pa.float64()),
        ({"items": {"anyOf": [{"type": "number"}, DECIMAL_TEXT]}}, pa.list_(pa.float64())),
        ({"anyOf": [{"type": "number"}, {"type": "string", "enum": ["free"]}]}, TEXT),
        ({"anyOf": [{"type": "number"}, {"type": "string", "pattern": "^x"}]}, TEXT),
        ({"anyOf": [{"type": "string"}, {"type": "number"}]}, TEXT),
        ({"anyOf": [DATE, TIME, {"type": "null"}]}, INSTANT),
        ({"anyOf": [TIME, DATE]}, INSTANT),
        ({"anyOf": [DATE, TIME, {"type": "string"}]}, TEXT),
        ({}, TEXT),
        (True, TEXT),
    ],
)
def test_every_kind_of_field_has_a_column(schema, kind):
    assert reader(fields(a=schema)).column.type == pa.struct([("a", kind)])


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (fields(Price={}, price={}), "field 'price' differs from 'Price' only in case"),
        (fields(a=fields(x={}, X={})), r"field a\.'X' differs"),
        (fields(**{" ": {}}), "has no name"),
    ],
)
def test_columns_that_sql_cannot_tell_apart_are_refused(schema, words):
    with pytest.raises(SchemaError, match=words):
        output_of(Extract(schema=schema))


def test_an_item_is_read_into_its_types():
    raw = {
        "name": "Lamp",
        "stock": 3,
        "price": 12.5,
        "sold": True,
        "released": "2026-03-01",
        "seen": "2026-03-01T10:00:00.25+02:00",
        "tags": ["a", "b"],
        "offers": [{"price": 1}],
        "best": {"price": 2.5, "currency": "USD"},
        "extra": {"b": 1, "a": 2},
        "code": "x",
    }
    found = read(Product, raw)
    assert (found.outcome, found.errors, found.invalid) == ("valid", [], 0)
    assert found.items == [
        {
            **raw,
            "released": dt.date(2026, 3, 1),
            "seen": dt.datetime(2026, 3, 1, 8, 0, 0, 250_000, tzinfo=UTC),
            "offers": [{"price": 1.0, "currency": None}],
            "extra": '{"a":2,"b":1}',
            "code": '"x"',
        }
    ]


@pytest.mark.parametrize(
    ("schema", "value", "read_as"),
    [
        ({"type": "number"}, "12.5", 12.5),
        ({"type": "number"}, " -3e2 ", -300.0),
        ({"type": "integer"}, "12", 12),
        ({"type": "integer"}, "12.0", 12),
        ({"type": "integer"}, 12.0, 12),
        ({"type": "boolean"}, "True", True),
        ({"type": "string"}, 12, "12"),
        ({"type": "string"}, 0.5, "0.5"),
        ({"type": "string"}, True, "true"),
        ({"type": "string"}, "", ""),
        ({"type": "number"}, "", None),
        ({"type": "number"}, None, None),
        ({"type": "array", "items": {"type": "integer"}}, ["1", 2], [1, 2]),
        ({"type": "array", "items": {"type": ["integer", "null"]}}, [None, ""], [None, None]),
        ({"type": "string", "format": "date"}, "2026-03-01T23:00:00-05:00", dt.date(2026, 3, 1)),
        ({"type": "string", "format": "date-time"}, "2026-03-01", dt.datetime(2026, 3, 1, tzinfo=UTC)),
        (
            {"type": "string", "format": "date-time"},
            "2026-03-01T10:00:00-05:30",
            dt.datetime(2026, 3, 1, 15, 30, tzinfo=UTC),
        ),
        ({"type": "string", "format": "date-time"}, "2026-03-01 10:30", dt.datetime(2026, 3, 1, 10, 30, tzinfo=UTC)),
        (
            {"type": "string", "format": "date-time"},
            "2026-03-01T10:30:05.1234567Z",
            dt.datetime(2026, 3, 1, 10, 30, 5, 123456, tzinfo=UTC),
        ),
        ({"type": "string", "format": "email"}, "not an address", "not an address"),
        ({}, {"b": [1]}, '{"b":[1]}'),
        ({"anyOf": [DATE, TIME]}, "2026-03-01", dt.datetime(2026, 3, 1, tzinfo=UTC)),
        (PRICES, {"b": "1.5", "c": 2, "d": None, "e": ""}, '{"b":1.5,"c":2}'),
        ({"additionalProperties": {"type": ["number", "null"]}, "type": "object"}, {"b": ""}, '{"b":null}'),
        ({"additionalProperties": PRICES, "type": "object"}, {"b": {"c": "1"}}, '{"b":{"c":1}}'),
        ({"additionalProperties": {"items": {"type": "integer"}}, "type": "object"}, {"b": ["1"]}, '{"b":[1]}'),
        ({"items": PRICES}, [{"b": "1.5"}], ['{"b":1.5}']),
    ],
)
def test_a_value_counts_when_it_reads_as_its_type_without_a_guess(schema, value, read_as):
    found = read(fields(a=schema), {"a": value})
    assert found.errors == []
    assert found.items == [{"a": read_as}]


@pytest.mark.parametrize(
    ("schema", "value", "field", "rule"),
    [
        ({"type": "number"}, "12,50 EUR", "a", "type"),
        ({"type": "number"}, "007", "a", "type"),
        ({"type": "number"}, "Infinity", "a", "type"),
        ({"type": "number"}, math.inf, "a", "type"),
        ({"type": "number"}, 10**400, "a", "type"),
        ({"type": "number"}, True, "a", "type"),
        ({"type": "integer"}, 12.5, "a", "type"),
        ({"type": "integer"}, 2**63, "a", "type"),
        ({"type": "boolean"}, "yes", "a", "type"),
        ({"type": "string"}, {"b": 1}, "a", "type"),
        ({"type": "string", "format": "date"}, "1 March", "a", "type"),
        ({"type": "string", "format": "date"}, "2026-02-30", "a", "type"),
        ({"type": "string", "format": "date-time"}, "2026-03-01T25:00Z", "a", "type"),
        ({"type": "string", "format": "date-time"}, "0001-01-01T00:00:00+10:00", "a", "type"),
        ({"type": "string", "enum": ["x"]}, "y", "a", "enum"),
        ({"type": "string", "pattern": "^x"}, "y", "a", "pattern"),
        ({"type": "number", "minimum": 3}, "2", "a", "minimum"),
        ({"type": "array", "items": {"type": "integer"}}, [1, "b"], "a[1]", "type"),
        ({"type": "array", "items": {"type": "integer"}}, [None], "a[0]", "type"),
        ({"properties": {"b": {"type": "integer"}}}, "text", "a", "type"),
        ({"items": {"type": "integer"}}, "text", "a", "type"),
        (fields(b={"type": "integer"}) | {"required": ["b"]}, {"b": None}, "a.b", "required"),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, [], "a", "oneOf"),
        ({"anyOf": [DATE, TIME]}, "soon", "a", "type"),
        (PRICES, {"b": "12,50 EUR"}, "a.b", "type"),
        ({"type": "object", "additionalProperties": DATE}, {"b": "soon"}, "a.b", "type"),
    ],
)
def test_what_does_not_fit_is_named_by_field_and_rule(schema, value, field, rule):
    found = read(fields(a=schema), {"a": value})
    assert [(error["field"], error["rule"]) for error in found.errors] == [(field, rule)]
    assert (found.items, found.invalid, found.outcome) == ([], 1, "invalid_output")


def test_of_several_items_the_valid_ones_are_kept_and_the_others_named():
    items = [{"name": "a", "price": "1"}, {"price": 2}, {"name": "c"}, {"name": "d", "price": -1, "stock": "many"}]
    found = read(Product, *items)
    assert [item["name"] for item in found.items] == ["a", "c"]
    assert sorted(faults(Product, *items)) == [(1, "name", "required"), (3, "price", "minimum"), (3, "stock", "type")]
    assert (found.invalid, found.outcome) == (2, "invalid_output")


def test_fields_that_the_schema_does_not_name_are_counted_and_left_in_the_raw_data():
    found = read(fields(a={"type": "string"}), {"a": "x", "b": 1}, {"b": 2, "c": None})
    assert found.items == [{"a": "x"}, {"a": None}]
    assert found.unnamed == {"b": 2, "c": 1}
    strict = {**fields(a={"type": "string"}), "additionalProperties": False}
    assert faults(strict, {"a": "x", "b": 1}) == [(0, "", "additionalProperties")]


def test_no_items_are_valid_and_no_data_is_not():
    assert read(Product).outcome == "valid"
    found = reader(Product).read(None)
    assert (found.outcome, found.items, found.invalid) == ("invalid_output", [], 0)
    assert [(error["item"], error["rule"]) for error in found.errors] == [(None, "required")]


def test_a_message_is_cut_and_an_item_has_ten_faults_at_most():
    names = [f"f{number}" for number in range(20)]
    schema = fields(**{name: {"type": "integer"} for name in names})
    found = read(schema, dict.fromkeys(names, "x" * 5_000))
    assert len(found.errors) == ERRORS_PER_ITEM
    assert {len(error["message"]) for error in found.errors} == {MESSAGE_CHARACTERS}


products = st.builds(
    Product,
    name=st.text(),
    stock=st.none() | st.integers(-(2**63), 2**63 - 1),
    price=st.none() | st.floats(0, allow_infinity=False),
    released=st.none() | st.dates(),
    seen=st.none() | st.datetimes(dt.datetime(2, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - Hypothesis wants it so
    tags=st.lists(st.text(), max_size=3),
    offers=st.lists(st.builds(Offer, price=st.floats(allow_nan=False, allow_infinity=False)), max_size=2),
    extra=st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=2),
    code=st.none() | st.integers(0, 9) | st.text(max_size=3),
)
PRODUCTS = reader(Product)


@settings(deadline=None)
@given(st.lists(products, max_size=3))
def test_models_go_to_arrow_and_back_unchanged(models):
    data = canonical_json([json.loads(model.model_dump_json()) for model in models])
    found = PRODUCTS.read(data)
    assert found.errors == []
    stored = pa.table({"items": pa.array([found.items, None], pa.list_(PRODUCTS.column.type))})
    assert list(models_of(stored, Product)) == models


def test_models_are_read_from_older_items_with_their_defaults():
    class Sized(Product):
        size: str = "unknown"

    stored = pa.table({"items": pa.array([[{"name": "Lamp"}], []], pa.list_(PRODUCTS.column.type))})
    assert list(models_of(stored, Sized)) == [Sized(name="Lamp")]
    with pytest.raises(ValidationError):
        list(models_of(stored, Offer))


class Terms(BaseModel):
    days: int | None


class Plan(BaseModel):
    name: str
    price: float | None
    terms: Terms
    note: str | None = "none"


class Shelf(BaseModel):
    owner: str | None
    anything: object
    best: Plan | None
    plans: list[Plan]
    by_name: dict[str, Plan | None]


def stored(schema: object, *items: object) -> pa.Table:
    column, found = reader(schema).column, read(schema, *items)
    assert found.errors == []
    return pa.table({"items": pa.array([found.items], pa.list_(column.type))})


@pytest.mark.parametrize("absent", [False, True], ids=["null", "absent"])
def test_a_field_that_must_be_given_and_may_be_null_comes_back_as_none_at_every_depth(absent):
    terms = {} if absent else {"days": None}
    plan = {"name": "a", "terms": terms, **({} if absent else {"price": None, "note": None})}
    full = {"name": "b", "price": 1.5, "terms": {"days": 3}, "note": "x"}
    rows = stored(
        Shelf,
        {"best": plan, "plans": [plan, full], "by_name": {"x": plan, "y": None, "z": full}},
        {"owner": None, "anything": None, "best": None, "plans": [], "by_name": {}},
        {"owner": "me", "anything": {"b": None}, "best": full, "plans": [full], "by_name": {}},
    )
    free = Plan(name="a", price=None, terms=Terms(days=None), note="none")
    paid = Plan(name="b", price=1.5, terms=Terms(days=3), note="x")
    assert list(models_of(rows, Shelf)) == [
        Shelf(owner=None, anything=None, best=free, plans=[free, paid], by_name={"x": free, "y": None, "z": paid}),
        Shelf(owner=None, anything=None, best=None, plans=[], by_name={}),
        Shelf(owner="me", anything={"b": None}, best=paid, plans=[paid], by_name={}),
    ]


def test_a_model_may_require_a_nullable_field_that_older_items_lack_but_no_other():
    class Wider(Terms):
        since: dt.date | None

    class Narrower(Terms):
        since: dt.date

    rows = stored(Terms, {"days": 3})
    assert list(models_of(rows, Wider)) == [Wider(days=3, since=None)]
    with pytest.raises(ValidationError, match="Field required"):
        list(models_of(rows, Narrower))


class Size(TypedDict):
    width: Decimal


class Money(BaseModel):
    price: Decimal = Field(ge=0, decimal_places=2, description="What it costs")
    was: Decimal | None = None
    steps: list[Decimal] = []
    rates: dict[str, Decimal] = {}
    shown: dt.date | dt.datetime | None = None
    size: Size | None = None


def test_a_decimal_is_a_number_everywhere_and_a_date_with_or_without_a_time_an_instant():
    assert Extract(schema=Money).body()["schema"]["properties"] == {
        "price": {"type": "number", "minimum": 0, "title": "Price", "description": "What it costs"},
        "was": {"type": "number", "title": "Was"},
        "steps": {"type": "array", "items": {"type": "number"}, "title": "Steps", "default": []},
        "rates": {"type": "object", "additionalProperties": {"type": "number"}, "title": "Rates", "default": {}},
        "shown": {"type": "string", "format": "date-time", "title": "Shown"},
        "size": {
            "type": "object",
            "properties": {"width": {"type": "number", "title": "Width"}},
            "required": ["width"],
            "title": "Size",
        },
    }
    raw = {"price": "12.50", "was": 13, "steps": ["1", 2.5], "rates": {"de": "0.19"}, "shown": "2026-03-01"}
    [item] = read(Money, {**raw, "size": {"width": "3"}}).items
    assert item == {
        "price": 12.5,
        "was": 13.0,
        "steps": [1.0, 2.5],
        "rates": '{"de":0.19}',
        "shown": dt.datetime(2026, 3, 1, tzinfo=UTC),
        "size": {"width": 3.0},
    }
    assert faults(Money, {"price": "abc", "was": "cheap", "rates": {"de": "x"}, "shown": "soon"}) == [
        (0, "price", "type"),
        (0, "rates.de", "type"),
        (0, "shown", "type"),
        (0, "was", "type"),
    ]
    [back] = models_of(stored(Money, raw), Money)
    assert (back.price, back.was, back.steps, back.rates) == (
        Decimal("12.50"),
        Decimal(13),
        [Decimal(1), Decimal("2.5")],
        {"de": Decimal("0.19")},
    )


class Color(Enum):
    RED = "red"
    BLUE = "blue"


STRING = {"type": "string"}
DATE_TIME = {"type": "string", "format": "date-time"}
SIZE = {"type": "object", "properties": {"width": {"type": "number"}}, "required": ["width"]}


@pytest.mark.parametrize(
    ("python", "sent", "kind"),
    [
        (str, STRING, TEXT),
        (UUID, {"type": "string", "format": "uuid"}, TEXT),
        (Color, {"type": "string", "enum": ["red", "blue"]}, TEXT),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}, TEXT),
        (int, {"type": "integer"}, pa.int64()),
        (float, {"type": "number"}, pa.float64()),
        (int | float, {"anyOf": [{"type": "integer"}, {"type": "number"}]}, pa.float64()),
        (Decimal, {"type": "number"}, pa.float64()),
        (bool, {"type": "boolean"}, pa.bool_()),
        (dt.date, {"type": "string", "format": "date"}, pa.date32()),
        (dt.datetime, DATE_TIME, INSTANT),
        (dt.date | dt.datetime, DATE_TIME, INSTANT),
        (Size, SIZE, pa.struct([("width", pa.float64())])),
        (list[Decimal], {"type": "array", "items": {"type": "number"}}, pa.list_(pa.float64())),
        (set[int], {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, pa.list_(pa.int64())),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}, TEXT),
        (
            dict[str, Decimal | None],
            {"type": "object", "additionalProperties": {"anyOf": [{"type": "number"}, {"type": "null"}]}},
            TEXT,
        ),
        (object, {}, TEXT),
        (int | str, {"anyOf": [{"type": "integer"}, STRING]}, TEXT),
        (str | float, {"anyOf": [STRING, {"type": "number"}]}, TEXT),
    ],
)
@pytest.mark.parametrize("optional", [False, True])
def test_the_types_of_python_are_sent_and_stored_as_the_documents_say(python, sent, kind, optional):
    model = create_model("Item", a=(python | None if optional and python is not object else python, ...))
    body = Extract(schema=model).body()["schema"]
    assert untitled(body["properties"]["a"]) == sent
    assert ("required" in body) is not (optional or python is object)
    assert reader(model).column.type == pa.struct([("a", kind)])


def untitled(schema: object) -> object:
    if isinstance(schema, dict):
        return {name: untitled(one) for name, one in schema.items() if name != "title"}
    return [untitled(one) for one in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize("name", ["items", "properties", "anyOf", "definitions"])
def test_a_map_may_name_a_field_as_json_schema_names_a_keyword(name):
    told = {name: "What is in the parcel", "weight": {"type": "number"}}
    text = {"type": "string", "description": "What is in the parcel"}
    whole = {"type": "object", "properties": {name: text, "weight": {"type": "number"}}}
    assert Extract(schema=told).body()["schema"] == whole
    assert read(told, {name: "tea", "weight": "2"}).items == [{name: "tea", "weight": 2}]
    plain = {"weight": {"type": "number"}}
    assert Extract(schema=plain).body()["schema"] == plain


def test_what_looks_like_json_schema_is_still_checked_as_one():
    with pytest.raises(ValueError, match="unknown keyword 'requried'"):
        Extract(schema={"properties": {"a": {}}, "requried": ["a"]})


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["12", "2026-01-01"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
answers = st.lists(st.dictionaries(st.sampled_from([*Product.model_fields, "other"]), anything, max_size=8), max_size=4)


@settings(deadline=None)
@given(answers)
def test_whatever_comes_every_item_is_typed_or_named_and_fits_arrow(answer):
    found = PRODUCTS.read(canonical_json(answer))
    named = {error["item"] for error in found.errors}
    assert len(found.items) + len(named) == len(answer)
    assert found.invalid == len(named)
    assert pa.array([found.items], pa.list_(PRODUCTS.column.type)).to_pylist() == [found.items]
