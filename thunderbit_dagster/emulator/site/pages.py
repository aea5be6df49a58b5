"""Pages from the content folder: Markdown under a few `key: value` lines, one file a page.

A key may repeat (`spec`, `param`, ...); its values are split at ` | ` where the template needs columns.
A revision above 1 is a folder of files that replace or join those of revision 1.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from markdown_it import MarkdownIt

from thunderbit_dagster.emulator.site.tables import tide_table

SITE_CONTENT = Path(__file__).parent / "content"
REMOVED: Mapping[int, frozenset[str]] = {1: frozenset(), 2: frozenset({"products/tide-clock"})}

_ADMONITION = re.compile(r"<blockquote>\n<p>\[!(\w+)\]\s*(.*?)</blockquote>", re.DOTALL)
_FIGURE = re.compile(r'<p>(<img [^>]*?alt="([^"]*)"[^>]*>)</p>')


@dataclass(frozen=True, slots=True)
class SitePage:
    """One good page. `path` has no leading slash; `meta` holds the lines above the text."""

    path: str
    meta: Mapping[str, tuple[str, ...]]
    body: str

    @property
    def group(self) -> str:
        return self.path.partition("/")[0]

    @property
    def charset(self) -> str:
        return self.one("charset", "utf-8")

    def one(self, key: str, default: str = "") -> str:
        """The first value of a key."""
        return self.meta.get(key, (default,))[0]

    def columns(self, key: str) -> list[list[str]]:
        """Every value of a key, split into columns."""
        return [value.split(" | ") for value in self.meta.get(key, ())]


@cache
def load_pages(revision: int = 1) -> Mapping[str, SitePage]:
    """The good pages of a revision by path, without the redirects and the failing ones.

    Raises:
        ValueError: there is no such revision.
    """
    if revision not in REMOVED:
        raise ValueError(f"revision must be one of {sorted(REMOVED)}, not {revision}")
    pages: dict[str, SitePage] = {}
    for number in range(1, revision + 1):
        pages.update((page.path, page) for page in _read_folder(SITE_CONTENT / f"revision-{number}"))
    return MappingProxyType({path: pages[path] for path in sorted(pages.keys() - REMOVED[revision])})


def _read_folder(folder: Path) -> Iterator[SitePage]:
    for file in sorted(folder.rglob("*.md")):
        path = file.relative_to(folder).with_suffix("").as_posix()
        yield parse_site_page(path, file.read_text(encoding="utf-8"))


def parse_site_page(path: str, text: str) -> SitePage:
    """Splits a content file at its first `---` line and renders the Markdown below it."""
    head, _, body = text.partition("\n---\n")
    meta: defaultdict[str, list[str]] = defaultdict(list)
    for line in head.splitlines():
        key, _, value = line.partition(": ")
        meta[key].append(value.strip())
    return SitePage(path, {key: tuple(values) for key, values in meta.items()}, render_markdown(body))


def render_markdown(text: str) -> str:
    """HTML of a page's text: `[!NOTE]` quotes become admonitions, lone images figures, and `{{tide-table}}` a
    year of tides.
    """
    html = MarkdownIt("commonmark").enable("table").render(text)
    html = _ADMONITION.sub(_admonition, html)
    html = _FIGURE.sub(r"<figure>\1<figcaption>\2</figcaption></figure>", html)
    return html.replace("<p>{{tide-table}}</p>", tide_table()) if "{{tide-table}}" in html else html


def _admonition(match: re.Match[str]) -> str:
    kind = match[1].lower()
    title = f'<p class="admonition-title">{kind.capitalize()}</p>'
    return f'<div class="admonition {kind}" role="note">{title}\n<p>{match[2]}</div>'
