"""A page of `benchmarks.web`: how it is written from the templates of its site, edited, and rendered on a day."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from random import Random
from typing import NamedTuple

from benchmarks.web_texts import STYLES, WALLS, Site, Template

FIRST_DATE = date(2026, 3, 2)

_POOL, _NEW_IN_POOL = 40, 3
_NOISES_AT_ONCE = (1, 1, 1, 1, 1, 1, 1, 2, 2, 3)
_FACT_WEIGHT = 3
"""How much more often another fact than the title changes than a certain edit is made."""
_SHARE_CUT_SHORT = 0.25
_SHARE_WITH_TAIL = 0.8
_ENDS = ".!。"
_LINES_OF_BLOCK = {"text": (2, 5), "list": (3, 6), "steps": (3, 6), "table": (3, 7), "code": (3, 8), "quote": (1, 2)}
_FIELD = re.compile(r"\{([^{}\n]+)\}")
_NESTED_FIELDS = 3
_NUMBER = re.compile(r"(?<![A-Za-z0-9/.#_-])\d+(?![A-Za-z0-9])", re.ASCII)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def seeded(*parts: object) -> Random:
    return Random("/".join(map(str, parts)))  # noqa: S311 - a simulation


@dataclass(frozen=True)
class Writer:
    """Fills the templates of a site.

    Args:
        site: Whose words it uses.
        seed: The web's.
        owner: The page or host that it writes for.
        day: The day on which it writes.
        draw: Where its choices come from.
    """

    site: Site
    seed: int
    owner: str
    day: int
    draw: Random

    def write(self, template: Template) -> str:
        """Fields that are neither a pool of words nor a filler stay as they are."""
        start, fields = _parsed(self.site, template if isinstance(template, str) else self.one(template))
        return start + "".join([fill(self) + text for fill, text in fields])

    def one(self, texts: Sequence[str]) -> str:
        return texts[int(self.draw.random() * len(texts))]

    def integer(self, low: int, high: int) -> int:
        return low + int(self.draw.random() * (high - low + 1))

    def line(self, style: str, but: list[str]) -> str:
        """A line for a block of this style, other than these; most sentences have an end that is hardly found twice."""
        line = self.other(self.site.lines[style], but)
        if style != "text" or line[-1] not in _ENDS or self.draw.random() > _SHARE_WITH_TAIL:
            return line
        return f"{line[:-1]}{self.write(self.site.tails)}{line[-1]}"

    def other(self, template: Template, but: list[str]) -> str:
        text = self.write(template)
        while text in but:
            text = self.write(template)
        return text

    def own(self, purpose: str) -> Writer:
        """Writes the same for this owner on every day."""
        return Writer(self.site, self.seed, self.owner, 0, seeded(self.seed, self.owner, purpose))

    def now(self) -> datetime:
        at = datetime.combine(FIRST_DATE, time()) + timedelta(days=self.day)
        return at + timedelta(seconds=self.draw.randrange(86_400))

    def teasers(self, places: list[int]) -> str:
        """Lines of the host's pool, as a list."""
        return "\n".join(f"- {_teaser(self.site, self.seed, place)}" for place in places)

    def shuffled_items(self, purpose: str, count: int) -> list[str]:
        """Items that are always the page's own, in any order."""
        writer, items = self.own(purpose), list[str]()
        while len(items) < count:
            items.append(writer.line("list", items))
        return self.draw.sample(items, count)


_Fill = Callable[[Writer], str]


@lru_cache(maxsize=4096)
def _parsed(site: Site, template: str) -> tuple[str, Sequence[tuple[_Fill, str]]]:
    """The text before the first field, and what fills each field with the text behind it."""
    start, *rest = _FIELD.split(template)
    return start, [(_fill(site, field), text) for field, text in zip(rest[::2], rest[1::2], strict=True)]


def _fill(site: Site, field: str) -> _Fill:
    name, _, arguments = field.partition(" ")
    if name in site.words:
        return _one_of(site.words[name])
    if name == "int":
        return _between(*map(int, arguments.split()))
    return lambda writer: _FILLERS[name](writer, arguments) if name in _FILLERS else f"{{{field}}}"


def _one_of(words: Sequence[str]) -> _Fill:
    count = len(words)
    return lambda writer: words[int(writer.draw.random() * count)]


def _between(low: int, high: int) -> _Fill:
    count = high - low + 1
    return lambda writer: str(low + int(writer.draw.random() * count))


@lru_cache(maxsize=4096)
def _teaser(site: Site, seed: int, place: int) -> str:
    return Writer(site, seed, site.host, 0, seeded(seed, site.host, "teaser", place)).write(site.teasers)


def _grouped(writer: Writer, limits: str) -> str:
    return f"{writer.integer(*map(int, limits.split())):,}".replace(",", writer.site.thousands)


def _growing(writer: Writer, arguments: str) -> str:
    """More on each day, from a number of the page's own."""
    low, high, step = map(int, arguments.split())
    total = writer.own(arguments).draw.randint(low, high) + writer.day * step + writer.draw.randrange(step)
    return f"{total:,}".replace(",", writer.site.thousands)


def _moment(writer: Writer, at: datetime, style: str) -> str:
    named = style.replace("%A", writer.site.weekdays[at.weekday()]).replace("%B", writer.site.months[at.month - 1])
    return at.strftime(named)


def _cloud(writer: Writer, count: str) -> str:
    words = writer.draw.sample(next(iter(writer.site.words.values())), int(count))
    return " ".join(f"[{word}](/tag/{word}) ({writer.draw.randint(2, 90)})" for word in words)


def _pool_of(writer: Writer) -> range:
    return range(writer.day * _NEW_IN_POOL, writer.day * _NEW_IN_POOL + _POOL)


_FILLERS: Mapping[str, Callable[[Writer, str], str]] = {
    "num": _grouped,
    "grows": _growing,
    "hex": lambda writer, length: f"{writer.draw.getrandbits(4 * int(length)):0{length}x}",
    "letters": lambda writer, length: "".join(writer.draw.choices(_LETTERS, k=int(length))),
    "pick": lambda writer, texts: writer.one(texts.split("|")),
    "ip": lambda writer, _: ".".join(str(writer.integer(11, 220)) for _ in range(4)),
    "host": lambda writer, _: writer.site.host,
    "now": lambda writer, style: _moment(writer, writer.now(), style),
    "soon": lambda writer, style: _moment(writer, writer.now() + timedelta(days=writer.draw.randint(3, 200)), style),
    "teasers": lambda writer, count: writer.teasers(writer.draw.sample(_pool_of(writer), int(count))),
    "newest": lambda writer, count: writer.teasers(list(_pool_of(writer)[-int(count) :])),
    "own": lambda writer, count: writer.teasers(
        writer.draw.sample(writer.own("related").draw.sample(range(_POOL), int(count)), int(count))
    ),
    "mine": lambda writer, count: _rendered("list", writer.shuffled_items("mine", int(count)), writer.site),
    "ranked": lambda writer, count: _rendered("steps", writer.shuffled_items("ranked", int(count)), writer.site),
    "cloud": _cloud,
}


class _Block(NamedTuple):
    style: str
    lines: list[str]


@dataclass
class _Section:
    heading: str
    blocks: list[_Block]


def _block(writer: Writer, style: str) -> _Block:
    lines: list[str] = []
    for _ in range(writer.integer(*_LINES_OF_BLOCK.get(style, (1, 1)))):
        lines.append(writer.line(style, lines))
    return _Block(style, lines)


def _section(writer: Writer, heading: Template) -> _Section:
    styles = ["text"] * 4 + list(writer.site.lines)
    others = [_block(writer, writer.one(styles)) for _ in range(writer.draw.randrange(3))]
    return _Section(writer.write(heading), [_block(writer, "text"), *others])


def _rendered(style: str, lines: list[str], site: Site) -> str:
    match style:
        case "text":
            return site.between.join(lines)
        case "steps":
            return "\n".join(f"{place}. {line}" for place, line in enumerate(lines, 1))
        case "table":
            return "\n".join([site.table_head, "| --- " * (site.table_head.count("|") - 1) + "|", *lines])
        case "code":
            return "\n".join(["```", *lines, "```"])
        case _:
            before = {"list": "- ", "quote": "> "}.get(style, "")
            return "\n".join(f"{before}{line}" for line in lines)


class Page:
    """A page in the course of its days: its sections, and on which days a fact or noise was drawn anew."""

    def __init__(self, seed: int, url: str, site: Site, born: int) -> None:
        self._seed, self._url, self._site, self._born = seed, url, site, born
        self._draws: list[tuple[str, int]] = []
        writer = self._writer("sections", born)
        headings = writer.draw.sample(site.headings, writer.draw.randint(2, 7))
        self._sections = [_section(writer, heading) for heading in headings]

    def change(self, day: int) -> str:
        """Draws a fact anew or edits the sections; which kind of change it is."""
        writer = self._writer("change", day)
        kinds = ["title", *_EDITS] + [fact for fact in self._site.facts if fact != "title"] * _FACT_WEIGHT
        return next(kind for kind in writer.draw.sample(kinds, len(kinds)) if self._changed(kind, writer))

    def draw_anew(self, fact_or_noise: str, day: int) -> None:
        """Gives it another text from that day on."""
        self._draws.append((fact_or_noise, day))

    def stir(self, day: int) -> str:
        """Draws noise anew; which kinds."""
        draw = seeded(self._seed, self._url, "noise", day)
        kinds = draw.sample(list(self._site.noise), draw.choice(_NOISES_AT_ONCE))
        for kind in kinds:
            self.draw_anew(kind, day)
        return " + ".join(kinds)

    def glitch(self, day: int) -> str:
        """Does to the page what is gone the day after."""
        if seeded(self._seed, self._url, "glitch", day).random() > _SHARE_CUT_SHORT:
            return self.change(day)
        del self._sections[len(self._sections) // 2 :]
        return "cut short"

    def markdown(self) -> str:
        body = "\n\n".join(
            f"## {section.heading}\n\n" + "\n\n".join(_rendered(*block, self._site) for block in section.blocks)
            for section in self._sections
        )
        shown = {**self._shown(), "body": body}
        text = _filled(f"{self._site.header}\n\n{self._site.main}\n\n{self._site.footer}", shown)
        for name in self._site.noise:
            for pattern, replacement in STYLES.get(shown[name], ()):
                text = re.sub(pattern, replacement, text)
        return f"{text}\n"

    def wall(self, day: int) -> tuple[str, str]:
        """The kind and the text of what is answered in place of the page."""
        writer = self._writer("wall", day)
        kind, template = writer.draw.choice(WALLS)
        opening = _rendered(*self._sections[0].blocks[0], self._site)
        shown = {**self._shown(), "header": self._site.header, "opening": opening}
        return kind, f"{_filled(writer.write(template), shown)}\n"

    def _writer(self, purpose: str, day: int) -> Writer:
        return Writer(self._site, self._seed, self._url, day, seeded(self._seed, self._url, purpose, day))

    def _shown(self) -> dict[str, str]:
        """The text of every fact and noise since it was drawn last; never the same as before that."""
        templates = {**self._site.facts, **self._site.noise}
        writer = self._writer("shown", self._born)
        shown = {name: writer.write(template) for name, template in templates.items()}
        for name, day in self._draws:
            shown[name] = self._writer(name, day).other(templates[name], [shown[name]])
        return shown

    def _changed(self, kind: str, writer: Writer) -> bool:
        if kind in _EDITS:
            return _EDITS[kind](self._sections, writer)
        self.draw_anew(kind, writer.day)
        return True


def _filled(template: str, shown: Mapping[str, str]) -> str:
    for _ in range(_NESTED_FIELDS):
        template = _FIELD.sub(lambda match: shown.get(match[1], match[0]), template)
    while "\n\n\n" in template:
        template = template.replace("\n\n\n", "\n\n")
    return template.strip()


_Edit = Callable[[list[_Section], Writer], bool]
"""Whether the page had what was to be edited."""
_LineEdit = Callable[[list[str], str, Writer], bool]


def _replace_line(lines: list[str], style: str, writer: Writer) -> bool:
    lines[writer.draw.randrange(len(lines))] = writer.line(style, lines)
    return True


def _add_line(lines: list[str], style: str, writer: Writer) -> bool:
    lines.insert(writer.draw.randint(0, len(lines)), writer.line(style, lines))
    return True


def _drop_line(lines: list[str], _: str, writer: Writer) -> bool:
    if len(lines) > 1:
        del lines[writer.draw.randrange(len(lines))]
        return True
    return False


def _renumber(lines: list[str], _: str, writer: Writer) -> bool:
    numbers = [(place, number) for place, line in enumerate(lines) for number in _NUMBER.finditer(line)]
    if numbers:
        place, number = writer.draw.choice(numbers)
        other = int(number[0]) + writer.draw.choice((1, 2, 7, 10, 100))
        lines[place] = f"{lines[place][: number.start()]}{other}{lines[place][number.end() :]}"
    return bool(numbers)


def _reword(lines: list[str], _: str, writer: Writer) -> bool:
    """Puts another word of the same pool in place of a word."""
    found = [
        (place, word, pool)
        for place, line in enumerate(lines)
        for pool in writer.site.words.values()
        for word in re.findall(rf"(?<![A-Za-z])(?:{'|'.join(map(re.escape, pool))})(?![A-Za-z])", line)
    ]
    if found:
        place, word, pool = writer.draw.choice(found)
        other = writer.draw.choice([another for another in pool if another != word])
        lines[place] = lines[place].replace(word, other, 1)
    return bool(found)


def _in_block(style: str, edit: _LineEdit) -> _Edit:
    def edit_one(sections: list[_Section], writer: Writer) -> bool:
        blocks = [block for section in sections for block in section.blocks if block.style == style]
        return bool(blocks) and edit(writer.draw.choice(blocks).lines, style, writer)

    return edit_one


def _add_paragraph(sections: list[_Section], writer: Writer) -> bool:
    blocks = writer.draw.choice(sections).blocks
    blocks.insert(writer.draw.randint(0, len(blocks)), _block(writer, "text"))
    return True


def _drop_paragraph(sections: list[_Section], writer: Writer) -> bool:
    several = [section.blocks for section in sections if len(section.blocks) > 1]
    if several:
        blocks = writer.draw.choice(several)
        del blocks[writer.draw.randrange(len(blocks))]
    return bool(several)


def _change_heading(sections: list[_Section], writer: Writer) -> bool:
    section = writer.draw.choice(sections)
    section.heading = writer.other(writer.site.headings, [section.heading])
    return True


def _add_section(sections: list[_Section], writer: Writer) -> bool:
    sections.insert(writer.draw.randint(0, len(sections)), _section(writer, writer.site.headings))
    return True


def _drop_section(sections: list[_Section], writer: Writer) -> bool:
    if len(sections) > 1:
        del sections[writer.draw.randrange(len(sections))]
        return True
    return False


def _rewrite_section(sections: list[_Section], writer: Writer) -> bool:
    sections[writer.draw.randrange(len(sections))] = _section(writer, writer.site.headings)
    return True


def _rewrite_all(sections: list[_Section], writer: Writer) -> bool:
    sections[:] = [_section(writer, writer.site.headings) for _ in sections]
    return True


_EDITS: Mapping[str, _Edit] = {
    "sentence": _in_block("text", _replace_line),
    "sentence added": _in_block("text", _add_line),
    "sentence dropped": _in_block("text", _drop_line),
    "number in a sentence": _in_block("text", _renumber),
    "word": _in_block("text", _reword),
    "list item": _in_block("list", _replace_line),
    "list item added": _in_block("list", _add_line),
    "list item dropped": _in_block("list", _drop_line),
    "table row": _in_block("table", _replace_line),
    "table row added": _in_block("table", _add_line),
    "number in a table": _in_block("table", _renumber),
    "code line": _in_block("code", _replace_line),
    "step": _in_block("steps", _replace_line),
    "paragraph added": _add_paragraph,
    "paragraph dropped": _drop_paragraph,
    "heading": _change_heading,
    "section added": _add_section,
    "section dropped": _drop_section,
    "section rewritten": _rewrite_section,
    "everything rewritten": _rewrite_all,
}
