"""Partition keys that pandas, pyarrow, Polars or DuckDB take for something else, or for one another, are refused."""

import re

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from thunderbit_dagster.storage.errors import InvalidKeyError
from thunderbit_dagster.storage.guesses import added_key_problem, key_problem
from thunderbit_dagster.storage.layout import partition_path

READERS = {
    "pyarrow": lambda root: ds.dataset(root, partitioning="hive").to_table(columns=["n", "urls"]).to_pylist(),
    "pandas": lambda root: pd.read_parquet(root, columns=["n", "urls"]).to_dict("records"),
    "Polars": lambda root: pl.scan_parquet(root, hive_partitioning=True).select("n", "urls").collect().to_dicts(),
    "DuckDB": lambda root: (
        duckdb.sql(f"select n, urls from read_parquet('{root}/**/*.parquet', hive_partitioning=true)")  # noqa: S608
        .to_arrow_table()
        .to_pylist()
    ),
}
READABLE = [
    ["guides", "reference"],
    ["2024", "2025", "7", "0", "-3"],
    ["1", "12345678901"],
    ["3.11", "3.12", "0.5", "-1.5"],
    ["2026-01-02", "2026-12-31"],
    ["2026-01", "2026-02"],
    ["v1.10", "v1.1"],
    ["01-guides", "1-guides"],
    ["+5", "5"],
    ["10.0.0.1", "10.0.0.10"],
    ["shard-0", "shard-1"],
    ["2026-11-02-13:00", "2026-10-25-02:00+0100"],
    ["guides", "2024", "2026-01-02"],
    ["1.5", "2026-01-02"],
    ["None", "NA", "yes", "t", "1_000", "0x", "24:00", "e5", "today"],
]
# Each with a reader that shows why.
MISREAD = [
    (["10:30", "09:15"], "Polars"),
    (["10:30:00", "23:59:59"], "Polars"),
    (["1.10", "1.1"], "Polars"),
    (["1.10"], "Polars"),
    (["1e3", "1000"], "Polars"),
    (["+.5"], "Polars"),
    (["+1.5"], "Polars"),
    (["007", "7"], "pandas"),
    (["007", "7"], "pyarrow"),
    (["00"], "Polars"),
    (["-0", "0"], "pandas"),
    (["0x1F", "31"], "DuckDB"),
    (["0X1f"], "pandas"),
    (["0b11"], "DuckDB"),
    (["2026-1-2", "2026-01-02"], "DuckDB"),
    (["2026.1.2"], "Polars"),
    (["31-12-2026"], "Polars"),
    (["1.2.3"], "Polars"),
    (["0000-01-01"], "Polars"),
    (["2026-01-02T03:04:05"], "Polars"),
    (["20260102T030405"], "Polars"),
    (["true", "false"], "Polars"),
    (["NaN"], "Polars"),
    (["+inf"], "Polars"),
    (["inf", "-Infinity"], "DuckDB"),
    (["epoch"], "DuckDB"),
    (["NULL", "1"], "DuckDB"),
    (["2", "2.5"], "Polars"),
    (["2", "2.0"], "Polars"),
]


def written(root, keys):
    for number, key in enumerate(keys):
        file = root / partition_path("docs", "succeeded", {"urls": key})
        file.parent.mkdir(parents=True)
        pq.write_table(pa.table({"n": [number]}), file)
    return str(root / "docs" / "succeeded")


def read_back(reader, folder):
    """The keys as text, in the order in which they were written, or the reader's error."""
    try:
        return [str(row["urls"]) for row in sorted(READERS[reader](folder), key=lambda row: row["n"])]
    except Exception as error:  # noqa: BLE001 - whatever a reader raises is its answer
        return error


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("keys", READABLE, ids=" ".join)
def test_what_is_accepted_is_read_back_as_it_is(tmp_path, keys, reader):
    assert key_problem(keys) is None
    assert read_back(reader, written(tmp_path, keys)) == keys


@pytest.mark.parametrize(("keys", "reader"), MISREAD, ids=lambda one: one if isinstance(one, str) else " ".join(one))
def test_what_is_refused_is_misread_by_the_reader_that_is_named(tmp_path, keys, reader):
    problem = key_problem(keys)
    assert problem is not None
    assert reader in problem
    assert repr(keys[0]) in problem
    assert read_back(reader, written(tmp_path, keys)) != keys


DIGITS = st.sampled_from(["0", "1", "00", "02", "10", "12", "29", "31", "59", "99", "007", "2026", "12345"])
SHAPES = st.one_of(
    st.builds(str.join, st.sampled_from("-./_:"), st.lists(DIGITS, min_size=1, max_size=4)),
    st.builds("{}{}.{}".format, st.sampled_from(["", "-", "+"]), DIGITS, DIGITS),
    st.builds("{}{}{}{}".format, DIGITS, st.sampled_from(["e", "E+", "e-", "x", "b", "_", "L"]), DIGITS, DIGITS),
    st.builds("{}-{}-{}T{}:{}{}".format, *[DIGITS] * 5, st.sampled_from(["", "Z", ":00", "+01:00", "+0100"])),
    st.sampled_from(
        [
            "nan",
            "NaN",
            "inf",
            "-inf",
            "+inf",
            "Infinity",
            "true",
            "False",
            "NULL",
            "None",
            "NA",
            "epoch",
            "now",
            "guides",
            "5",
            "2.5",
            "2026-01-02",
        ]
    ),
    st.from_regex(r"[0-9xbeTnif.:+-]{1,6}", fullmatch=True),
)


@given(keys=st.lists(SHAPES, min_size=1, max_size=3, unique_by=str.casefold))
@example(keys=["guides", "2024"])
@example(keys=["12345-02-02"])
@settings(suppress_health_check=[HealthCheck.filter_too_much], deadline=None, max_examples=150)
def test_no_accepted_keys_are_misread_whatever_they_look_like(tmp_path_factory, keys):
    assume(key_problem(keys) is None)
    try:
        folder = written(tmp_path_factory.mktemp("keys"), keys)
    except InvalidKeyError:
        assume(False)
    assert {reader: read_back(reader, folder) for reader in READERS} == dict.fromkeys(READERS, keys)


@given(keys=st.lists(SHAPES, max_size=6))
def test_keys_that_are_accepted_together_are_accepted_one_after_the_other(keys):
    if key_problem(keys) is None:
        assert [added_key_problem(key, keys) for key in keys] == [None] * len(keys)


@pytest.mark.parametrize(
    ("key", "keys", "says"),
    [
        ("007", ["guides", "007"], "'007'"),
        ("2", ["1.5", "2"], "'2', but Polars reads it as 2.0 beside '1.5'"),
        ("1.5", ["1.5", "2"], None),
        ("guides", ["007", "1.5", "2", "guides"], None),
        ("Guides", ["guides", "Guides"], "differ only by case"),
        ("guides", ["guides", "Guides"], None),
    ],
)
def test_of_keys_that_do_not_agree_the_one_that_was_added_later_is_refused(key, keys, says):
    problem = added_key_problem(key, keys)
    assert problem is None if says is None else says in problem


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (
            ["1.10", "1.1"],
            "the keys '1.10' and '1.1', but Polars reads both as 1.1. Put letters in front, such as 'v1.10'",
        ),
        (["007", "7"], "the keys '007' and '7', but pandas, pyarrow and Polars read both as 7"),
        (["10:30"], "the key '10:30', but Polars reads it as a time of day, and fails. .* such as 'key-10:30'"),
        (["1e3", "1000"], "the keys '1e3' and '1000', but Polars reads both as 1000"),
    ],
)
def test_the_text_names_keys_reader_and_remedy(keys, text):
    problem = key_problem(keys)
    assert problem is not None
    assert re.search(text, problem)


def test_a_zero_below_zero_equals_zero():
    assert key_problem(["-0.0", "0.0"]) is not None
