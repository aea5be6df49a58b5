"""Options are checked with a clear word, sent in camel case, and never more than was set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from thunderbit_dagster.api import Distill, Extract, JobKind, Search, Webhook


class Product(BaseModel):
    name: str
    price: float | None = None


SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}}


def test_only_what_is_set_is_sent() -> None:
    assert Distill().body() == {"include": ["metadata"]}
    assert Distill(metadata=False).body() == {}
    assert Extract(schema=SCHEMA).body() == {"schema": SCHEMA}
    assert Search().body() == {}
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
        "schema": Product.model_json_schema(),
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


@pytest.mark.parametrize("timeout", [4999, 120_001])
def test_extract_has_its_own_range(timeout: int) -> None:
    with pytest.raises(ValidationError, match=r"5000\.\.120000"):
        Extract(schema=SCHEMA, timeout=timeout)


@pytest.mark.parametrize("limit", [0, 11])
def test_search_gives_at_most_ten(limit: int) -> None:
    with pytest.raises(ValidationError, match="limit"):
        Search(limit=limit)


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
