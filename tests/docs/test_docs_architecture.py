"""The page for contributors names files and packages that exist, and every package has its line."""

import re

import pytest
from blocks import ROOT

PACKAGE = ROOT / "thunderbit_dagster"
PAGES = [ROOT / "docs" / "architecture.md", *sorted((ROOT / "docs" / "decisions").glob("*.md"))]


def named(page):
    """What a page puts in code marks and writes like a path of the package."""
    return re.findall(r"`([a-z_]+(?:/[a-z_]+)*(?:/|\.py))`", page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_and_folder_exists(page):
    everywhere = {"definition.py", "asset.py", "sensor.py", "op.py"}
    missing = [name for name in named(page) if name not in everywhere and not (PACKAGE / name).exists()]
    assert missing == []


def test_every_package_has_its_line():
    assert len(set(named(PAGES[0]))) > 40
    packages = {f"{path.name}/" for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    modules = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    table = PAGES[0].read_text().split("## One URL")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`([a-z_]+(?:/|\.py))`", "".join(cells))) == packages | modules


def test_a_newcomer_sees_few_modules_at_the_top():
    assert len(list(PACKAGE.glob("*.py"))) <= 8


@pytest.mark.parametrize("page", PAGES[:1], ids=lambda page: page.name)
def test_every_decision_is_linked(page):
    linked = set(re.findall(r"\]\(decisions/([a-z-]+\.md)\)", page.read_text()))
    assert linked == {path.name for path in PAGES[1:]}
