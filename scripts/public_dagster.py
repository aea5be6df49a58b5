"""Checks that code uses the public interface of Dagster only: names of `dagster` and `dagster.components`
without a leading underscore.

python scripts/public_dagster.py thunderbit_dagster examples
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

PUBLIC = frozenset({"dagster", "dagster.components"})


def violations(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of every use of a private or internal part of Dagster."""
    tree = ast.parse(source)
    aliases = {name for node in ast.walk(tree) for name in _aliases(node)}
    for node in ast.walk(tree):
        if name := next((name for name in _uses(node, aliases) if not is_public(name)), None):
            yield getattr(node, "lineno", 0), name


def is_public(name: str) -> bool:
    """Whether a dotted name lies outside of Dagster or in its public part."""
    module, _, last = name.rpartition(".")
    top = name.partition(".")[0]
    if top in {"dagster", "dagster_shared"}:
        return name in PUBLIC or (module in PUBLIC and (not last.startswith("_") or last == "__version__"))
    return True


def _aliases(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.asname or alias.name for alias in node.names if alias.name == "dagster")


def _uses(node: ast.AST, aliases: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (f"{alias.name}.*" for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.level == 0:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
        yield f"dagster.{node.attr}"


def main(paths: Iterable[str]) -> int:
    """The exit status: 1 with a line for each violation, else 0."""
    files = [file for path in map(Path, paths) for file in ([path] if path.is_file() else path.rglob("*.py"))]
    lines = [
        f"{file}:{line}: {name} is not public Dagster API"
        for file in sorted(files)
        for line, name in violations(file.read_text(encoding="utf-8"))
    ]
    print("\n".join(lines or [f"{len(files)} files, public Dagster API only"]))
    return 1 if lines or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
