"""Extraction: fields from what a page states, in every schema dialect, and nothing made up."""

import json

import pytest
from emulator_support import Answer, Api, Start, TargetSite
from hypothesis import given
from hypothesis import strategies as st

from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.api.codes import RowStatus
from thunderbit_dagster.api.requests import Extract
from thunderbit_dagster.emulator import Emulator, Faults, Rule, document
from thunderbit_dagster.emulator.coerce import coerce, read_number
from thunderbit_dagster.emulator.errors import EmulatorError
from thunderbit_dagster.emulator.extract import extract_rows, suggest
from thunderbit_dagster.emulator.schema import Field, parse_schema
from thunderbit_dagster.emulator.site import Site

BASE = "http://shop.test/p/1"
PRODUCT = {
    "@context": "https://schema.org",
    "@type": "Product",
    "name": "Tide Gauge 3",
    "sku": "LF-3",
    "description": "Measures the tide.",
    "image": ["/a.jpg", "/b.jpg"],
    "brand": {"@type": "Brand", "name": "Lanternfish"},
    "aggregateRating": {"ratingValue": "4.5", "reviewCount": 12},
    "offers": {
        "@type": "Offer",
        "price": "1,299.00",
        "priceCurrency": "EUR",
        "availability": "https://schema.org/InStock",
        "url": "/buy",
    },
}
TABLE = """<table><tr><th>Model</th><th>List price</th><th>In stock</th></tr>
<tr><td>One</td><td>1.299,50 €</td><td>yes</td></tr><tr><td>Two</td><td>900 €</td><td>no</td></tr></table>"""


def page(body: str = "", *things: object, head: str = "") -> str:
    scripts = "".join(f'<script type="application/ld+json">{json.dumps(thing)}</script>' for thing in things)
    return f"<html><head><title>Shop</title>{head}{scripts}</head><body>{body}</body></html>"


def rows(html: str, schema: object) -> list[dict]:
    return extract_rows(document.parse_html(html), BASE, schema)


def properties(**fields: object) -> dict:
    return {
        "type": "object",
        "properties": {name: {"type": kind} if isinstance(kind, str) else kind for name, kind in fields.items()},
    }


def test_a_product_is_read_from_json_ld_with_types():
    schema = properties(
        name="string",
        price="number",
        currency="string",
        brand="string",
        rating="number",
        review_count="integer",
        in_stock="boolean",
        image={"type": "string", "format": "uri"},
        images={"type": "array", "items": {"type": "string"}},
        productUrl={"type": "string", "format": "uri", "description": "Where to buy"},
        colour="string",
    )

    assert rows(page("", PRODUCT), schema) == [
        {
            "name": "Tide Gauge 3",
            "price": 1299.0,
            "currency": "EUR",
            "brand": "Lanternfish",
            "rating": 4.5,
            "review_count": 12,
            "in_stock": True,
            "image": "http://shop.test/a.jpg",
            "images": ["/a.jpg", "/b.jpg"],
            "productUrl": "http://shop.test/buy",
            "colour": None,
        }
    ]


@pytest.mark.parametrize(
    "schema",
    [
        properties(name="string", price="number"),
        {"type": "array", "items": properties(name="string", price="number")},
        {"name": "The name of the product", "price": {"type": "number"}},
        [{"name": "name", "type": "TEXT", "instruction": "its name"}, {"name": "price", "type": "NUMBER"}],
        {"fields": [{"name": "name", "type": "TEXT"}, {"name": "price", "type": "number"}]},
        {
            "$defs": {"P": properties(name="string", price={"anyOf": [{"type": "number"}, {"type": "null"}]})},
            "$ref": "#/$defs/P",
        },
    ],
)
def test_every_dialect_of_schema_is_understood(schema: object):
    assert rows(page("", PRODUCT), schema) == [{"name": "Tide Gauge 3", "price": 1299.0}]


@pytest.mark.parametrize("name", ["items", "properties", "allOf"])
def test_a_map_may_name_a_field_as_json_schema_names_a_keyword(name: str):
    assert parse_schema({name: "What is sold", "price": {"type": "number"}}) == (
        Field(name, "string", "What is sold"),
        Field("price", "number"),
    )


def test_values_of_lists_and_choices_are_what_the_schema_allows():
    schema = properties(
        images={"type": "array", "items": {"type": "string", "format": "uri"}},
        scores={"type": "array", "items": {"type": "integer"}},
        currency={"enum": ["usd", "eur", None]},
        availability={"type": "string", "enum": ["Sold", "Lent"]},
        sku={"const": "LF-3"},
    )
    thing = {**PRODUCT, "score": ["3", "four", "5"]}

    assert rows(page("", thing), schema) == [
        {
            "images": ["http://shop.test/a.jpg", "http://shop.test/b.jpg"],
            "scores": [3, 5],
            "currency": "eur",
            "availability": None,
            "sku": "LF-3",
        }
    ]


def test_a_rule_spoils_what_was_extracted_and_nothing_else(start: Start, site: TargetSite):
    html = page("<h1>Tide Gauge 3</h1><p>Read me.</p>", PRODUCT).encode()
    wrong, lacking, strange, whole = (site.says(f"/{name}", Answer(html)) for name in "abcd")
    rules = (
        Rule("invalid_output", url=wrong),
        Rule("missing_output", url=lacking, field="name", nth=(1,)),
        Rule("foreign_output", url=strange),
    )
    api = start(faults=Faults(rules=rules))
    schema = properties(name="string", price="number")

    job = api.run([wrong, lacking, strange, whole], "extract", schema=schema)
    found = {"name": "Tide Gauge 3", "price": 1299.0}
    assert [row["data"] for row in job["results"]] == [
        [{"name": {"unexpected": "Tide Gauge 3"}, "price": "unreadable"}],
        [{"price": 1299.0}],
        [{**found, "unexpected": "of no use"}],
        [found],
    ]
    assert (job["completed"], job["failed"], job["creditsUsed"]) == (4, 0, 80)
    assert api.run([wrong])["results"][0]["markdown"].startswith("# Tide Gauge 3")
    sync = api.http.post("/extract", json={"url": wrong, "schema": schema}).json()
    assert sync["data"]["data"][0]["price"] == "unreadable"
    assert api.run([lacking], "extract", schema=schema)["results"][0]["data"] == [found]


def test_a_table_that_fits_gives_a_row_each():
    schema = properties(model="string", price="number", in_stock="boolean", weight="number")

    assert rows(page(TABLE, PRODUCT), schema) == [
        {"model": "One", "price": 1299.5, "in_stock": True, "weight": None},
        {"model": "Two", "price": 900, "in_stock": False, "weight": None},
    ]


def test_listed_things_give_a_row_each():
    listed = {
        "@type": "ItemList",
        "itemListElement": [{"@type": "ListItem", "item": {**PRODUCT, "name": name}} for name in "AB"],
    }

    assert [row["name"] for row in rows(page("", listed), properties(name="string", price="number"))] == ["A", "B"]


def marked(name: str, **more: str) -> str:
    """A product as a shop's markup states it."""
    props = "".join(f'<meta itemprop="{prop}" content="{value}">' for prop, value in more.items())
    return f'<li itemscope itemtype="https://schema.org/Product"><b itemprop="name">{name}</b>{props}</li>'


def listed(*things: dict) -> dict:
    members = [{"@type": "ListItem", "item": {"@type": "Product", **thing}} for thing in things]
    return {"@type": "ItemList", "itemListElement": members}


NAMED = properties(name="string", sku="string", color="string")


@pytest.mark.parametrize(
    ("markup", "stated", "expected"),
    [
        # One thing in both forms is one row, with what either says.
        ([marked("Buoy", color="red")], [{"name": "Buoy", "sku": "B"}], [("Buoy", "B", "red")]),
        # A list in both forms, in whatever order.
        (
            [marked("Two", color="red"), marked("One", color="blue")],
            [{"name": "One", "sku": "1"}, {"name": "Two", "sku": "2"}],
            [("One", "1", "blue"), ("Two", "2", "red")],
        ),
        # Names are spelled differently, the article number is not.
        (
            [marked("BUOY (red)", sku="B", color="red"), marked("Gauge", sku="G", color="grey")],
            [{"name": "Buoy", "sku": "b"}],
            [("Buoy", "b", "red"), ("Gauge", "G", "grey")],
        ),
        # Two article numbers under one name are two things.
        ([marked("Buoy", sku="B-2")], [{"name": "Buoy", "sku": "B-1"}], [("Buoy", "B-1", None), ("Buoy", "B-2", None)]),
        # A link is the same however it is spelled, and decides before the name.
        (
            [marked("Buoy", url="/p/1/", color="red"), marked("Buoy", url="/p/2", color="blue")],
            [{"name": "Buoy", "url": "http://shop.test/p/2", "sku": "2"}],
            [("Buoy", "2", "blue"), ("Buoy", None, "red")],
        ),
        # Written twice in one form.
        ([], [{"name": "Buoy", "sku": "B"}, {"name": "Buoy", "sku": "B"}], [("Buoy", "B", None)]),
        # The thing of the page, and others beside it.
        (
            [marked("Buoy", color="red"), marked("Gauge", color="grey"), marked("Staff", color="white")],
            [{"name": "Buoy", "sku": "B"}],
            [("Buoy", "B", "red"), ("Gauge", None, "grey"), ("Staff", None, "white")],
        ),
    ],
)
def test_a_thing_in_two_forms_comes_once(markup: list[str], stated: list[dict], expected: list[tuple]):
    found = rows(page("".join(markup), listed(*stated)), NAMED)
    assert [tuple(row.values()) for row in found] == expected


def test_lists_of_values_are_not_doubled_by_the_second_form():
    schema = properties(name="string", image={"type": "array", "items": {"type": "string"}})
    picture = '<img itemprop="image" src="/a.jpg">'
    body = f'<div itemscope itemtype="https://schema.org/Product"><b itemprop="name">Tide Gauge 3</b>{picture}</div>'
    assert rows(page(body, PRODUCT), schema) == [{"name": "Tide Gauge 3", "image": ["/a.jpg", "/b.jpg"]}]


def test_each_product_of_the_demo_site_comes_once():
    fields = properties(name="string", price="number", currency="string", sku="string")
    with (
        Site() as shop,
        Emulator(plan="enterprise", credits=1000, allow_origins=(shop.base_url,)) as emulator,
        ThunderbitClient(emulator.api_key, base_url=emulator.base_url, requests_per_minute=1000) as client,
    ):
        job = client.submit_extract(shop.urls()["products"], Extract(schema=fields))
        rows = [row for row in client.stream_rows(job.ref, interval=0.1) if row.status is RowStatus.SUCCEEDED]
    found = [one for row in rows for one in row.data]
    assert len(rows) > 10
    assert len(found) == len({one["sku"] for one in found}) == len(rows)
    assert all(value is not None for one in found for value in one.values())


def test_nested_objects_are_filled():
    schema = properties(name="string", offers=properties(price="number", currency="string"))

    assert rows(page("", PRODUCT), schema) == [{"name": "Tide Gauge 3", "offers": {"price": 1299.0, "currency": "EUR"}}]


def test_microdata_meta_lists_and_label_tables_are_read():
    html = page(
        """<div itemscope itemtype="https://schema.org/Product"><h1 itemprop=name>Buoy</h1>
        <div itemprop=offers itemscope itemtype="https://schema.org/Offer">
        <span itemprop=price content="12.5">12</span></div></div>
        <dl><dt>Weight:</dt><dd>3 kg</dd></dl><table><tr><th>Power</th><td>solar</td></tr></table>""",
        head='<meta property="og:description" content="Floats."><meta property="product:price:currency" content="NOK">',
    )
    schema = properties(
        name="string", price="number", weight="string", power="string", description="string", currency="string"
    )

    assert rows(html, schema) == [
        {"name": "Buoy", "price": 12.5, "weight": "3 kg", "power": "solar", "description": "Floats.", "currency": "NOK"}
    ]


def test_a_page_that_states_none_of_the_fields_fails(api: Api, site: TargetSite):
    url = site.says("/bare", Answer(b"<main><h1>Hello</h1><p>Nothing to extract here.</p></main>"))
    schema = properties(horsepower="integer")

    assert api.code("POST", "/extract", json={"url": url, "schema": schema}) == (500, "EXTRACT_FAILED")
    row = api.run([url], "extract", schema=schema)["results"][0]
    assert (row["status"], row["error"]["code"]) == ("FAILED", "EXTRACT_FAILED")
    assert api.emulator.credits_left == 100_000


def test_extraction_over_http_costs_twenty_and_puts_metadata_beside(api: Api, site: TargetSite):
    url = site.says("/p", Answer(page("<h1>Tide Gauge 3</h1><p>Read me.</p>", PRODUCT).encode()))
    schema = properties(name="string")

    answer = api.http.post("/extract", json={"url": url, "schema": schema, "formats": ["links"]}).json()
    job = api.run([url], "extract", schema=schema)

    assert answer["data"] == {"url": url, "data": [{"name": "Tide Gauge 3"}], "links": []}
    assert answer["metadata"]["title"] == "Shop"
    assert job["results"][0]["data"] == [{"name": "Tide Gauge 3"}]
    assert job["creditsUsed"] == 20
    assert api.emulator.credits_left == 100_000 - 40


@pytest.mark.parametrize("broken", ["{", '{"@type": "Product", "name": }', "[" * 5000, "null", '"text"'])
def test_broken_json_ld_is_passed_over(broken: str):
    html = f'<script type="application/ld+json">{broken}</script><h1>Title</h1>'

    assert rows(html, properties(title="string")) == [{"title": "Title"}]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,299.00", 1299.0),
        ("1.299,00 €", 1299.0),
        ("1 299,50", 1299.5),
        ("$1,299", 1299),
        ("12.5", 12.5),
        ("0,5", 0.5),
        ("1.000.000", 1_000_000),
        ("1'000.5", 1000.5),
        ("\N{MINUS SIGN}3", -3),
        ("4.", 4),
        ("about 7 of them", 7),
        ("none", None),
    ],
)
def test_numbers_are_read_in_either_notation(text: str, value: float | None):
    assert read_number(text) == value


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("date", "2026-01-05", "2026-01-05"),
        ("date", "2026-01-05T08:00:00Z", "2026-01-05T08:00:00+00:00"),
        ("date", "5 January 2026", "2026-01-05"),
        ("date", "Mon, 05 Jan 2026 08:00:00 GMT", "2026-01-05T08:00:00+00:00"),
        ("date", "soon", None),
        ("boolean", "https://schema.org/InStock", True),
        ("boolean", "OutOfStock", False),
        ("boolean", "maybe", None),
        ("email", "Write to a.b+c@example.org.", "a.b+c@example.org"),
        ("url", "../x", "http://shop.test/x"),
        ("url", "two words", None),
        ("integer", "12.5", None),
        ("string", 7, "7"),
    ],
)
def test_values_become_the_type_asked_for(kind: str, text: str, value: object):
    assert coerce(text, kind, BASE) == value


@given(st.text(max_size=30), st.sampled_from(["string", "number", "integer", "boolean", "url", "email", "date"]))
def test_any_text_can_be_coerced(text: str, kind: str):
    found = coerce(text, kind, BASE)
    assert found is None or isinstance(found, str | int | float | bool)
    json.dumps(found, allow_nan=False)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "items", "$ref", "anyOf", "name", "fields", "a"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_schema_is_understood_or_refused(schema: object):
    try:
        fields = parse_schema(schema)
    except EmulatorError as error:
        assert error.code == "INVALID_SCHEMA"  # noqa: PT017
    else:
        assert fields
        assert all(isinstance(field, Field) for field in fields)


def test_fields_are_suggested_that_the_page_can_fill(api: Api, site: TargetSite):
    url = site.says("/p", Answer(page("<p>Read me.</p>", PRODUCT).encode()))

    data = api.http.post("/suggest_fields", json={"url": url}).json()["data"]
    found = api.http.post("/extract", json={"url": url, "schema": data["schema"]}).json()["data"]["data"][0]

    assert {field["name"]: field["type"] for field in data["fields"]}["offers_price"] == "NUMBER"
    assert set(found) == {field["name"] for field in data["fields"]}
    assert all(value is not None for value in found.values())
    assert api.emulator.credits_left == 100_000 - 20
    table = suggest(document.parse_html(TABLE), BASE)
    assert [(field.name, field.type) for field in table] == [
        ("model", "string"),
        ("list_price", "number"),
        ("in_stock", "string"),
    ]


def test_search_finds_pages_fetched_before(api: Api, site: TargetSite):
    assert api.http.post("/search", json={"query": "harbour"}).json()["data"] == {
        "query": "harbour",
        "total": 0,
        "successful": 0,
        "credits_used": 1,
        "results": [],
    }
    tides = site.page("/tides", "Tides", "The harbour pilot reads the tide table.")
    other = site.page("/other", "Other", "Nothing about ships.")
    gone = site.page("/gone", "Gone", "The harbour wall.")
    api.run([tides, other, gone])
    del site.answers["/gone"]

    data = api.http.post("/search", json={"query": "harbours tide", "limit": 5, "formats": ["markdown"]}).json()["data"]

    assert (data["total"], data["successful"], data["credits_used"]) == (2, 1, 2)
    assert [(hit["url"], hit["position"], hit["success"]) for hit in data["results"]] == [
        (tides, 1, True),
        (gone, 2, False),
    ]
    assert data["results"][0]["markdown"].startswith("# Tides")
    elsewhere = api.http.post("/search", json={"query": "harbour", "site": "elsewhere.test"}).json()["data"]
    assert elsewhere["total"] == 0
