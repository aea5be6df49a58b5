"""A parsed HTML document: its addresses, links, images and what its head says."""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urljoin, urlsplit

from lxml import etree, html

from thunderbit_dagster.emulator.errors import EmulatorError

# Control characters, halves of pairs, and the code points that Unicode keeps for uses inside a program.
_NOT_TEXT: Final = re.compile("[\x00-\x08\x0b\x0e-\x1f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_BLANKS: Final = re.compile(r"\s+")


def parse_html(text: str) -> html.HtmlElement:
    """The root of an HTML document, without comments.

    Raises:
        ApiError: `SCRAPE_EMPTY_CONTENT` when there is nothing in it.
    """
    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    try:
        return html.document_fromstring(clean(text).encode(), parser=parser)
    except etree.ParserError:
        raise EmulatorError("SCRAPE_EMPTY_CONTENT", "The page is empty.") from None


def clean(text: str) -> str:
    """The text with each character that XML cannot hold replaced; libxml2 would lose what follows one."""
    return _NOT_TEXT.sub("\N{REPLACEMENT CHARACTER}", text.replace("\f", " "))


def squeeze(text: str | None) -> str:
    """The text with every run of white space as one blank."""
    return _BLANKS.sub(" ", text or "").strip()


def text_of(element: html.HtmlElement) -> str:
    """All text below an element, squeezed."""
    return squeeze("".join(element.itertext()))


def elements(root: html.HtmlElement, xpath: str) -> list[html.HtmlElement]:
    """The elements an XPath finds."""
    found = root.xpath(xpath)
    return [element for element in found if isinstance(element, html.HtmlElement)] if isinstance(found, list) else []


def base_url(root: html.HtmlElement, url: str) -> str:
    """What relative addresses of the page relate to."""
    base = next((element.get("href") for element in elements(root, "//base[@href]")), None)
    return absolute(url, base) or url


def absolute(base: str, address: str | None) -> str | None:
    """An absolute http(s) address, or None for anything else."""
    try:
        joined = urljoin(base, squeeze(address)) if address else ""
        parts = urlsplit(joined)
    except ValueError:
        return None
    return joined if parts.scheme in {"http", "https"} and parts.netloc else None


def links(root: html.HtmlElement, base: str) -> list[dict[str, object]]:
    """The links of the whole page as `{text, href}`: absolute, each address once, in their order."""
    found: dict[str, str] = {}
    for element in elements(root, "//a[@href]"):
        href = absolute(base, element.get("href"))
        if href and not (element.get("href") or "").lstrip().startswith("#"):
            found[href] = found.get(href) or text_of(element)
    return [{"text": text or None, "href": href} for href, text in found.items()]


def images(root: html.HtmlElement, base: str) -> list[dict[str, object]]:
    """The images of the page as `{src, alt, width, height}`: absolute, each address once."""
    found: dict[str, dict[str, object]] = {}
    for element in elements(root, "//img"):
        src = absolute(base, image_source(element))
        if src and src not in found:
            size = {name: _pixels(element.get(name)) for name in ("width", "height")}
            found[src] = {"src": src, "alt": squeeze(element.get("alt")) or None, **size}
    return list(found.values())


def image_source(image: html.HtmlElement) -> str | None:
    """Where the picture is, also when the page loads it late."""
    named = (image.get(name) for name in ("src", "data-src", "data-lazy-src", "data-original"))
    return next((src for src in named if src and not src.lstrip().startswith("data:")), None)


def meta(root: html.HtmlElement) -> dict[str, str]:
    """The page's `<meta>` values by lower-case name, property or itemprop; the first one of a name counts."""
    found: dict[str, str] = {}
    for element in elements(root, "//meta[@content]"):
        name = element.get("property") or element.get("name") or element.get("itemprop")
        if name and squeeze(element.get("content")):
            found.setdefault(name.strip().lower(), squeeze(element.get("content")))
    return found


def title(root: html.HtmlElement) -> str | None:
    """The text of `<title>`, or what stands in for it."""
    written = (text_of(element) for element in elements(root, "/html/head/title | //title[not(ancestor::svg)]"))
    named = meta(root).get("og:title")
    return next((text for text in written if text), None) or named or _first_heading(root)


def metadata(root: html.HtmlElement, base: str) -> dict[str, object]:
    """What the head of the page says of it, by the API's names; only what is there."""
    said = meta(root)
    language = next(iter(root.xpath("/html/@lang | /html/@xml:lang")), None) or said.get("og:locale")
    found = {
        "title": title(root),
        "description": _first(said, "description", "og:description", "twitter:description"),
        "language": squeeze(str(language)) if language else None,
        "author": _first(said, "author", "article:author", "dc.creator"),
        "publishedDate": _first(said, "article:published_time", "date", "dc.date", "datepublished") or _time(root),
        "image": absolute(base, _first(said, "og:image", "twitter:image")),
    }
    return {name: value for name, value in found.items() if value}


def _first(values: dict[str, str], *names: str) -> str | None:
    return next((values[name] for name in names if name in values), None)


def _first_heading(root: html.HtmlElement) -> str | None:
    return next((text for element in elements(root, "//h1") if (text := text_of(element))), None)


def _time(root: html.HtmlElement) -> str | None:
    found: Iterator[str | None] = (element.get("datetime") for element in elements(root, "//article//time[@datetime]"))
    return next(found, None)


def _pixels(value: str | None) -> int | None:
    digits = re.match(r"\s*(\d{1,6})\s*(px)?\s*\Z", value or "")
    return int(digits[1]) if digits else None
