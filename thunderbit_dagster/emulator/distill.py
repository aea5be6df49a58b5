"""A fetched page to what the API returns for it. Plain functions that use the processor; run them in a thread."""

import html as entities
from collections.abc import Mapping
from dataclasses import dataclass, field

from lxml import html

from thunderbit_dagster.api.codes import CREDITS_PER_LLM_FORMAT, JobKind
from thunderbit_dagster.emulator import document, summaries
from thunderbit_dagster.emulator.content import drop_all, main_content
from thunderbit_dagster.emulator.document import elements
from thunderbit_dagster.emulator.errors import EmulatorError
from thunderbit_dagster.emulator.extract import extract_rows
from thunderbit_dagster.emulator.fetch import Fetched
from thunderbit_dagster.emulator.markdown import to_markdown
from thunderbit_dagster.emulator.options import ExtractOptions, HighlightsFormat, PageOptions, QuestionFormat
from thunderbit_dagster.emulator.selectors import to_xpath


@dataclass(frozen=True, slots=True)
class DistilledPage:
    """A page that has been read. `root` is the whole document, None for plain text."""

    url: str
    title: str
    markdown: str = field(repr=False)
    source: str = field(repr=False)
    base: str
    metadata: Mapping[str, object]
    root: html.HtmlElement | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Product:
    """What one URL yields: the keys asked for, what it costs, and the page for `/search`."""

    payload: dict[str, object] = field(repr=False)
    credits: int
    page: DistilledPage


def produce(kind: JobKind, fetched: Fetched, options: PageOptions) -> Product:
    """Distill or extract a fetched page.

    Raises:
        ApiError: `SCRAPE_EMPTY_CONTENT`, `SCRAPE_UNSUPPORTED_FILE`, `MARKDOWN_CONVERSION_FAILED` or `EXTRACT_FAILED`.
    """
    page = read_page(fetched, options)
    payload = _extracted(page, options) if isinstance(options, ExtractOptions) else _distilled(page, options)
    returned = {name: value for name, value in _llm_formats(page, options).items() if value}
    base_price = options.price(kind) - CREDITS_PER_LLM_FORMAT * len(options.llm_formats)
    return Product({**payload, **returned}, base_price + CREDITS_PER_LLM_FORMAT * len(returned), page)


def read_page(fetched: Fetched, options: PageOptions | None = None) -> DistilledPage:
    """Parse a page and write its content as Markdown.

    Raises:
        ApiError: `SCRAPE_EMPTY_CONTENT`, `SCRAPE_UNSUPPORTED_FILE`, `MARKDOWN_CONVERSION_FAILED`.
    """
    text = fetched.text
    if b"\0" in fetched.body[:1024] and not text.isprintable() and "<" not in text[:1024]:
        raise EmulatorError("SCRAPE_UNSUPPORTED_FILE", "This is not text.")
    if not text.strip():
        raise EmulatorError("SCRAPE_EMPTY_CONTENT", "The page is empty.")
    if fetched.media_type in {"text/plain", "text/markdown"}:
        return _plain_page(fetched, text)
    return _html_page(fetched, text, options or PageOptions())


def _html_page(fetched: Fetched, text: str, options: PageOptions) -> DistilledPage:
    root = document.parse_html(text)
    base = document.base_url(root, fetched.url)
    markdown = to_markdown(_content(document.parse_html(text), options), base)
    if not markdown:
        raise EmulatorError("SCRAPE_EMPTY_CONTENT", "The page has no readable content.")
    metadata = {**document.metadata(root, base), **_about(fetched)}
    return DistilledPage(fetched.url, str(metadata.get("title") or ""), markdown, text, base, metadata, root)


def _plain_page(fetched: Fetched, text: str) -> DistilledPage:
    lines = (line.strip("# \t") for line in text.splitlines())
    title = next((line for line in lines if line), "")[:200]
    metadata = {"title": title, **_about(fetched)}
    return DistilledPage(fetched.url, title, text.strip("\r\n") + "\n", text, fetched.url, metadata, None)


def _about(fetched: Fetched) -> dict[str, object]:
    return {"sourceURL": fetched.url, "statusCode": fetched.status, "contentLength": len(fetched.body)}


def _content(root: html.HtmlElement, options: PageOptions) -> html.HtmlElement:
    for selector in options.exclude_tags:
        drop_all(root, to_xpath(selector))
    if not options.include_tags:
        return main_content(root)
    chosen = [element for selector in options.include_tags for element in elements(root, to_xpath(selector))]
    outermost = [element for element in chosen if not any(parent in chosen for parent in element.iterancestors())]
    holder = html.Element("div")
    holder.extend(dict.fromkeys(outermost))
    body = html.Element("body")
    body.append(holder)
    drop_all(body, ".//script | .//style | .//template | .//noscript")
    return body


def _distilled(page: DistilledPage, options: PageOptions) -> dict[str, object]:
    payload: dict[str, object] = {}
    if options.wants("markdown"):
        payload["markdown"] = page.markdown
    if options.wants("metadata"):
        payload["metadata"] = dict(page.metadata)
    if options.wants("html"):
        payload["html"] = page.source
    return {**payload, **_linked(page, options)}


def _extracted(page: DistilledPage, options: ExtractOptions) -> dict[str, object]:
    root = page.root if page.root is not None else _as_html(page)
    rows = extract_rows(root, page.base, options.extraction_schema)
    return {"data": rows, "metadata": dict(page.metadata), **_linked(page, options)}


def _as_html(page: DistilledPage) -> html.HtmlElement:
    return document.parse_html(f"<title>{entities.escape(page.title)}</title><pre>{entities.escape(page.source)}</pre>")


def _linked(page: DistilledPage, options: PageOptions) -> dict[str, object]:
    found: dict[str, object] = {}
    if options.wants("links"):
        found["links"] = document.links(page.root, page.base) if page.root is not None else []
    if options.wants("images"):
        found["images"] = document.images(page.root, page.base) if page.root is not None else []
    return found


def _llm_formats(page: DistilledPage, options: PageOptions) -> dict[str, object]:
    found: dict[str, object] = {}
    for wanted in options.llm_formats:
        if isinstance(wanted, QuestionFormat):
            found.setdefault("answer", summaries.answer(page.markdown, wanted.question))
        elif isinstance(wanted, HighlightsFormat):
            found.setdefault("highlights", summaries.highlights(page.markdown, wanted.query))
        else:
            found.setdefault("summary", summaries.summary(page.markdown))
    return found
