"""The simple CSS selectors of `includeTags` and `excludeTags` as XPath."""

import re
from typing import Final

_COMPOUND: Final = re.compile(r"(?P<tag>\*|[A-Za-z][\w-]*)?(?P<rest>(?:[.#][\w-]+|\[[\w-]+(?:=[^\]]*)?\])*)\Z")
_PART: Final = re.compile(r"([.#])([\w-]+)|\[([\w-]+)(?:=(['\"]?)([^'\"\]]*)\4)?\]")


def to_xpath(selector: str) -> str:
    """XPath for a tag, `.class`, `#id`, `[attribute=value]`, any of them together, nested by blanks.

    Raises:
        ValueError: The selector is of another kind.
    """
    steps = selector.split()
    if not steps:
        raise ValueError("an empty selector")
    return "".join(f".//{_step(step)}" if place == 0 else f"//{_step(step)}" for place, step in enumerate(steps))


def _step(text: str) -> str:
    found = _COMPOUND.match(text)
    if not found or not text:
        raise ValueError(f"not a tag, .class, #id or [attribute]: {text!r}")
    return (found["tag"] or "*").lower() + "".join(_condition(part) for part in _PART.finditer(found["rest"]))


def _condition(part: "re.Match[str]") -> str:
    mark, name, attribute, _, value = part.groups()
    if mark == ".":
        return f"[contains(concat(' ', normalize-space(@class), ' '), ' {name} ')]"
    if mark == "#":
        return f"[@id='{name}']"
    return f"[@{attribute}]" if value is None else f"[@{attribute}='{value}']"
