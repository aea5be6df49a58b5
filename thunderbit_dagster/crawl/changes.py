"""``Changes``: what counts as a change of a page from crawl to crawl."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from thunderbit_dagster.validation import FLAG, TEXTS, Expected, require_setting, whole

LONGEST_HISTORY = 100


def _are_patterns(given: object) -> bool:
    if not isinstance(given, Sequence) or isinstance(given, str) or not all(isinstance(one, str) for one in given):
        return False
    try:
        return all(re.compile(one) for one in given)
    except re.error:
        return False


_EXPECTED: Mapping[str, Expected] = {
    "confirm": whole(1, LONGEST_HISTORY),
    "removed_after": whole(1, LONGEST_HISTORY),
    "history": whole(1, LONGEST_HISTORY),
    "ignore": Expected("a list of regular expressions", _are_patterns),
    "ordered_hosts": TEXTS,
    "trusted_hosts": TEXTS,
    "learn_numbers": FLAG,
}


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Compare each crawl with those before it, in the asset ``changes``.

    Args:
        confirm: In how many crawls in a row a page must have its new text before it counts as changed (default 1).
            With 2, a change for one day is none.
        removed_after: In how many crawls in a row a page must be missing before it counts as removed (default 2): the
            site answers 404 or 410, or the URL is no longer in the crawl's list. Other failures are no removal.
        history: How many published dates before its own a partition looks at, at most 100 (default 10). It bounds how
            far back ``since`` can say since when a page stands as it does.
        ignore: Regular expressions; what they match is left out of each line of text before it is compared.
        ordered_hosts: Hosts on which the order of lines is content, such as rankings. Elsewhere it is not.
        learn_numbers: Leave out the numbers of lines that change on three or more dates, and in half of the times that
            such a line stands on a page of the host, as those of counters do (default). Switch it off where all pages
            change their figures each day and these are what is watched.
        trusted_hosts: Hosts whose pages are never taken for bot walls, consent, login, maintenance or error pages.

    Raises:
        ValueError: a setting is wrong; or ``confirm`` or ``removed_after`` is more than ``history``.
    """

    confirm: int = 1
    removed_after: int = 2
    history: int = 10
    ignore: Sequence[str] = ()
    ordered_hosts: Sequence[str] = ()
    trusted_hosts: Sequence[str] = ()
    learn_numbers: bool = True

    def __post_init__(self) -> None:
        require_setting("Changes", vars(self), _EXPECTED)
        for name in ("confirm", "removed_after"):
            if getattr(self, name) > self.history:
                raise ValueError(f"Changes: `{name}` is {getattr(self, name)}, but only {self.history} dates are read.")
