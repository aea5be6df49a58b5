"""The report is one page without anything from elsewhere, and nothing that a crawled page holds is markup in it."""

import json
import re
from datetime import datetime, timezone

import pytest
from click.testing import CliRunner
from lxml import html

from thunderbit_dagster.cli import main
from thunderbit_dagster.cli.report.command import report_page
from thunderbit_dagster.cli.report.figures import MOST_LINES, MOST_NEWS, DiffLine, crawl_report, side_by_side

PAGE = "# Pump\n\nPrice: {} EUR\n\nA <script>alert(1)</script> & more\n"
WALL = "# Access denied\n\nReference #18.2f3a4b5c"
NOW = datetime(2026, 11, 5, 8, tzinfo=timezone.utc)
DEFINITIONS = """
import dagster as dg
from thunderbit_dagster import Changes, Crawl, Distill, ParquetStore, ThunderbitResource, build_crawl_definitions

docs = Crawl(
    name="docs",
    urls={{"guides": ["https://site.example/"], "news": ["https://site.example/"]}},
    request=Distill(),
    cadence=dg.DailyPartitionsDefinition("2026-11-01"),
    changes={changes},
)
thunderbit = ThunderbitResource(api_key="tb_" + "0" * 32, base_url="http://127.0.0.1:9/openapi/v1")
defs = build_crawl_definitions([docs], thunderbit=thunderbit, store=ParquetStore({place}))
"""


@pytest.fixture
def site(docs):
    """Three dates: one page changes, one comes, one is a wall, one fails."""
    site = docs()
    site.collect(1, {"pump": PAGE.format(12), "rope": "# Rope\n"})
    site.collect(2, {"pump": PAGE.format(13), "rope": WALL})
    site.collect(3, {"pump": PAGE.format(13), "hook": "# Hook\n"}, {"rope": "SCRAPE_TIMEOUT"})
    site.materialize(1, 2, 3)
    return site


def page_of(site, since=None):
    return html.fromstring(report_page([crawl_report(site.crawl, site.store, since)], NOW))


def texts(page, path):
    return [" ".join(one.text_content().split()) for one in page.xpath(path)]


def test_the_page_has_plots_changes_failures_and_quarantine(site):
    page = page_of(site)
    assert texts(page, "//h2") == ["docs"]
    assert texts(page, "//svg[@aria-label='URLs by status']//rect/title") == [
        "2026-11-02: 1 changed",
        "2026-11-02: 1 quarantined",
        "2026-11-03: 1 new",
        "2026-11-03: 1 failed",
    ]
    assert texts(page, "//details/summary") == [
        "new 2026-11-03 hook guides",
        "changed 2026-11-02 pump guides similarity 0.75",
    ]
    assert texts(page, "//div[@class='old']") == ["Price: 12 EUR"]
    assert texts(page, "//div[@class='new']") == ["Price: 13 EUR"]
    tables = [texts(one, ".//td") for one in page.xpath("//table")]
    assert tables[0] == ["site.example", "SCRAPE_TIMEOUT", "1"]
    assert tables[1][:3] == ["2026-11-02", "https://site.example/rope", "3.0"]
    assert tables[1][3].startswith("wall-denied: says that access is denied")


def test_nothing_is_loaded_from_elsewhere_and_pages_are_no_markup(site):
    text = report_page([crawl_report(site.crawl, site.store, None)], NOW)
    page = html.fromstring(text)
    assert page.xpath("//script | //link | //img | //iframe | //@src | //@onclick") == []
    assert "url(" not in text
    assert "@import" not in text


def test_hostile_titles_and_lines_are_escaped(docs):
    site = docs()
    site.collect(1, {"<b>x</b>": "# A\n"})
    site.collect(2, {"<b>x</b>": "# <img src=x onerror=alert(1)>\n"})
    site.materialize(1, 2)
    page = page_of(site)
    assert page.xpath("//b | //img") == []
    assert texts(page, "//div[@class='new']") == ["# <img src=x onerror=alert(1)>"]


def test_since_leaves_earlier_dates_out_and_what_is_not_compared_is_named(site):
    assert [one.date for one in crawl_report(site.crawl, site.store, "2026-11-02").dates] == [
        "2026-11-02",
        "2026-11-03",
    ]
    site.collect(4, {"pump": PAGE.format(14)})
    assert "Not compared yet, so not shown: 2026-11-04|guides" in page_of(site).text_content()


def test_the_page_is_bounded(docs):
    site = docs()
    long = "\n".join(f"line {number}" for number in range(5_000))
    site.collect(1, {"long": "# Long\n"})
    site.collect(2, {"long": long, **{f"p{number}": f"# {number}\n" for number in range(MOST_NEWS + 5)}})
    site.materialize(1, 2)
    report = crawl_report(site.crawl, site.store, None)
    assert (len(report.news), report.more_news) == (MOST_NEWS, 6)
    assert max(len(one.lines) for one in report.news) <= MOST_LINES + 1
    assert len(report_page([report], NOW)) < 500_000


def test_lines_that_replace_each_other_stand_side_by_side():
    assert list(side_by_side("@@\n- a\n- b\n+ c\n@@\n+ d")) == [
        DiffLine("a", "c"),
        DiffLine("b", ""),
        DiffLine("", "d"),
    ]


def command(site, tmp_path, *arguments, changes="Changes()"):
    file = tmp_path / "definitions.py"
    file.write_text(DEFINITIONS.format(place=json.dumps(site.store.base_uri), changes=changes))
    place = ["-f", str(file), "--dir", str(tmp_path / "dev")]
    return CliRunner().invoke(main, ["report", *place, *arguments])


def test_the_command_writes_the_file_and_says_so(site, tmp_path):
    out = tmp_path / "page.html"
    result = command(site, tmp_path, "-o", str(out))
    assert result.exit_code == 0, result.output
    assert re.search(r"Wrote \S+page.html \([\d,]+ bytes\): docs", result.output)
    assert html.parse(str(out)).findtext(".//title") == "Changes of docs"


def test_a_crawl_without_changes_is_refused_with_what_to_do(site, tmp_path):
    result = command(site, tmp_path, changes="None")
    assert result.exit_code == 1
    assert "No crawl has `changes`: declare one with `changes=Changes()`." in result.output
