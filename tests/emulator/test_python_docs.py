"""Markdown quality, measured on all pages of Debian's python3-doc: nothing missing, nothing added."""

import re
from collections import Counter
from pathlib import Path

import pytest
from lxml import html
from markdown_it import MarkdownIt

from thunderbit_dagster.emulator.distill import read_page
from thunderbit_dagster.emulator.fetch import Fetched

pytestmark = pytest.mark.slow

PLACES = "/usr/share/doc/python3*/html"
LEAST_PAGES = 400
FRAME = ("Previous topic", "Next topic", "This Page", "Quick search", "Report a Bug", "Show Source", "¶")
# A table whose cells hold lists or several paragraphs lays out the page: the index, and the table of contents.
GRID = "self::table[not(.//th)][.//td/ul or .//td/dl or .//td[count(p) > 1]]"


def pages() -> list[Path]:
    roots = sorted(Path("/").glob(PLACES.lstrip("/")))
    found = sorted(roots[-1].rglob("*.html")) if roots else []
    assert len(found) >= LEAST_PAGES, (
        f"Debian's python3-doc is not installed under {PLACES}: apt-get install python3-doc"
    )
    return found


def faults(path: Path) -> list[str]:
    """What is wrong with the Markdown of one page."""
    source = path.read_bytes()
    reference = html.fromstring(source.decode())
    (content,) = reference.xpath("//*[@role='main']")
    page = read_page(Fetched(f"http://docs.test/{path.name}", 200, "text/html; charset=utf-8", source))
    tokens = MarkdownIt().enable("table").parse(page.markdown)
    kinds = Counter((token.type, token.tag) for token in tokens)
    fences = Counter(token.content.strip("\n") for token in tokens if token.type == "fence")
    blocks = Counter("".join(block.itertext()).strip("\n") for block in content.xpath(".//pre"))

    found = [
        f"{tag}: {kinds['heading_open', tag]} of {want}"
        for tag in ("h1", "h2", "h3")
        if kinds["heading_open", tag] != (want := len(content.xpath(f".//{tag}")))
    ]
    found += [f"code block: {text[:60]!r}" for text in blocks - fences]
    tables = len(content.xpath(".//table")) - len(content.xpath(f".//{GRID.removeprefix('self::')}"))
    if kinds["table_open", "table"] != tables:
        found.append(f"tables: {kinds['table_open', 'table']} of {tables}")
    found += [f"frame: {words}" for words in FRAME if words in page.markdown]
    if page.title != " ".join(reference.xpath("//title")[0].text_content().split()):
        found.append(f"title: {page.title!r}")
    return found


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text))


def test_every_page_keeps_its_headings_code_tables_and_title():
    wrong = {str(path): found for path in pages() if (found := faults(path))}

    assert wrong == {}


def test_the_words_of_the_content_are_kept():
    total = lost = added = 0
    for path in pages()[::10]:
        source = path.read_bytes()
        (content,) = html.fromstring(source.decode()).xpath("//*[@role='main']")
        for mark in content.xpath(".//a[contains(@class, 'headerlink')]"):
            mark.drop_tree()
        for block in content.iter("p", "dt", "dd", "li", "td", "th", "pre", "div", "br"):
            block.tail = " " + (block.tail or "")
        page = read_page(Fetched("http://docs.test/", 200, "text/html; charset=utf-8", source))
        shown = html.fromstring(f"<div>{MarkdownIt().enable('table').render(page.markdown)}</div>")
        before, after = words(content.text_content()), words(shown.text_content())
        total += sum(before.values())
        lost += sum((before - after).values())
        added += sum((after - before).values())

    assert total > 100_000
    assert lost / total < 0.002
    assert added / total < 0.002
