"""`thunderbit-dagster diff` shows how a page stands, and every line that was left out with its rule."""

import json

import pytest
from click.testing import CliRunner

from thunderbit_dagster.cli import main

DEFINITIONS = """
import dagster as dg
from thunderbit_dagster import Crawl, Distill, ParquetStore, ThunderbitResource, build_crawl_definitions

docs = Crawl(
    name="docs",
    urls={{"guides": ["https://site.example/"], "news": ["https://site.example/"]}},
    request=Distill(),
    cadence=dg.DailyPartitionsDefinition("2026-11-01"),
)
thunderbit = ThunderbitResource(api_key="tb_" + "0" * 32, base_url="http://127.0.0.1:9/openapi/v1")
defs = build_crawl_definitions([docs], thunderbit=thunderbit, store=ParquetStore({place}))
"""
PAGE = "# Pump\n\nPrice: {} EUR\n\nUpdated {} minutes ago\n"


@pytest.fixture
def shown(docs, tmp_path):
    """Runs the command over two dates; its output."""
    site = docs()
    site.collect(1, {"pump": PAGE.format(12, 3), "rope": "# Rope\n"})
    site.collect(2, {"pump": PAGE.format(13, 9)}, {"rope": "SCRAPE_TARGET_NOT_FOUND"})
    file = tmp_path / "definitions.py"
    file.write_text(DEFINITIONS.format(place=json.dumps(site.store.base_uri)))

    def run(*arguments):
        return CliRunner().invoke(main, ["diff", "-f", str(file), "--dir", str(tmp_path / "dev"), *arguments])

    return run


def test_the_newest_partition_with_the_page_is_shown(shown):
    result = shown("https://site.example/pump?utm_source=mail")
    assert result.exit_code == 0, result.output
    assert "2026-11-02|guides: changed, since 2026-11-02\ncompared with 2026-11-01\n" in result.output
    assert "- Price: 12 EUR\n+ Price: 13 EUR\n" in result.output
    assert "minutes" not in result.output


def test_explain_names_each_line_left_out_and_why(shown):
    result = shown("https://site.example/pump", "--explain")
    assert "1 difference(s) ignored" in result.output
    assert "ago: a time that is told from now" in result.output
    assert "- Updated 3 minutes ago" in result.output


def test_a_partition_is_chosen_by_its_key(shown):
    assert (
        "2026-11-01|guides: new, since 2026-11-01"
        in shown("--partition", "2026-11-01|guides", "https://site.example/pump").output
    )
    gone = shown("https://site.example/rope").output
    assert "2026-11-02|guides: failed, since 2026-11-01" in gone
    assert "missing in 1 crawl(s) in a row" in gone


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["https://site.example/other"], "No published partition of docs has https://site.example/other."),
        (
            ["--partition", "2026-11-01|guides", "https://site.example/x"],
            "nor the dates before it have https://site.ex",
        ),
        (["--partition", "2026-11-09|guides", "https://site.example/x"], "nothing is published of it"),
    ],
)
def test_what_is_not_there_is_said(shown, arguments, message):
    result = shown(*arguments)
    assert result.exit_code == 1
    assert message in result.output
