"""Checks that every installed distribution has a permissive licence.

Reads what `pip-licenses --format=json --with-system` prints on standard input. Unknown licences fail.
A licence is an SPDX expression or the names of trove classifiers joined by `;`, of which all must pass.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TypedDict

# Distribution to reason, for those whose metadata does not tell what a person has read in their licence file.
REVIEWED: Mapping[str, str] = {}

ALLOWED = re.compile(
    r"""
    (the\ )? (
        mit (-0|-cmu|\ license)? | expat | isc (\ license | \ license\ \(iscl\))?
      | 0bsd | zlib | cc0-1\.0 | unlicense
      | (new\ |modified\ )? bsd (-[23]-clause|\ license)? | [23]-clause\ bsd\ license
      | apache (-2\.0|\ 2\.0|\ software\ license|\ license,?\ (version\ )?2\.0)?
      | mpl-2\.0 | mozilla\ public\ license\ 2\.0\ \(mpl\ 2\.0\)
      | psf-2\.0 | python-2\.0 | python\ software\ foundation\ license
    )
    (\ with\ [a-z0-9.-]+-exception)?  # SPDX exceptions only ever add permissions
    """,
    re.VERBOSE | re.IGNORECASE,
)


class Distribution(TypedDict):
    """One line of pip-licenses."""

    Name: str
    Version: str
    License: str


def is_permissive(licence: str) -> bool:
    """Whether every classifier, or the SPDX expression, allows use under permissive terms alone."""
    return all(_Expression(part).holds() for part in licence.split(";"))


def refused(distributions: Iterable[Distribution]) -> Iterator[str]:
    """A line for each distribution that neither passes nor is in the reviewed list."""
    for one in distributions:
        if one["Name"] not in REVIEWED and not is_permissive(one["License"]):
            yield f"{one['Name']} {one['Version']}: {one['License']!r} is not known to be permissive"


class _Expression:
    """`OR` binds less tightly than `AND`, as SPDX 2.3 has it; any other words side by side are one name."""

    def __init__(self, text: str) -> None:
        # Kept whole too: classifiers such as "ISC License (ISCL)" have brackets of their own.
        self._whole = text.strip()
        self._complete = True
        self._tokens = re.findall(r"[()]|[^\s()]+", self._whole)

    def holds(self) -> bool:
        if ALLOWED.fullmatch(self._whole):
            return True
        holds = self._any()
        return holds and self._complete and not self._tokens

    def _any(self) -> bool:
        holds = self._all()
        while self._take("OR"):
            holds = self._all() or holds
        return holds

    def _all(self) -> bool:
        holds = self._one()
        while self._take("AND"):
            holds = self._one() and holds
        return holds

    def _one(self) -> bool:
        if self._take("("):
            holds = self._any()
            return self._take(")") and holds
        words: list[str] = []
        while self._tokens and self._tokens[0].upper() not in {"AND", "OR", "(", ")"}:
            words.append(self._tokens.pop(0))
        self._complete &= bool(words)
        return ALLOWED.fullmatch(" ".join(words)) is not None

    def _take(self, token: str) -> bool:
        found = bool(self._tokens) and self._tokens[0].upper() == token
        if found:
            self._tokens.pop(0)
        return found


def main() -> int:
    """The exit status: 1 with a line for each refused distribution, else 0."""
    distributions: list[Distribution] = json.load(sys.stdin)
    lines = list(refused(distributions))
    print("\n".join(lines or [f"{len(distributions)} distributions, all under permissive licences"]))
    return 1 if lines or not distributions else 0


if __name__ == "__main__":
    sys.exit(main())
