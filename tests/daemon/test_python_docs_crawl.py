"""Real pages through the whole line: Debian's Python documentation, the emulator and a real daemon."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import lxml.html
import pytest
from page_server import serve_folder
from real_dagster import real_dagster

from thunderbit_dagster import ParquetStore
from thunderbit_dagster.emulator import Emulator
from thunderbit_dagster.ledger.event_log import LedgerReader
from thunderbit_dagster.runs.partitions import range_tags
from thunderbit_dagster.starter.crawls import own_crawl

pytestmark = pytest.mark.slow

AT_LEAST = 400
NAVIGATION = ("Previous topic", "Next topic", "Quick search", "Show Source", "Report a Bug", "Navigation")
SHARDS = 4
DEFINITIONS = """
from dataclasses import replace

from thunderbit_dagster import ParquetStore, ThunderbitResource, build_crawl_definitions
from thunderbit_dagster.starter.crawls import own_crawl

defs = build_crawl_definitions(
    [own_crawl("{urls}", shards={shards})],
    thunderbit=ThunderbitResource(api_key="{key}", base_url="{api}", requests_per_minute=100),
    store=ParquetStore("{data}"),
    sensor_interval_seconds=5,
)
"""


def _documentation() -> Path:
    found = sorted(Path("/usr/share/doc").glob("python3*/html/index.html"))
    if not found:
        pytest.fail("Debian's package python3-doc is not installed: apt-get install python3-doc")
    return found[-1].resolve().parent


def _pages(root: Path) -> list[str]:
    return sorted(str(page.relative_to(root)) for page in root.rglob("*.html") if "_static" not in page.parts)


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict], list[dict], dict[str, Path]]:
    """The rows of ``succeeded`` and ``failed``, and the file behind each URL."""
    folder, root = tmp_path_factory.mktemp("python_docs"), _documentation()
    with serve_folder(root) as site, Emulator(plan="pro", credits=10_000, allow_origins=(site,)) as emulator:
        files = {f"{site}/{page}": root / page for page in _pages(root)}
        (folder / "urls.txt").write_text("\n".join([*files, f"{site}/no-such-page.html"]))
        text = DEFINITIONS.format(
            urls=folder / "urls.txt",
            shards=SHARDS,
            key=emulator.api_key,
            api=emulator.base_url,
            data=folder / "parquet",
        )
        (folder / "docs_definitions.py").write_text(textwrap.dedent(text))
        crawl = own_crawl(str(folder / "urls.txt"), shards=SHARDS)
        with real_dagster(folder / "home", folder / "docs_definitions.py", {}) as dagster:
            dagster.api.launch("own_urls_submit", range_tags(crawl.url_keys[0], crawl.url_keys[-1]))
            reader = LedgerReader(dagster.instance, crawl)
            dagster.until(lambda: len(reader.collected(crawl.url_keys)) == SHARDS, "the collection", 420)
    store = ParquetStore(folder / "parquet")
    tables = [store.scan("own_urls", table).to_table().to_pylist() for table in ("succeeded", "failed")]
    return tables[0], tables[1], files


def test_every_page_is_in_exactly_one_table(crawled) -> None:
    succeeded, failed, files = crawled
    assert len(files) >= AT_LEAST
    urls = [row["url"] for row in (*succeeded, *failed)]
    assert len(urls) == len(set(urls)) == len(files) + 1
    assert [row["error_code"] for row in failed] == ["SCRAPE_TARGET_NOT_FOUND"]


def test_titles_are_those_of_the_pages(crawled) -> None:
    succeeded, _, files = crawled
    for row in succeeded:
        title = lxml.html.parse(str(files[row["url"]]), lxml.html.HTMLParser(encoding="utf-8")).findtext(".//title")
        assert _words(row["title"]) == _words(title), row["url"]


def test_markdown_keeps_headings_code_and_tables_and_loses_the_navigation(crawled) -> None:
    succeeded, _, files = crawled
    kept = {"headings": 0, "code": 0, "tables": 0}
    for row in succeeded:
        main = _main(files[row["url"]])
        text = row["markdown"]
        unindented = _unindented(text)
        for heading in main.xpath(".//h1|.//h2|.//h3"):
            for anchor in heading.xpath(".//a[contains(@class, 'headerlink')]"):
                anchor.drop_tree()
            wanted = _bare(heading.text_content())
            assert any(_bare(line) == wanted for line in re.findall(r"^#+ (.*)$", text, re.MULTILINE)), (
                row["url"],
                wanted,
            )
            kept["headings"] += 1
        for block in main.xpath(".//pre"):
            assert _unindented(block.text_content()) in unindented, (row["url"], block.text_content()[:80])
            kept["code"] += 1
        if main.xpath(".//table[.//th or .//td][not(ancestor::table)]//td[normalize-space()]"):
            kept["tables"] += bool(re.search(r"^\|.*\|$", text, re.MULTILINE))
        body = main.text_content()
        assert not [words for words in NAVIGATION if words in text and words not in body], row["url"]
    assert kept["headings"] > 4_000
    assert kept["code"] > 5_000
    assert kept["tables"] > 100


def _main(file: Path) -> lxml.html.HtmlElement:
    page = lxml.html.parse(str(file), lxml.html.HTMLParser(encoding="utf-8")).getroot()
    found = page.xpath("//div[@role='main']") or page.xpath("//body")
    return found[0]


def _words(text: str | None) -> str:
    return " ".join((text or "").split())


def _bare(text: str) -> str:
    """Letters and digits only: Markdown escapes and marks up what HTML does not."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"\]\([^)]*\)", "]", text).lower())


def _unindented(text: str) -> str:
    """Without what a list item or a quotation puts before the lines of a block inside it."""
    return "\n".join(line.strip(" \t>") for line in text.strip("\n").splitlines())
