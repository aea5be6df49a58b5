"""Options are checked with a clear word, sent in camel case, and never more than was set."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, RootModel, ValidationError

from thunderbit_dagster.api import Distill, Extract, JobKind, Webhook


class Product(BaseModel):
    name: str
    price: float | None = None


SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}}


def test_only_what_is_set_is_sent() -> None:
    assert Distill().body() == {"include": ["metadata"]}
    assert Distill(metadata=False).body() == {}
    assert Extract(schema=SCHEMA).body() == {"schema": SCHEMA}
    assert Webhook(url="https://h.test/").body() == {"url": "https://h.test/"}


def test_every_option_of_distill() -> None:
    request = Distill(
        html=True,
        links=True,
        images=True,
        summary=True,
        question="Why?",
        highlights="dates",
        render_mode="basic",
        wait_for=0,
        timeout=5000,
        country_code="de",
        force_refresh=True,
        include_tags=["main"],
        exclude_tags=("nav", ".ad"),
        headers={"Cookie": "a=b"},
    )
    assert request.body() == {
        "include": ["metadata", "html", "links"],
        "formats": [
            "markdown",
            "images",
            {"type": "summary"},
            {"type": "question", "question": "Why?"},
            {"type": "highlights", "query": "dates"},
        ],
        "renderMode": "basic",
        "waitFor": 0,
        "timeout": 5000,
        "countryCode": "DE",
        "forceRefresh": True,
        "includeTags": ["main"],
        "excludeTags": ["nav", ".ad"],
        "headers": {"Cookie": "a=b"},
    }
    assert (request.kind, request.credits_per_url()) == (JobKind.DISTILL, 13)


def test_every_option_of_extract() -> None:
    request = Extract(schema=Product, timeout=120_000, links=True, question="Why?", render_mode="advanced")
    assert request.schema_ == Product.model_json_schema()
    assert request.body() == {
        "schema": {
            "title": "Product",
            "type": "object",
            "properties": {"name": {"title": "Name", "type": "string"}, "price": {"title": "Price", "type": "number"}},
            "required": ["name"],
        },
        "formats": ["links", {"type": "question", "question": "Why?"}],
        "timeout": 120_000,
        "renderMode": "full",
    }
    assert (request.kind, request.credits_per_url()) == (JobKind.EXTRACT, 24)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"wait_for": 10_001}, r"wait_for(.|\n)*10001 is outside 0\.\.10000 ms \(Thunderbit API, field waitFor\)"),
        ({"wait_for": -1}, "outside"),
        ({"timeout": 4999}, r"timeout(.|\n)*5000\.\.60000"),
        ({"timeout": 60_001}, "outside"),
        ({"render_mode": "fast"}, "render_mode"),
        ({"country_code": "DEU"}, "country_code"),
        ({"country_code": "1!"}, "country_code"),
        ({"question": " "}, "question"),
        ({"include_tags": [""]}, "include_tags"),
        ({"headers": {"a b": "x"}}, "headers"),
        ({"headers": {"": "x"}}, "headers"),
        ({"headers": {"A": "x\r\nB: y"}}, "headers"),
        ({"wait": 1}, "wait"),
    ],
)
def test_wrong_options_name_field_range_and_source(options: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Distill(**options)


@pytest.mark.parametrize("schema", [None, {}, [], "x", {"a": object()}, {"a": float("nan")}, int])
def test_schemas_that_are_none(schema: object) -> None:
    with pytest.raises(ValidationError, match="schema"):
        Extract(schema=schema)


class Offer(BaseModel):
    price: float = Field(description="list price")
    currency: Literal["EUR", "USD"] | None = "EUR"


class Shop(Product):
    main: Offer | None = Field(None, description="the main offer")
    offers: list[Offer | None] = []
    stock: int | None


OFFER = {
    "title": "Offer",
    "type": "object",
    "properties": {
        "price": {"title": "Price", "type": "number", "description": "list price"},
        "currency": {"title": "Currency", "type": "string", "enum": ["EUR", "USD"], "default": "EUR"},
    },
    "required": ["price"],
}


def test_a_model_is_sent_without_references_and_with_null_as_absence() -> None:
    assert Extract(schema=Shop).body()["schema"] == {
        "title": "Shop",
        "type": "object",
        "properties": {
            "name": {"title": "Name", "type": "string"},
            "price": {"title": "Price", "type": "number"},
            "main": {**OFFER, "description": "the main offer"},
            "offers": {
                "title": "Offers",
                "type": "array",
                "items": {"anyOf": [OFFER, {"type": "null"}]},
                "default": [],
            },
            "stock": {"title": "Stock", "type": "integer"},
        },
        "required": ["name"],
    }


class Shops(RootModel[list[Product]]):
    pass


FIELDS = {"fields": [{"name": "name", "type": "TEXT", "instruction": "its name"}, {"name": "at", "type": "date"}]}


@pytest.mark.parametrize(
    ("schema", "sent", "row"),
    [
        (
            {"type": "object", "properties": {"n": {"type": ["integer", "null"]}}, "required": ["n"]},
            {"type": "object", "properties": {"n": {"type": "integer"}}},
            {"type": "object", "properties": {"n": {"type": "integer"}}},
        ),
        (
            {"items": {"$ref": "#/definitions/P"}, "definitions": {"P": {"properties": {"n": {"enum": ["a", None]}}}}},
            {"type": "array", "items": {"type": "object", "properties": {"n": {"enum": ["a"]}}}},
            {"type": "object", "properties": {"n": {"enum": ["a"]}}},
        ),
        (
            {
                "allOf": [
                    {"properties": {"a": {"type": "string"}}, "required": ["a"]},
                    {"properties": {"b": {"type": "string"}}, "required": ["b"]},
                ]
            },
            {
                "type": "object",
                "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                "required": ["a", "b"],
            },
            None,
        ),
        (
            {"name": "the product's name", "price": {"type": ["number", "null"]}},
            {"name": "the product's name", "price": {"type": ["number", "null"]}},
            {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "description": "the product's name"},
                    "price": {"type": "number"},
                },
            },
        ),
        (
            FIELDS,
            FIELDS,
            {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "description": "its name"},
                    "at": {"type": "string", "format": "date"},
                },
            },
        ),
    ],
)
def test_each_dialect_is_sent_as_documented_and_read_as_json_schema(schema: dict, sent: dict, row: dict | None) -> None:
    request = Extract(schema=schema)
    assert request.body()["schema"] == sent
    assert request.row_schema() == (row or sent)
    assert Extract(schema=sent).row_schema() == request.row_schema()


def test_a_model_of_a_list_asks_for_rows_of_its_element() -> None:
    request = Extract(schema=Shops)
    assert request.row_schema() == Extract(schema=Product).row_schema()
    assert request.body()["schema"] == {"title": "Shops", "type": "array", "items": request.row_schema()}


class Node(BaseModel):
    name: str
    children: list[Node] = []


def field(**keywords: object) -> dict:
    return {"type": "object", "properties": {"a": keywords}}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (Node, r"field children\[\] contains itself"),
        ({"type": "object"}, "declares no field"),
        ({"type": "array", "items": {"type": "string"}}, "declares no field"),
        ({"properties": {}}, "declares no field"),
        ({"type": "object", "propertes": {}}, "unknown keyword 'propertes'; did you mean 'properties'"),
        (field(type="string", maximun=2), "field a has the unknown keyword 'maximun'"),
        (field(type="object", properties={"b": {"tpe": "x"}}), r"field a\.b has the unknown keyword 'tpe'"),
        (field(anyOf=[{"typ": "x"}]), "unknown keyword 'typ'"),
        (field(type="strng"), r"field a\.type: \"strng\""),
        (field(type="string", pattern="("), "regex"),
        (field(type="number", minimum="3"), r"field a\.minimum"),
        (field(**{"$ref": "#/$defs/Gone"}), "field a refers to '#/\\$defs/Gone', which is not in the schema"),
        (field(**{"$ref": "https://e.test/s.json"}), "outside the schema"),
        ({**field(type="string"), "required": ["a", "b"]}, "requires b, which is not among its fields"),
        (field(type="object", properties={"b": {}}, required=["c"]), "field a requires c"),
        ({"properties": {"a": 1}}, "field a is not a schema"),
        ({"a": 1}, "field a has neither an instruction nor a schema"),
        ({"a": " "}, "field a has neither"),
        ({"fields": [{"type": "TEXT"}]}, "without a `name`"),
        ({"fields": [{"name": "a", "type": "FOO"}]}, "'FOO' is not one of TEXT"),
        ({"fields": []}, "declares no field"),
    ],
)
def test_a_schema_that_no_service_understands_is_refused_by_field(schema: object, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Extract(schema=schema)


def test_extensions_and_drafts_are_no_mistakes() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "https://e.test/product",
        **field(type="string", **{"x-unit": "kg"}, examples=["1 kg"]),
    }
    assert Extract(schema=schema).body()["schema"] == field(type="string", **{"x-unit": "kg"}, examples=["1 kg"])


@pytest.mark.parametrize("timeout", [4999, 120_001])
def test_extract_has_its_own_range(timeout: int) -> None:
    with pytest.raises(ValidationError, match=r"5000\.\.120000"):
        Extract(schema=SCHEMA, timeout=timeout)


@pytest.mark.parametrize("url", ["", "hook", "ftp://h.test", "https:///x", "https://h.test/\n"])
def test_webhooks_need_an_http_url(url: str) -> None:
    with pytest.raises(ValidationError, match="url"):
        Webhook(url=url)


def test_schemas_are_copied() -> None:
    mine = {"type": "object", "properties": {"a": {}}}
    request = Extract(schema=mine)
    before = request.fingerprint()
    mine["properties"]["b"] = {}
    assert request.fingerprint() == before


def test_requests_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Distill().html = True


def test_fingerprints_tell_requests_apart_and_hide_headers() -> None:
    plain = Distill()
    assert plain.fingerprint() == Distill(metadata=True, wait_for=None).fingerprint()
    others = [
        Distill(metadata=False),
        Distill(wait_for=0),
        Distill(headers={"Cookie": "hush-hush"}),
        Distill(headers={"Cookie": "other"}),
        Extract(schema=SCHEMA),
        Extract(schema=Product),
    ]
    assert len({plain.fingerprint(), *(other.fingerprint() for other in others)}) == 7
    assert "hush" not in others[2].fingerprint()


def test_the_order_of_keys_does_not_count() -> None:
    turned = {"properties": SCHEMA["properties"], "type": "object"}
    assert Extract(schema=turned).fingerprint() == Extract(schema=SCHEMA).fingerprint()


def test_secrets_are_in_no_repr_and_no_error() -> None:
    shown = repr(Distill(headers={"Cookie": "hush-hush"})) + repr(
        Webhook(url="https://h.test/", secret="hush-hush", headers={"A": "hush-hush"})
    )
    assert "hush" not in shown
    with pytest.raises(ValidationError) as caught:
        Distill(headers={"Cookie": "hush-hush\n"})
    assert "hush" not in str(caught.value) + repr(caught.value)


def test_configuration_files_know_the_ranges() -> None:
    properties = Distill.model_json_schema()["properties"]
    [numbers] = [one for one in properties["timeout"]["anyOf"] if one["type"] == "integer"]
    assert (numbers["minimum"], numbers["maximum"]) == (5000, 60_000)
    assert "schema" in Extract.model_json_schema()["properties"]


def test_requests_survive_a_round_trip_through_configuration() -> None:
    request = Extract(schema=SCHEMA, timeout=6000)
    assert Extract.model_validate(request.model_dump(by_alias=True)) == request


@given(st.integers())
def test_any_number_is_in_range_or_refused(value: int) -> None:
    if 0 <= value <= 10_000:
        assert Distill(wait_for=value).body()["waitFor"] == value
        return
    with pytest.raises(ValidationError):
        Distill(wait_for=value)
