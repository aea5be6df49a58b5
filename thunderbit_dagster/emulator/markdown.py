"""Content of a page to GitHub-flavoured Markdown, by html-to-markdown.

What that library is given has been made plain: code blocks hold text only and name their language, addresses are
absolute, tables that only lay out the page are taken apart.
"""

import re
from typing import Final

from html_to_markdown import ConversionOptions, convert
from lxml import etree, html

from thunderbit_dagster.emulator.document import absolute, elements, image_source, squeeze
from thunderbit_dagster.emulator.errors import ApiError

_OPTIONS: Final = ConversionOptions(extract_metadata=False, bullets="-")
_LANGUAGE: Final = re.compile(r"(?:^|\s)(?:language|lang|highlight-source|highlight|brush:?)[-\s]([\w+#.-]+)")
_SPELLINGS: Final = {
    "python3": "python",
    "pycon3": "pycon",
    "py": "python",
    "js": "javascript",
    "shell-session": "console",
}
_NO_LANGUAGE: Final = frozenset({"default", "none", "text", "plain", "plaintext", "notranslate", "guess"})
_LOOKS_UP: Final = 4


def to_markdown(content: html.HtmlElement, base: str) -> str:
    """The Markdown of a content element, ending in one line break; empty when there is nothing to read.

    Changes the tree.

    Raises:
        ApiError: `MARKDOWN_CONVERSION_FAILED`.
    """
    for table in elements(content, ".//table"):
        if _is_layout(table):
            _take_apart(table)
    for block in elements(content, ".//pre"):
        _plain_code(block)
    _absolute_addresses(content, base)
    try:
        written = convert(etree.tostring(content, encoding="unicode", method="html", with_tail=False), _OPTIONS)
    except (ValueError, RuntimeError) as error:
        raise ApiError("MARKDOWN_CONVERSION_FAILED", f"The page cannot be written as Markdown: {error}.") from None
    text = (written.content or "").strip("\n")
    return text + "\n" if text.strip() else ""


def _is_layout(table: html.HtmlElement) -> bool:
    if table.get("role") in {"presentation", "none"}:
        return True
    return bool(elements(table, ".//table | .//pre | .//h1 | .//h2 | .//h3 | .//h4"))


def _take_apart(table: html.HtmlElement) -> None:
    for part in [table, *elements(table, ".//thead | .//tbody | .//tfoot | .//tr | .//td | .//th")]:
        part.tag = "div"


def _plain_code(block: html.HtmlElement) -> None:
    language = _language(block)
    for line_break in elements(block, ".//br"):
        line_break.tail = "\n" + (line_break.tail or "")
    text = "".join(block.itertext())
    for child in list(block):
        block.remove(child)
    block.text = None
    block.attrib.clear()
    code = etree.SubElement(block, "code")
    # An HTML parser leaves out the line break right after <pre>, so it is no part of the text.
    code.text = text.removeprefix("\n")
    if language:
        code.set("class", f"language-{language}")


def _language(block: html.HtmlElement) -> str | None:
    around = [*elements(block, ".//code"), block, *_ancestors(block)]
    for element in around:
        named = element.get("data-lang") or element.get("data-language")
        found = _LANGUAGE.search(element.get("class") or "")
        name = named or (found[1] if found else "")
        if name:
            return None if name in _NO_LANGUAGE else _SPELLINGS.get(name, name)
    return None


def _ancestors(block: html.HtmlElement) -> list[html.HtmlElement]:
    above = list(block.iterancestors())[:_LOOKS_UP]
    return [element for element in above if element.tag in {"div", "figure", "td", "tr", "tbody", "table"}]


def _absolute_addresses(content: html.HtmlElement, base: str) -> None:
    for link in elements(content, ".//a"):
        href = absolute(base, link.get("href"))
        if href is None and not (link.get("href") or "").startswith(("mailto:", "tel:")):
            link.drop_tag()
        elif href is not None:
            link.set("href", href)
    for image in elements(content, ".//img"):
        src = absolute(base, image_source(image))
        if src is None:
            image.drop_tree()
        else:
            image.set("src", src)
            image.set("alt", squeeze(image.get("alt")))
