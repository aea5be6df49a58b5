"""Two versions of a page: whether they differ in content, and in what."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Final

from thunderbit_dagster.changes.normalize import Line

FURNITURE_SHARE: Final = 0.05
SHARED_PAGES: Final = 3
"""On how many pages of a host a line must stand to be one of the site, which may come and go by itself."""
MOST_DIFF_CHARACTERS: Final = 20_000
_LEAST_WORDS: Final = 6
_DIGITS: Final = re.compile(r"\d+")

NO_LINE: Final = Line("", "")


@dataclass(frozen=True, slots=True)
class HostLines:
    """What the pages of a host have in common: on how many pages a line stands, and how many pages there are."""

    pages_with: Callable[[Line], int] = lambda _: 0
    pages: int = 0

    def is_shared(self, line: Line) -> bool:
        """Whether the line may take turns with others in its place."""
        return self.pages_with(line) >= SHARED_PAGES

    def is_furniture(self, line: Line) -> bool:
        """Whether the line is the site's, and may come and go by itself, as banners do."""
        return self.pages_with(line) >= max(SHARED_PAGES, FURNITURE_SHARE * self.pages)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between two versions.

    Attributes:
        removed, added: The lines of content that are gone and new; of lines that only moved none.
        ignored: What was left out, by the rule that says why: pairs of the line before and the line now.
        similarity: The share of the characters that stand in equal lines, 0 to 1. It is shown and decides nothing: a
            changed price is a smaller edit than a rotated teaser.
        diff: The difference, at most ``MOST_DIFF_CHARACTERS``; empty when nothing changed.
    """

    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    ignored: tuple[tuple[str, str, str], ...] = ()
    similarity: float = 1.0
    diff: str = ""

    @property
    def is_changed(self) -> bool:
        return bool(self.removed or self.added)


def compare_pages(old: Sequence[Line], new: Sequence[Line], host: HostLines, *, is_ordered: bool = False) -> Comparison:
    """Compare two versions of a page, line by line.

    A line that moved is no difference, unless ``is_ordered``. A line that replaces another in its place is none when
    both stand on several pages of the host, as teasers do that rotate; nor is one that comes or goes when many pages
    of the host have it. Short labels and lines that differ in numbers alone are content wherever they stand.
    """
    before, now = [line.text for line in old], [line.text for line in new]
    gone, come = Counter(before), Counter(now)
    if not is_ordered:
        gone, come = gone - come, come - gone
    blocks = SequenceMatcher(None, before, now, autojunk=False).get_opcodes()
    edits = [_Edit(old[a:b], new[c:d]) for kind, a, b, c, d in blocks if kind != "equal"]
    rotated: list[tuple[Line, Line]] = []
    kept = [edit for edit in (_content(edit, gone, come, host, rotated) for edit in edits) if edit]
    return Comparison(
        removed=tuple(line.text for edit in kept for line in edit.old),
        added=tuple(line.text for edit in kept for line in edit.new),
        ignored=(*_normalized(old, new), *(("rotation", one.raw, other.raw) for one, other in rotated)),
        similarity=_similarity(before, now),
        diff=_shortened("\n".join(row for edit in kept for row in edit.rows())),
    )


@dataclass(frozen=True, slots=True)
class _Edit:
    """Lines that stand where others stood."""

    old: Sequence[Line]
    new: Sequence[Line]

    def __bool__(self) -> bool:
        return bool(self.old or self.new)

    def rows(self) -> Iterator[str]:
        yield "@@"
        yield from (f"- {line.text}" for line in self.old)
        yield from (f"+ {line.text}" for line in self.new)


def _content(
    edit: _Edit, gone: Counter[str], come: Counter[str], host: HostLines, rotated: list[tuple[Line, Line]]
) -> _Edit:
    """What of an edit is content: not what only moved, nor what rotates."""
    old, new = _taken(edit.old, gone), _taken(edit.new, come)
    if len(old) != len(new):
        return _without_furniture(_Edit(old, new), host, rotated)
    pairs = list(zip(old, new, strict=True))
    turns = [pair for pair in pairs if _rotates(*pair, host)]
    rotated.extend(turns)
    left = [pair for pair in pairs if pair not in turns]
    return _Edit([one for one, _ in left], [other for _, other in left])


def _without_furniture(edit: _Edit, host: HostLines, rotated: list[tuple[Line, Line]]) -> _Edit:
    """Lines that come or go are none of the page when other pages of the host have them, too, as banners do."""
    rotated.extend((line, NO_LINE) for line in edit.old if _is_furniture(line, host))
    rotated.extend((NO_LINE, line) for line in edit.new if _is_furniture(line, host))
    kept = ([line for line in lines if not _is_furniture(line, host)] for lines in (edit.old, edit.new))
    return _Edit(*kept)


def _is_furniture(line: Line, host: HostLines) -> bool:
    return _is_sentence(line.text) and host.is_furniture(line)


def _taken(lines: Sequence[Line], surplus: Counter[str]) -> list[Line]:
    """The lines of which there are more on this side than on the other."""
    found = []
    for line in lines:
        if surplus[line.text] > 0:
            surplus[line.text] -= 1
            found.append(line)
    return found


def _rotates(old: Line, new: Line, host: HostLines) -> bool:
    if _DIGITS.sub("", old.text) == _DIGITS.sub("", new.text):
        return False
    return all(_is_sentence(line.text) and host.is_shared(line) for line in (old, new))


def _is_sentence(text: str) -> bool:
    return len(text.split()) >= _LEAST_WORDS or text.lstrip("*-+> ").startswith(("[", "!["))


def _normalized(old: Sequence[Line], new: Sequence[Line]) -> Iterator[tuple[str, str, str]]:
    """The lines that are equal only as they are compared, with the rules that made them so."""
    before = {line.text: line for line in old if line.rules}
    for line in new:
        other = before.get(line.text)
        if other is not None and other.raw != line.raw:
            yield ", ".join(dict.fromkeys([*other.rules, *line.rules])), other.raw, line.raw


def _similarity(before: Sequence[str], now: Sequence[str]) -> float:
    common = Counter(before) & Counter(now)
    characters = sum(map(len, before)) + sum(map(len, now))
    return 1.0 if not characters else round(2 * sum(len(text) * n for text, n in common.items()) / characters, 4)


def _shortened(diff: str) -> str:
    if len(diff) <= MOST_DIFF_CHARACTERS:
        return diff
    cut = diff[:MOST_DIFF_CHARACTERS].rpartition("\n")[0]
    return f"{cut}\n@@ {len(diff) - len(cut):,} more characters"


Items = Sequence[Mapping[str, object]]


def compare_items(old: Items, new: Items) -> Comparison:
    """Compare extracted rows, field by field. Their order is no content: equal rows are matched wherever they stand."""
    before, now = Counter(map(_json, old)), Counter(map(_json, new))
    gone, come = list((before - now).elements()), list((now - before).elements())
    rows = [{"old": old, "new": new, **field} for old, new, field in _fields(gone, come)]
    return Comparison(
        removed=tuple(gone),
        added=tuple(come),
        similarity=_similarity(list(before.elements()), list(now.elements())),
        diff=_shortened("\n".join(_json(row) for row in rows)),
    )


def _fields(gone: Sequence[str], come: Sequence[str]) -> Iterator[tuple[object, object, dict[str, object]]]:
    """The fields that differ: those of the first row that is gone against the first that is new, and so on."""
    for number, (before, now) in enumerate(zip_longest(gone, come)):
        old = json.loads(before) if before is not None else {}
        new = json.loads(now) if now is not None else {}
        for name in dict.fromkeys([*old, *new]):
            if old.get(name) != new.get(name):
                yield old.get(name), new.get(name), {"item": number, "field": name}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
