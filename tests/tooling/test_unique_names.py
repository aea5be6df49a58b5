"""A name that stands at the top of two modules would be taken for one thing by a reader who finds the other."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "thunderbit_dagster"
CONVENTIONS = {"T", "log"}


def names_of(module: ast.Module) -> Iterator[str]:
    """The public names that a module defines at its top."""
    for statement in module.body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield statement.name
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def test_no_public_name_is_defined_at_the_top_of_two_modules():
    homes = defaultdict(set)
    for file in PACKAGE.rglob("*.py"):
        for name in names_of(ast.parse(file.read_text(encoding="utf-8"))):
            if not name.startswith("_") and name not in CONVENTIONS:
                homes[name].add(file.relative_to(PACKAGE).as_posix())
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}
