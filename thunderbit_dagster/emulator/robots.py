"""robots.txt by RFC 9309: groups by user agent, the longest matching path wins, `*` and `$` in paths."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import quote, urlsplit

ROBOT: Final = "thunderbit-emulator"
"""The name to use in a `User-agent` line."""

MAX_ROBOTS_BYTES: Final = 512 * 1024
ROBOTS_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class PathRule:
    """One `Allow` or `Disallow` line."""

    path: str
    allow: bool

    def matches(self, target: str) -> bool:
        """Whether the rule speaks of this path and query."""
        first, *others = self.path.removesuffix("$").split("*")
        if not target.startswith(first):
            return False
        end = len(first)
        # Not a regular expression: a rule with many stars would take one for ever.
        for part in others:
            begin = target.find(part, end)
            if begin < 0:
                return False
            end = begin + len(part)
        is_whole = end == len(target) or (others and target.endswith(others[-1]))
        return not self.path.endswith("$") or bool(is_whole)


def allows(robots_txt: str, url: str, robot: str = ROBOT) -> bool:
    """Whether `robot` may fetch `url` by this file."""
    parts = urlsplit(url)
    target = _normal(parts.path or "/") + (f"?{_normal(parts.query)}" if parts.query else "")
    if target == "/robots.txt":
        return True
    matching = [rule for rule in rules_for(robots_txt, robot) if rule.matches(target)]
    # The longest wins, and among equals the one that allows.
    return max(matching, key=lambda rule: (len(rule.path), rule.allow)).allow if matching else True


@lru_cache(maxsize=64)
def rules_for(robots_txt: str, robot: str = ROBOT) -> tuple[PathRule, ...]:
    """The rules of all groups for this robot; without any, those for `*`."""
    named: list[PathRule] = []
    general: list[PathRule] = []
    has_own_group = False
    agents: list[str] = []
    in_rules = True
    for key, value in _lines(robots_txt):
        if key == "user-agent":
            agents = [value.lower()] if in_rules else [*agents, value.lower()]
            in_rules = False
            has_own_group |= value.lower() == robot
            continue
        in_rules = True
        rule = PathRule(_normal(value), key == "allow")
        named += [rule] if robot in agents and value else []
        general += [rule] if "*" in agents and value else []
    return tuple(named if has_own_group else general)


def _lines(robots_txt: str) -> Iterator[tuple[str, str]]:
    for line in robots_txt.lstrip("\ufeff").splitlines():
        key, colon, value = line.partition("#")[0].partition(":")
        key = key.strip().lower()
        if colon and key in {"user-agent", "allow", "disallow"}:
            yield key, value.strip()


def _normal(path: str) -> str:
    return quote(path, safe="/%?=&*$:@!'()+,;~[]")
