"""The things that a page states, each once: shops write one product as JSON-LD and again in their markup."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import urljoin, urlsplit

from lxml import html

from thunderbit_dagster.emulator import structured_data
from thunderbit_dagster.emulator.structured_data import StatedRecord

_IDENTITIES: Final = ("sku", "productid", "gtin", "gtin13", "mpn", "url", "name")
"""What tells two things of a kind apart, the surest first."""


def things(root: html.HtmlElement, base: str) -> list[StatedRecord]:
    """The things in JSON-LD and microdata. One that both state has what JSON-LD says, and what only the markup says."""
    merged = list(dict.fromkeys(structured_data.json_ld(root)))
    open_places = list(range(len(merged)))
    for marked in dict.fromkeys(structured_data.microdata(root)):
        place = next((place for place in open_places if _are_same(merged[place], marked, base)), None)
        if place is None:
            merged.append(marked)
            continue
        # Two things that the markup tells apart stay two.
        open_places.remove(place)
        merged[place] = _completed(merged[place], marked)
    return merged


def _completed(thing: StatedRecord, by: StatedRecord) -> StatedRecord:
    paths = {fact.path for fact in thing.facts}
    return StatedRecord(thing.kind, (*thing.facts, *(fact for fact in by.facts if fact.path not in paths)))


def _are_same(one: StatedRecord, other: StatedRecord, base: str) -> bool:
    """Whether the surest identity that both state is the same."""
    if one.kind != other.kind:
        return False
    first, second = dict(_identities(one, base)), dict(_identities(other, base))
    return next((first[name] == second[name] for name in _IDENTITIES if name in first and name in second), False)


def _identities(record: StatedRecord, base: str) -> Iterator[tuple[str, str]]:
    stated = {fact.path[0].lower(): str(fact.value) for fact in reversed(record.facts) if len(fact.path) == 1}
    for name in _IDENTITIES:
        if name in stated:
            yield name, _address(stated[name], base) if name == "url" else stated[name].casefold()


def _address(link: str, base: str) -> str:
    """Where a link leads, however it is spelled."""
    try:
        parts = urlsplit(urljoin(base, link))
    except ValueError:
        return link
    return f"{parts.netloc.lower()}{parts.path.rstrip('/')}?{parts.query}"
