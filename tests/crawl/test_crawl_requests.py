"""What was asked for arrives in its column: every format of distill, and the data of extract."""

import json

import pytest
from crawl_world import crawl, one_partition

from thunderbit_dagster import Distill, Extract
from thunderbit_dagster.emulator import Dialect, Faults

PRODUCT = """<html><head><title>{name}</title>
<script type="application/ld+json">{{"@context": "https://schema.org", "@type": "Product", "name": "{name}",
"offers": {{"@type": "Offer", "price": "{price}", "priceCurrency": "EUR"}}}}</script></head>
<body><main><h1>{name}</h1><p>A lamp for harbours.</p></main></body></html>"""
ARTICLE = """<html><head><title>Tides</title><meta name="description" content="How water rises."></head><body><main>
<h1>Tides</h1><p>The tide rises twice a day because of the moon. Spring tides are the highest tides of the month.</p>
<p>Neap tides are weak. <a href="/ok/more">More about tides</a></p><img src="/tide.png" alt="A tide" width="64"
height="32"><pre><code>tide --now</code></pre></main></body></html>"""
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "description": "product name"}, "price": {"type": "number"}},
}


def test_extracted_rows_arrive_as_json_in_the_data_column(line, pages):
    urls = [pages.page(PRODUCT.format(name=name, price=price)) for name, price in (("Lamp", "12.50"), ("Buoy", "8"))]
    shop = line(one_partition([*urls, *pages.urls(1, "missing")], request=Extract(schema=SCHEMA)))
    [run] = shop.through()
    assert shop.checks(run) == [True, True]
    data = [json.loads(row["data"]) for row in shop.rows("succeeded")]
    assert [[found["name"] for found in rows] for rows in data] == [["Lamp"], ["Buoy"]]
    assert [float(rows[0]["price"]) for rows in data] == [12.5, 8.0]
    assert {(row["job_kind"], row["credits"], row["markdown"]) for row in shop.rows("succeeded")} == {
        ("extract", 20, None)
    }
    assert len({row["content_hash"] for row in shop.rows("succeeded")}) == 2
    assert [code for _, code, _ in shop.codes()] == ["SCRAPE_TARGET_NOT_FOUND"]
    assert shop.metadata("submissions")["credits estimated"].value == 60
    assert shop.metadata("succeeded")["credits used"].value == 40


def test_extract_jobs_hold_50_urls_unless_told_otherwise(line, pages, spoiled):
    shop = line(one_partition(pages.urls(60), request=Extract(schema=SCHEMA)), emulator=spoiled(hold=True))
    shop.submit()
    assert [job.total for job in shop.jobs] == [50, 10]


def test_extract_jobs_are_halved_until_the_account_takes_them(line, pages, spoiled):
    urls = [pages.page(PRODUCT.format(name=f"Lamp {number}", price=number)) for number in range(12)]
    emulator = spoiled(faults=Faults(dialect=Dialect(extract_batch_urls=5)))
    shop = line(one_partition(urls, request=Extract(schema=SCHEMA)), emulator=emulator)
    shop.through()
    assert [job.total for job in shop.jobs] == [3, 3, 3, 3]
    assert shop.urls("succeeded") == urls


def test_every_format_asked_for_arrives_in_its_column(line, pages):
    request = Distill(
        html=True, links=True, images=True, summary=True, question="How often does the tide rise?", highlights="tides"
    )
    docs = line(one_partition([pages.page(ARTICLE)], request=request))
    docs.through()
    [row] = docs.rows("succeeded")
    assert row["title"] == "Tides"
    assert row["description"] == "How water rises."
    assert "tide --now" in row["markdown"]
    assert "<h1>Tides</h1>" in row["html"]
    assert {"text": "More about tides", "href": f"{pages.origin}/ok/more"} in row["links"]
    assert row["images"] == [{"src": f"{pages.origin}/tide.png", "alt": "A tide", "width": 64, "height": 32}]
    assert "tide" in row["summary"].lower()
    assert "twice a day" in row["answer"]
    assert any("tides" in text.lower() for text in row["highlights"])
    assert json.loads(row["metadata"])["title"] == "Tides"
    assert row["credits"] == 1 + 3 * 4
    assert docs.metadata("succeeded")["credits used"].value == row["credits"]


def test_formats_not_asked_for_are_null(line, pages):
    docs = line(one_partition([pages.page(ARTICLE)], request=Distill(metadata=False)))
    docs.through()
    [row] = docs.rows("succeeded")
    absent = ("html", "links", "images", "summary", "answer", "highlights", "data")
    assert [row[name] for name in absent] == [None] * len(absent)
    assert row["markdown"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"batch_size": 101}, "batch_size"),
        ({"batch_size": 0}, "batch_size"),
        ({"shards": 2}, "shards"),
        ({"name": "has space"}, "has space"),
        ({"max_partitions_per_run": 0}, "max_partitions_per_run"),
    ],
)
def test_a_wrong_setting_of_a_crawl_is_refused_with_its_name(options, problem):
    with pytest.raises(ValueError, match=problem):
        crawl({"a": ["https://example.com/"]}, **options)
