import io
import json

import licences
import pytest
from hypothesis import given
from hypothesis import strategies as st

GOOD = ("MIT", "BSD-3-Clause", "Apache-2.0", "MPL-2.0", "ISC", "PSF-2.0", "0BSD", "Zlib", "CC0-1.0")
BAD = ("GPL-3.0-only", "AGPL-3.0-or-later", "LGPL-2.1-only", "UNKNOWN", "Proprietary")


@pytest.mark.parametrize(
    "licence",
    [
        *GOOD,
        "MIT License",
        "BSD License",
        "Apache Software License; MIT License",
        "Mozilla Public License 2.0 (MPL 2.0)",
        "ISC License (ISCL)",
        "Python Software Foundation License",
        "BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0",
        "MIT OR GPL-3.0-only",
        "GPL-2.0-only OR (MIT AND Apache-2.0)",
        "(MIT OR GPL-2.0-only) AND BSD-2-Clause",
        "Apache-2.0 WITH LLVM-exception",
    ],
)
def test_permissive_licences_pass(licence: str):
    assert licences.is_permissive(licence)


@pytest.mark.parametrize(
    "licence",
    [
        *BAD,
        "",
        "MIT AND GPL-3.0-only",
        "GPL-2.0-only WITH Classpath-exception-2.0",
        "GPL-3.0-only OR MIT AND LGPL-2.1-only",
        "MIT License; GNU General Public License v3 (GPLv3)",
        "Not MIT",
        "MIT with a field-of-use restriction",
        "(MIT",
        "MIT)",
        "MIT OR",
        "OR",
    ],
)
def test_other_and_broken_licences_do_not(licence: str):
    assert not licences.is_permissive(licence)


expressions = st.recursive(
    st.sampled_from([*((name, True) for name in GOOD), *((name, False) for name in BAD)]),
    lambda inner: st.tuples(inner, inner, st.booleans()).map(
        lambda t: (
            f"({t[0][0]} {'OR' if t[2] else 'AND'} {t[1][0]})",
            t[0][1] or t[1][1] if t[2] else t[0][1] and t[1][1],
        )
    ),
)


@given(expressions)
def test_expressions_are_judged_as_logic_would(expression: tuple[str, bool]):
    text, permissive = expression
    assert licences.is_permissive(text) is permissive


@given(st.lists(st.tuples(st.sampled_from(["AND", "OR"]), st.sampled_from([*GOOD, *BAD])), max_size=6))
def test_and_binds_more_tightly_than_or(tail: list[tuple[str, str]]):
    text = " ".join(["MIT", *(word for pair in tail for word in pair)])
    groups = [part.split(" AND ") for part in text.split(" OR ")]
    assert licences.is_permissive(text) is any(all(name in GOOD for name in group) for group in groups)


def test_refused_distribution_is_named():
    lines = list(licences.refused([{"Name": "copyleft", "Version": "1.2", "License": "GPL-3.0-only"}]))
    assert lines == ["copyleft 1.2: 'GPL-3.0-only' is not known to be permissive"]


def test_reviewed_distribution_passes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(licences, "REVIEWED", {"odd": "its LICENSE file is the MIT text"})
    assert list(licences.refused([{"Name": "odd", "Version": "1", "License": "UNKNOWN"}])) == []


@pytest.mark.parametrize(("licence", "status"), [("MIT", 0), ("UNKNOWN", 1)])
def test_exit_status(monkeypatch: pytest.MonkeyPatch, licence: str, status: int):
    listed = json.dumps([{"Name": "one", "Version": "1", "License": licence}])
    monkeypatch.setattr("sys.stdin", io.StringIO(listed))
    assert licences.main() == status


def test_empty_environment_is_a_failure(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("[]"))
    assert licences.main() == 1
