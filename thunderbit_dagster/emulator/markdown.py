"""Content of a page to GitHub-flavoured Markdown, by html-to-markdown.

What that library is given has been made plain: code blocks hold text only and name their language, addresses are
absolute, tables that only lay out the page are taken apart.
"""

import re
from typing import Final

from html_to_markdown import ConversionOptions, convert
from lxml import etree, html

from thunderbit_dagster.emulator.document import absolute, clean, elements, image_source, squeeze
from thunderbit_dagster.emulator.errors import EmulatorError

_OPTIONS: Final = ConversionOptions(extract_metadata=False, bullets="-", compact_tables=True)
_LANGUAGE: Final = re.compile(
    r"(?:^|\s)(?:(?:language|lang|highlight-(?:source|text)|highlight)-|brush:\s*)([\w+#.-]+)"
)
_SPELLINGS: Final = {
    "python3": "python",
    "pycon3": "pycon",
    "py": "python",
    "js": "javascript",
    "shell-session": "console",
}
_NO_LANGUAGE: Final = frozenset({"default", "none", "text", "plain", "plaintext", "notranslate", "guess"})
_LOOKS_UP: Final = 4

# Stands for a backslash until the library is done, which would double a real one. No cleaned text holds it.
_ESCAPE: Final = "\ufdd0"
# Stands for a backslash of the page, which needs another one before it where it would escape what follows.
_BACKSLASH: Final = "\ufdd1"
_ESCAPING: Final = re.compile(r"\ufdd1(?=[!-/:-@\[-`{-~\ufdd0\ufdd1\n]|\Z)")
# What Markdown would take for markup: emphasis at the edge of a word, tags, code spans, links.
_MARKUP: Final = re.compile(r"\*(?=\S)|(?<=\S)\*|(?<!\w)_+(?=\S)|(?<=\S)_+(?!\w)|<(?=[A-Za-z/!?])|`|\](?=[(\[])")
_WRAPPERS: Final = frozenset(
    {"div", "span", "section", "article", "center", "font", "blockquote", "ul", "li", "b", "i"}
)
_DEEPEST: Final = 500
_CODE: Final = frozenset({"code", "pre", "kbd", "samp", "tt"})
_SECTIONS: Final = ("aside", "header", "footer", "form", "fieldset")


def to_markdown(content: html.HtmlElement, base: str) -> str:
    """The Markdown of a content element, ending in one line break; empty when there is nothing to read.

    Changes the tree.

    Raises:
        ApiError: `MARKDOWN_CONVERSION_FAILED`.
    """
    _flatten(content)
    _simplify(content)
    _escape_text(content)
    _absolute_addresses(content, base)
    try:
        written = convert(etree.tostring(content, encoding="unicode", method="html", with_tail=False), _OPTIONS)
    except (ValueError, RuntimeError) as error:
        raise EmulatorError("MARKDOWN_CONVERSION_FAILED", f"The page cannot be written as Markdown: {error}.") from None
    text = _with_backslashes(written.content or "").strip("\n")
    return text + "\n" if text.strip() else ""


def _simplify(content: html.HtmlElement) -> None:
    for table in elements(content, ".//table"):
        if _is_layout(table):
            _take_apart(table)
        elif not elements(table, ".//th"):
            # A Markdown table has a header row; the library would write a list where the page marks none.
            for cell in elements(table, "(.//tr)[1]/td"):
                cell.tag = "th"
    for block in elements(content, ".//pre"):
        _plain_code(block)
    # The library passes over sections that are usually no content; these are.
    for element in elements(content, ".//dt[contains(@class, 'sig')]"):
        _only_code(element, squeeze("".join(element.itertext()).replace("[source]", "")))
    for element in elements(content, ".//em | .//i | .//strong | .//b"):
        # Emphasis on a lone mark would run into the marks of Markdown.
        if not any(c.isalnum() for c in "".join(element.itertext())) and not elements(element, ".//img"):
            element.drop_tag()
    for section in elements(content, " | ".join(f".//{name}" for name in _SECTIONS)):
        section.tag = "div"


def _flatten(content: html.HtmlElement) -> None:
    """Unwrap what lies so deep that the library would give it up."""
    depth, deep = 0, []
    for event, element in etree.iterwalk(content, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if event == "start" and depth > _DEEPEST:
            deep.append(element)
    for element in deep:
        if element.tag in _WRAPPERS:
            element.drop_tag()


def _is_layout(table: html.HtmlElement) -> bool:
    if table.get("role") in {"presentation", "none"}:
        return True
    if elements(table, ".//table | .//pre | .//h1 | .//h2 | .//h3 | .//h4"):
        return True
    if elements(table, ".//th"):
        return False
    # Without header cells, lists or several paragraphs in a cell say that this is a page grid.
    return bool(elements(table, ".//td/ul | .//td/ol | .//td/dl | .//td/div | .//td[count(p) > 1]"))


def _escape_text(content: html.HtmlElement) -> None:
    for element in content.iter():
        if not isinstance(element.tag, str):
            continue
        if element.text and not _is_code(element):
            element.text = _MARKUP.sub(_escaped, clean(element.text).replace("\\", _BACKSLASH))
        if element.tail and element is not content and not _is_code(element.getparent()):
            element.tail = _MARKUP.sub(_escaped, clean(element.tail).replace("\\", _BACKSLASH))


def _with_backslashes(text: str) -> str:
    return _ESCAPING.sub(r"\\\\", text).replace(_BACKSLASH, "\\").replace(_ESCAPE, "\\")


def _escaped(found: "re.Match[str]") -> str:
    return "".join(_ESCAPE + mark for mark in found[0])


def _is_code(element: html.HtmlElement | None) -> bool:
    while element is not None:
        if element.tag in _CODE:
            return True
        element = element.getparent()
    return False


def _take_apart(table: html.HtmlElement) -> None:
    for part in [table, *elements(table, ".//thead | .//tbody | .//tfoot | .//tr | .//td | .//th")]:
        part.tag = "div"


def _plain_code(block: html.HtmlElement) -> None:
    language = _language(block)
    for line_break in elements(block, ".//br"):
        line_break.tail = "\n" + (line_break.tail or "")
    # An HTML parser leaves out the line break right after <pre>, so it is no part of the text.
    code = _only_code(block, "".join(block.itertext()).removeprefix("\n"))
    if language:
        code.set("class", f"language-{language}")


def _only_code(element: html.HtmlElement, text: str) -> html.HtmlElement:
    for child in list(element):
        element.remove(child)
    element.text = None
    element.attrib.clear()
    code = etree.SubElement(element, "code")
    code.text = clean(text)
    return code


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
        link.attrib.pop("title", None)
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
