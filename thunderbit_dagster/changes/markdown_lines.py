"""Markdown as lines that are the same however they are written: a paragraph, heading, item or row each."""

from __future__ import annotations

import re
from typing import Final

_FENCE: Final = re.compile(r"(?:```|~~~)")
_UNDERLINE: Final = re.compile(r"=+|-+")
_RULE: Final = re.compile(r"(?:[-*_] ?){3,}")
_BULLET: Final = re.compile(r"[*+\u2022-]\s+")
_NUMBER: Final = re.compile(r"(\d+)[.)]\s+")
_HEADING: Final = re.compile(r"(#+)\s*(.*?)\s*#*")
_OTHER_BLOCK: Final = re.compile(r"[>|]|!\[|\[[^\]]*\]:|<!--|</?[a-z]", re.IGNORECASE)


def canonical_lines(markdown: str) -> list[str]:
    """The lines of a page without empty ones, wrapped paragraphs unwrapped, bullets and headings written one way."""
    reader = _Reader()
    for raw in markdown.splitlines():
        reader.read(raw)
    return reader.lines


class _Reader:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self._in_code = False
        self._is_open = False

    def read(self, raw: str) -> None:
        text = raw.strip()
        if _FENCE.match(text):
            self._in_code = not self._in_code
            self._is_open = False
        elif self._in_code:
            self._add(raw.rstrip(), is_open=False)
        elif self._is_open and _UNDERLINE.fullmatch(text):
            self.lines[-1] = f"{'#' if text[0] == '=' else '##'} {self.lines[-1]}"
            self._is_open = False
        elif not text or _RULE.fullmatch(text):
            self._is_open = False
        else:
            self._read_text(text)

    def _read_text(self, text: str) -> None:
        if (heading := _HEADING.fullmatch(text)) and heading[1]:
            self._add(f"{heading[1]} {heading[2]}", is_open=False)
        elif bullet := _BULLET.match(text):
            self._add(f"- {text[bullet.end() :]}", is_open=True)
        elif number := _NUMBER.match(text):
            self._add(f"{number[1]}. {text[number.end() :]}", is_open=True)
        elif _OTHER_BLOCK.match(text):
            self._add(text, is_open=False)
        elif self._is_open:
            self.lines[-1] += f" {text}"
        else:
            self._add(text, is_open=True)

    def _add(self, line: str, *, is_open: bool) -> None:
        if line.strip():
            self.lines.append(line)
        self._is_open = is_open
