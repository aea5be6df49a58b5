"""The fenced blocks of a Markdown page, and what an HTML comment before each says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOT_RUN = "not run:"
AFTER_A_CRAWL = "after a crawl"
REASON_LETTERS = 12
STAND_IN = "https://example.com"

_FENCE = re.compile(r"^(?P<fence>```+)(?P<language>\S*)\s*\n(?P<text>.*?)^(?P=fence)\s*$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!--\s*((?:(?!-->).)*?)\s*-->\s*\Z", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A code block: where it begins, its language, its text, and the comment before it (empty when there is none)."""

    page: Path
    line: int
    language: str
    text: str
    note: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def runs(self) -> bool:
        return not self.note.startswith(NOT_RUN)

    @property
    def reason(self) -> str:
        """Why it is not run."""
        return self.note.removeprefix(NOT_RUN).strip()


def pages() -> list[Path]:
    """Every page a reader may copy from."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/README.md")])


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text[: found.start()].count("\n") + 1, found["language"], found["text"], _note(text, found.start()))
        for found in _FENCE.finditer(text)
    ]


def _note(text: str, end: int) -> str:
    found = _COMMENT.search(text[:end])
    return found[1] if found else ""


def commands(block: Block) -> list[str]:
    """The commands of a shell block: after `$ ` in a console, every line elsewhere; comments are left out."""
    joined = block.text.replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines()]
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    bare = [re.sub(r"\s+#\s.*", "", line) for line in lines]
    return [line for line in bare if line and not line.startswith("#")]
