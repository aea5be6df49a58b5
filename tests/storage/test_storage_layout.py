import string
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thunderbit_dagster.storage.errors import InvalidKeyError, StorageError, UnknownSchemeError
from thunderbit_dagster.storage.layout import (
    parse_path,
    partition_path,
    validate_crawl_name,
    validate_dimension,
    validate_key,
)
from thunderbit_dagster.storage.store import ParquetStore

ALPHABET = string.ascii_letters + string.digits + "._-:+"


def usable(key):
    return key[0] != "." and key[-1] != "." and ".." not in key


keys = st.text(ALPHABET, min_size=1, max_size=33).filter(usable)
names = st.sampled_from(["date", "urls", "region", "tier", "a9_"])


@given(st.dictionaries(names, keys, max_size=4))
def test_a_path_gives_back_its_dimensions(dimensions):
    path = partition_path("docs", "succeeded", dimensions)
    assert parse_path(path) == dimensions
    assert not {":", "+"} & set(path)
    assert all(len(segment) < 255 for segment in PurePosixPath(path).parts)


def test_dimensions_are_ordered_date_then_urls_then_by_name():
    dimensions = {"tier": "t", "urls": "guides", "region": "eu", "date": "2026-11-02"}
    expected = "docs/failed/date=2026-11-02/urls=guides/region=eu/tier=t/rows.parquet"
    assert partition_path("docs", "failed", dimensions) == expected
    assert list(parse_path(expected)) == ["date", "urls", "region", "tier"]


def test_an_unpartitioned_crawl_has_one_object_in_the_table_directory():
    assert partition_path("docs", "succeeded", {}) == "docs/succeeded/rows.parquet"
    assert parse_path("docs/succeeded/rows.parquet") == {}


@pytest.mark.parametrize(
    "path",
    ["", "docs", "docs/succeeded", "docs/succeeded/notes.txt", "docs/succeeded/old/rows.parquet"],
)
def test_other_objects_are_no_partitions(path):
    assert parse_path(path) is None


def test_an_hourly_key_writes_its_colon_as_hive_does():
    path = partition_path("docs", "succeeded", {"date": "2026-11-02-13:00"})
    assert path == "docs/succeeded/date=2026-11-02-13%3A00/rows.parquet"


def test_the_hour_that_comes_twice_writes_its_plus_so_that_nobody_reads_a_space():
    path = partition_path("docs", "succeeded", {"date": "2026-10-25-02:00+0100"})
    assert path == "docs/succeeded/date=2026-10-25-02%3A00%2B0100/rows.parquet"


@given(st.text(min_size=1, max_size=120))
def test_a_key_is_taken_whole_or_refused_with_its_name_and_the_rule(key):
    allowed = set(key) <= set(ALPHABET) and usable(key) and len(key) + 2 * (key.count(":") + key.count("+")) <= 100
    if allowed:
        assert validate_key(key) == key
        return
    with pytest.raises(InvalidKeyError) as caught:
        validate_key(key)
    assert repr(key[:20])[1:-1] in str(caught.value)
    assert "Allowed are" in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        *[
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "a\\b",
            "a=b",
            "a%3Ab",
            "a|b",
            "a,b",
            "[a]",
            "a b",
            "a\n",
            "ü",
            "a...b",
        ],
        *["__HIVE_DEFAULT_PARTITION__", "x" * 101, "2026-11-02-13:00 "],
    ],
)
def test_keys_that_some_reader_would_misread_are_refused(key):
    with pytest.raises(InvalidKeyError):
        partition_path("docs", "succeeded", {"urls": key})


@pytest.mark.parametrize("name", ["", "_docs", ".docs", "docs/eu", "docs-eu", "..", "x" * 101])
def test_crawl_names_that_are_no_directory_or_no_dagster_name_are_refused(name):
    with pytest.raises(InvalidKeyError, match="Crawl name"):
        validate_crawl_name(name)


@pytest.mark.parametrize("name", ["", "Date", "9", "a=b", "url", "markdown", "error_code"])
def test_dimensions_that_clash_with_a_column_or_a_path_are_refused(name):
    with pytest.raises(InvalidKeyError, match="dimension"):
        validate_dimension(name)


def test_an_unknown_table_is_refused():
    with pytest.raises(InvalidKeyError, match="succeeded, failed"):
        partition_path("docs", "chunks", {})


def test_a_relative_path_is_fixed_when_the_store_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = ParquetStore("data")
    monkeypatch.chdir("/")
    assert store.uri("docs", "failed", {}) == f"file://{tmp_path}/data/docs/failed/rows.parquet"


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("/srv/my data", "file:///srv/my%20data"),
        ("file:///srv/my%20data/", "file:///srv/my%20data"),
        (Path("/srv/a#b"), "file:///srv/a%23b"),
        ("s3://bucket/pre/fix/", "s3://bucket/pre/fix"),
        ("GS://bucket", "gs://bucket"),
        ("az://container/x", "az://container/x"),
    ],
)
def test_equal_places_have_equal_uris(base, expected):
    assert ParquetStore(base).base_uri == expected
    assert ParquetStore(expected) == ParquetStore(base)


@pytest.mark.parametrize(
    "base",
    [
        "ftp://host/data",
        "https://bucket.s3.amazonaws.com",
        "hdfs://n/x",
        "s3:///x",
        "file://host/srv",
        "s3://b/x?y=1",
    ],
)
def test_a_uri_that_storage_cannot_use_is_refused(base):
    with pytest.raises(UnknownSchemeError):
        ParquetStore(base)


@pytest.mark.parametrize("base", ["s3://AKIA:hush@bucket/x", "az://c/x?sig=hush", "file:///x?token=hush"])
def test_credentials_in_the_uri_are_refused_and_not_repeated(base):
    with pytest.raises(UnknownSchemeError) as caught:
        ParquetStore(base)
    assert "hush" not in str(caught.value)


def test_a_store_without_its_settings_says_so_only_when_it_is_used(monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    store = ParquetStore("az://container/x")
    with pytest.raises(StorageError, match="az://container/x"):
        store.partitions("docs", "succeeded")


def test_an_s3_store_uses_obstore_and_its_environment(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    store = ParquetStore("s3://bucket/pre")
    path = "docs/succeeded/date=2026-11-02-13%3A00/rows.parquet"
    assert store.uri("docs", "succeeded", {"date": "2026-11-02-13:00"}) == f"s3://bucket/pre/{path}"
    assert "hush" not in repr(store)
