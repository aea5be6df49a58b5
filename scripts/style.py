"""Measures code against the style bar and fails when it is missed.

python scripts/style.py thunderbit_dagster definitions.py
"""

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

LONGEST = 60
MEDIAN = 8.0
P90 = 25.0
ANY_PER_1000_LINES = 5.0
TRIVIAL_SHARE = 5.0
DEFINED_AND_CALLED = 2
REASON_LETTERS = 12
BROAD = frozenset({"Exception", "BaseException"})

_SUPPRESSION = re.compile(r"(noqa|type: ignore|pragma|pylint)[:\w\s,\[\]-]*?(?=\s[a-z]|$|#)")


@dataclass
class Measure:
    """What was found in some files; `faults` are single places, each named by file and line."""

    lines: int = 0
    any_uses: int = 0
    bodies: list[int] = field(default_factory=list)
    trivial: int = 0
    """Private functions of one line that their file names in one other place: a name in place of an expression."""
    faults: list[str] = field(default_factory=list)

    def shortfalls(self) -> list[str]:
        """Every fault, then every figure that misses the bar."""
        return [
            *self.faults,
            *(f"{name}: {value:.1f} > {limit}" for name, value, limit in self.figures() if value > limit),
        ]

    def figures(self) -> list[tuple[str, float, float]]:
        """Name, value and limit of each figure."""
        p90 = quantiles(self.bodies, n=10, method="inclusive")[-1] if len(self.bodies) > 1 else 0.0
        return [
            ("median body lines", median(self.bodies or [0]), MEDIAN),
            ("p90 body lines", p90, P90),
            ("% of functions that only name a line", 100 * self.trivial / max(len(self.bodies), 1), TRIVIAL_SHARE),
            ("Any per 1,000 lines", 1000 * self.any_uses / max(self.lines, 1), ANY_PER_1000_LINES),
        ]


def measure(sources: Iterable[tuple[str, str]]) -> Measure:
    """Measures pairs of file name and text."""
    total = Measure()
    for name, text in sources:
        tree, comments = ast.parse(text), _reasons(text)
        total.lines += len(text.splitlines())
        names = Counter(re.findall(r"\w+", text))
        for node in ast.walk(tree):
            total.any_uses += _is_any(node)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                total.bodies.append(body_lines(node))
                total.trivial += _is_trivial(node, names)
            total.faults += [f"{name}:{getattr(node, 'lineno', 0)}: {fault}" for fault in _faults(node, comments)]
    return total


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first statement after the docstring to the last, comments and blank lines included."""
    statements = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    if not statements:
        return 0
    return (statements[-1].end_lineno or 0) - statements[0].lineno + 1


def _is_trivial(function: ast.FunctionDef | ast.AsyncFunctionDef, names: Mapping[str, int]) -> bool:
    name, is_line = function.name, body_lines(function) == 1
    is_private = name.startswith("_") and not name.startswith("__")
    return is_line and is_private and not function.decorator_list and names[name] == DEFINED_AND_CALLED


def _faults(node: ast.AST, comments: set[int]) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        if body_lines(node) > LONGEST:
            yield f"{node.name} has {body_lines(node)} body lines, at most {LONGEST} are allowed"
        if node.returns is None:
            yield f"{node.name} does not annotate what it returns"
    elif isinstance(node, ast.ExceptHandler) and _is_broad(node) and not _explained(node, comments):
        yield "broad except that neither raises nor says why in a comment"


def _is_any(node: ast.AST) -> bool:
    return (isinstance(node, ast.Name) and node.id == "Any") or (isinstance(node, ast.Attribute) and node.attr == "Any")


def _is_broad(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    return any(isinstance(node, ast.Name) and node.id in BROAD for node in ast.walk(handler.type))


def _explained(handler: ast.ExceptHandler, comments: set[int]) -> bool:
    if any(isinstance(node, ast.Raise) for node in ast.walk(handler)):
        return True
    return not comments.isdisjoint(range(handler.lineno - 1, handler.body[0].lineno + 1))


def _reasons(text: str) -> set[int]:
    """Lines with a comment long enough to give a reason, suppressions for tools not counted."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = ((token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT)
    return {
        line for line, comment in comments if sum(map(str.isalpha, _SUPPRESSION.sub("", comment))) >= REASON_LETTERS
    }


def read(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Name and text of each Python file at or below the paths."""
    for path in map(Path, paths):
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            yield str(file), file.read_text(encoding="utf-8")


def main(paths: Iterable[str]) -> int:
    """The exit status: 1 when the bar is missed, else 0."""
    found = measure(read(paths))
    print(f"{len(found.bodies)} functions, {found.lines} lines")
    for name, value, limit in found.figures():
        print(f"{name}: {value:.1f} (at most {limit})")
    for shortfall in found.shortfalls():
        print(f"FAIL {shortfall}")
    return 1 if found.shortfalls() or not found.bodies else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
