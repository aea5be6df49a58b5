"""Which part of a page is its content: landmarks first, and without them what is left when the frame is taken off."""

import re
from typing import Final

from lxml import html

from thunderbit_dagster.emulator.document import elements, text_of

_LANDMARKS: Final = (
    "//*[@role='main']",
    "//main",
    "//*[@itemprop='articleBody']",
    "//article[not(ancestor::article)]",
    "//*[contains(concat(' ', normalize-space(@class), ' '), ' markdown-body ')]",
    "//*[contains(concat(' ', normalize-space(@class), ' '), ' entry-content ')]",
    "//*[contains(concat(' ', normalize-space(@class), ' '), ' post-content ')]",
    "//*[contains(concat(' ', normalize-space(@class), ' '), ' article-body ')]",
    "//*[@id='mw-content-text']",
    "//*[@id='main-content' or @id='main_content' or @id='content' or @id='main']",
)
_ENOUGH_TEXT: Final = 40
_NEVER_CONTENT: Final = (
    "//script | //style | //noscript | //template | //svg | //iframe | //object | //embed | //link | //meta"
    " | //button | //input | //select | //textarea | //dialog | //nav | //audio | //video | //canvas"
    " | //*[@hidden] | //*[@aria-hidden='true']"
    " | //*[@role='navigation' or @role='search' or @role='dialog' or @role='alertdialog' or @role='toolbar']"
    " | //*[contains(translate(@style, ' ', ''), 'display:none')]"
)
_FRAME: Final = (
    "//header[not(.//h1)] | //footer | //aside | //form"
    " | //*[@role='banner' or @role='contentinfo' or @role='complementary']"
)
_NOTE: Final = re.compile(
    r"(^|[\s_-])(topic|sidebar|footnote|footnote-list|admonition|note|tip|warning|caution|callout|citation|example)\b",
    re.IGNORECASE,
)
_FRAME_NAME: Final = re.compile(
    r"(^|[\s_-])(nav|navbar|navigation|menu|sidebar|side-?bar|breadcrumbs?|cookies?|consent|gdpr|banner|masthead"
    r"|site-?header|site-?footer|page-?footer|footer|related|share|sharing|social|adverts?|ads?|promo|sponsor(ed)?"
    r"|newsletter|subscribe|pagination|pager|skip-?link|popup|modal|comments?|toc|sphinxsidebar|widget)($|[\s_-])",
    re.IGNORECASE,
)
_MARKS: Final = re.compile(r"\A[¶#§🔗\s\u200b\ufe0f\uf0c1]*\Z")
_LINE_NUMBERS: Final = "//pre//*[re:test(@class, '(^|\\s)(linenos?|line-?numbers?|lineno)(\\s|$)')]"
_REGULAR: Final = {"re": "http://exslt.org/regular-expressions"}


def main_content(root: html.HtmlElement) -> html.HtmlElement:
    """The element that holds the content, cleared of everything that is not. Changes the tree."""
    for element in elements(root, _NEVER_CONTENT):
        _drop(element)
    landmark = _landmark(root)
    body = landmark if landmark is not None else _without_frame(root)
    _clear(body)
    return body


def drop_all(root: html.HtmlElement, xpath: str) -> None:
    """Take the elements that an XPath finds out of the tree; the text after them stays."""
    for element in elements(root, xpath):
        _drop(element)


def _landmark(root: html.HtmlElement) -> html.HtmlElement | None:
    for xpath in _LANDMARKS:
        found = [element for element in elements(root, xpath) if len(text_of(element)) >= _ENOUGH_TEXT]
        if len(found) == 1:
            return found[0]
        if found and "article" in xpath:
            return _common_parent(found)
    return None


def _common_parent(found: list[html.HtmlElement]) -> html.HtmlElement | None:
    parents = {element.getparent() for element in found}
    return parents.pop() if len(parents) == 1 else None


def _without_frame(root: html.HtmlElement) -> html.HtmlElement:
    body = next(iter(elements(root, "/html/body")), root)
    named = [
        element
        for element in elements(body, ".//*[@class or @id]")
        if _FRAME_NAME.search(f"{element.get('class') or ''} {element.get('id') or ''}")
        and element.tag not in {"html", "body", "main", "article", "h1", "h2", "h3", "pre", "code"}
    ]
    whole = len(text_of(body))
    for element in named:
        # A name alone does not condemn what holds most of the page.
        if len(text_of(element)) * 2 < whole or not elements(element, ".//p | .//h1"):
            _drop(element)
    return body


def _clear(body: html.HtmlElement) -> None:
    for element in elements(body, _FRAME.replace("//", ".//")):
        if not (element.tag == "aside" and _NOTE.search(element.get("class") or "")):
            _drop(element)
    for element in elements(body, ".//*[self::h1 or self::h2 or self::h3 or self::h4 or self::h5 or self::h6]//a"):
        if _is_permalink(element):
            _drop(element)
    drop_all(body, ".//a[contains(concat(' ', normalize-space(@class), ' '), ' headerlink ')]")
    numbers = body.xpath(_LINE_NUMBERS.replace("//pre", ".//pre", 1), namespaces=_REGULAR)
    for element in numbers if isinstance(numbers, list) else []:
        if isinstance(element, html.HtmlElement):
            _drop(element)


def _is_permalink(link: html.HtmlElement) -> bool:
    to_itself = (link.get("href") or "").startswith("#") or link.get("href") is None
    return to_itself and _MARKS.match("".join(link.itertext())) is not None and not elements(link, ".//img")


def _drop(element: html.HtmlElement) -> None:
    if element.getparent() is not None:
        element.drop_tree()
