"""What a page states about things: JSON-LD, microdata, `<meta>`, definition lists and tables, as plain records."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lxml import html

from thunderbit_dagster.emulator import document
from thunderbit_dagster.emulator.document import elements, squeeze, text_of

Scalar = str | int | float | bool
_DEEPEST: Final = 8
_MOST_FACTS: Final = 5000


@dataclass(frozen=True, slots=True)
class Fact:
    """One statement: the path of names that leads to it, such as `("offers", "price")`, and its value."""

    path: tuple[str, ...]
    value: Scalar


@dataclass(frozen=True, slots=True)
class StatedRecord:
    """The statements about one thing of a kind, such as `Product`."""

    kind: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class PageTable:
    """A data table: its header cells and its rows, as texts."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def json_ld(root: html.HtmlElement) -> list[StatedRecord]:
    """The things in the page's JSON-LD, members of lists and graphs one by one. Broken blocks are passed over."""
    found = []
    for script in elements(root, "//script[contains(@type, 'ld+json')]"):
        try:
            loaded = json.loads(script.text or "", strict=False)
        except (ValueError, RecursionError):
            continue
        found += [_record(node) for node in _nodes(loaded, 0)]
    return [record for record in found if record.facts]


def microdata(root: html.HtmlElement) -> list[StatedRecord]:
    """The things marked with `itemscope` that are no part of another thing."""
    found = [_record(_item(scope, 0)) for scope in elements(root, "//*[@itemscope and not(@itemprop)]")]
    return [record for record in found if record.facts]


def head(root: html.HtmlElement, base: str) -> StatedRecord:
    """What `<meta>`, the title and the first heading say."""
    facts = [Fact(tuple(name.replace("og:", "").split(":")), value) for name, value in document.meta(root).items()]
    facts += [Fact(("title",), text_of(heading)) for heading in elements(root, "//h1")[:1]]
    described = document.metadata(root, base)
    facts += [Fact((name,), str(value)) for name, value in described.items()]
    return StatedRecord("", (*facts, Fact(("url",), base)))


def labelled(root: html.HtmlElement) -> StatedRecord:
    """Definition lists, and tables of two columns that give a label and a value."""
    facts = []
    for term in elements(root, "//dt"):
        value = next((one for one in term.itersiblings() if one.tag in {"dd", "dt"}), None)
        if value is not None and value.tag == "dd":
            facts.append(Fact((text_of(term).rstrip(":"),), text_of(value)))
    pairs = elements(root, "//table//tr[count(th) = 1 and count(td) = 1]")
    facts += [Fact((_cell(row, "./th").rstrip(":"),), _cell(row, "./td")) for row in pairs]
    return StatedRecord("", tuple(fact for fact in facts if fact.path[0] and fact.value))


def tables(root: html.HtmlElement) -> list[PageTable]:
    """The page's data tables: those with a row of header cells."""
    return [table for element in elements(root, "//table") if (table := _table(element)) is not None]


def _cell(row: html.HtmlElement, xpath: str) -> str:
    return text_of(elements(row, xpath)[0])


def _nodes(loaded: object, depth: int) -> Iterator[dict[str, object]]:
    if depth > _DEEPEST:
        return
    if isinstance(loaded, list):
        for part in loaded:
            yield from _nodes(part, depth + 1)
    elif isinstance(loaded, dict):
        listed = loaded.get("@graph", loaded.get("itemListElement"))
        if isinstance(listed, list):
            yield from _nodes([_unwrapped(part) for part in listed], depth + 1)
        else:
            yield loaded


def _unwrapped(part: object) -> object:
    return part["item"] if isinstance(part, dict) and isinstance(part.get("item"), dict) else part


def _record(node: dict[str, object]) -> StatedRecord:
    kind = node.get("@type", "")
    facts = tuple(fact for fact, _ in zip(_flat(node, (), 0), range(_MOST_FACTS), strict=False))
    return StatedRecord(str(kind[0] if isinstance(kind, list) and kind else kind), facts)


def _flat(value: object, path: tuple[str, ...], depth: int) -> Iterator[Fact]:
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            if not name.startswith("@"):
                yield from _flat(inner, (*path, name), depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _flat(inner, path, depth + 1)
    elif isinstance(value, str) and squeeze(value):
        yield Fact(path, squeeze(value))
    elif isinstance(value, bool | int | float):
        yield Fact(path, value)


def _item(scope: html.HtmlElement, depth: int) -> dict[str, object]:
    kind = (scope.get("itemtype") or "").rstrip("/").rpartition("/")[2]
    item: dict[str, object] = {"@type": kind}
    for prop in _own_properties(scope):
        inner = _item(prop, depth + 1) if prop.get("itemscope") is not None and depth < _DEEPEST else _value(prop)
        for name in (prop.get("itemprop") or "").split():
            known = item.setdefault(name, [])
            if isinstance(known, list):
                known.append(inner)
    return item


def _own_properties(scope: html.HtmlElement) -> list[html.HtmlElement]:
    return [
        prop
        for prop in elements(scope, ".//*[@itemprop]")
        if next(up for up in prop.iterancestors() if up.get("itemscope") is not None) is scope
    ]


def _value(prop: html.HtmlElement) -> str:
    for name in ("content", "datetime", "href", "src", "value"):
        if prop.get(name):
            return squeeze(prop.get(name))
    return text_of(prop)


def _table(element: html.HtmlElement) -> PageTable | None:
    rows = [row for row in elements(element, ".//tr") if next(row.iterancestors("table")) is element]
    head_row = next((row for row in rows if len(elements(row, "./th")) > 1 and not elements(row, "./td")), None)
    if head_row is None:
        return None
    headers = tuple(text_of(cell) for cell in elements(head_row, "./th"))
    body = [tuple(text_of(cell) for cell in elements(row, "./td | ./th")) for row in rows if row is not head_row]
    return PageTable(headers, tuple(row for row in body if len(row) == len(headers)))
