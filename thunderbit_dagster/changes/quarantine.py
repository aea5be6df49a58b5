"""Pages that are none although the API reports success: bot walls, consent and login pages, maintenance, soft 404s.

The rules are a table, ``quarantine.yaml``, over the visible text of a page. Walls are short, so each rule counts only
up to a length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import yaml

QUARANTINED_FROM: Final = 3.0
"""The score from which a page is quarantined."""
LONGEST: Final = 1_500
"""Characters of visible text; of a page that is longer no rule is tried."""
MOST_MARKUP: Final = 20
"""How many times as long as its visible text a page may be that is looked at."""
_SHRUNK_TO: Final = 0.1


@dataclass(frozen=True, slots=True)
class WallRule:
    """Text that stands on pages which are none: a row of ``quarantine.yaml``.

    Attributes:
        id: The kind of page.
        why: What such a page does.
        weight: What it adds to the score.
        longest: The most characters of visible text of a page on which it counts.
        pattern: What is looked for in the visible text, in any case.
    """

    id: str
    why: str
    weight: float
    longest: int
    pattern: re.Pattern[str]


@cache
def wall_rules() -> tuple[WallRule, ...]:
    """The rules of ``quarantine.yaml``."""
    rows = yaml.safe_load(files(__package__).joinpath("quarantine.yaml").read_text(encoding="utf-8"))
    return tuple(_wall_rule(**row) for row in rows)


def _wall_rule(*, id: str, why: str, weight: float, patterns: list[str], longest: int = LONGEST) -> WallRule:  # noqa: A002 - the table's word
    return WallRule(id, why, weight, longest, re.compile("|".join(f"(?:{one})" for one in patterns), re.IGNORECASE))


SHRUNK: Final = "shrunk"
"""The page has a tenth of its usual text or less: 1."""
NO_TEXT: Final = "empty"
"""The page has no text: 3."""

_LINK: Final = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKUP: Final = re.compile(r"[#*_>`|~\\]+")
_SPACE: Final = re.compile(r"\s+")


def why_quarantined(ids: str) -> str:
    """What the rules of a score, comma-separated, say of a page."""
    reasons = {rule.id: rule.why for rule in wall_rules()}
    reasons |= {SHRUNK: "has a tenth of its usual text or less", NO_TEXT: "has no text"}
    return "; ".join(f"{one}: {reasons[one]}" for one in ids.split(", ") if one in reasons)


@dataclass(frozen=True, slots=True)
class Score:
    """How much a page looks like one that is none, and by which rules."""

    value: float = 0.0
    rules: tuple[str, ...] = ()

    @property
    def is_quarantined(self) -> bool:
        return self.value >= QUARANTINED_FROM

    def with_length(self, length: int, usual: float) -> Score:
        """The score of a page of so many characters that has another length as a rule."""
        return Score(self.value + 1, (*self.rules, SHRUNK)) if length <= _SHRUNK_TO * usual else self


def score_page(markdown: str) -> Score:
    """Score the text of a page."""
    if len(markdown) > MOST_MARKUP * LONGEST:
        return Score()
    text = visible_text(markdown)
    if not text:
        return Score(QUARANTINED_FROM, (NO_TEXT,))
    hits = [rule for rule in wall_rules() if len(text) <= rule.longest and rule.pattern.search(text)]
    return Score(sum(rule.weight for rule in hits), tuple(rule.id for rule in hits))


def visible_text(markdown: str) -> str:
    """What a person reads of a page: no markup, no addresses, white space folded."""
    return _SPACE.sub(" ", _MARKUP.sub(" ", _LINK.sub(r"\1", markdown))).strip()
