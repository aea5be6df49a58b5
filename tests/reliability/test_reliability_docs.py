"""The table of faults names tests that exist, and leaves no fault out."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TEXT = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
ROWS = {int(number): row for number, row in re.findall(r"^\| (\d+) \|(.*)$", TEXT, re.MULTILINE)}
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(test_\w+)`", TEXT)))


def test_every_fault_has_a_row():
    assert sorted(ROWS)[:35] == [*range(1, 35), 37]


@pytest.mark.parametrize("number", sorted(ROWS))
def test_every_row_names_a_test_or_says_that_there_is_none(number):
    assert "::test_" in ROWS[number] or "Not proven yet" in ROWS[number]


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_test_that_is_named_exists(file, name):
    code = (TESTS / file).read_text(encoding="utf-8")
    assert re.search(rf"^\s*(async )?def {name}\(", code, re.MULTILINE)
