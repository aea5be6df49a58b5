import datetime as dt
import json
import pickle
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from storage_rows import GUIDES, NOON, failed, publish, succeeded

from thunderbit_dagster.storage import writer as writer_module
from thunderbit_dagster.storage.errors import DamagedFileError, InvalidRowError, PartitionNotFoundError, StorageError
from thunderbit_dagster.storage.schema import SCHEMA_VERSION, SCHEMAS, canonical_json, content_hash, repair_text
from thunderbit_dagster.storage.store import ParquetStore

SUCCEEDED = SCHEMAS["succeeded"]
FAILED = SCHEMAS["failed"]

# Every code point, lone surrogates and NUL among them.
texts = st.text(st.characters(), max_size=30)
optional_texts = st.none() | texts
int32 = st.integers(-(2**31), 2**31 - 1)
instants = st.datetimes(
    dt.datetime(1970, 1, 1),  # noqa: DTZ001  # the zone comes from `timezones`
    dt.datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([dt.timezone.utc, dt.timezone(dt.timedelta(hours=-7))]),
)
links = st.lists(st.fixed_dictionaries({"text": optional_texts, "href": optional_texts}), max_size=3)
images = st.lists(
    st.fixed_dictionaries({"src": texts, "alt": optional_texts, "width": st.none() | int32, "height": st.none()}),
    max_size=2,
)
rows = st.builds(
    succeeded,
    int32,
    markdown=optional_texts,
    title=texts,
    links=st.none() | links,
    images=st.none() | images,
    highlights=st.none() | st.lists(texts, max_size=3),
    metadata=texts,
    attempt=st.none() | int32,
    submitted_at=st.none() | instants,
)


def stored(value):
    """What a value must come back as."""
    if isinstance(value, str):
        return repair_text(value)
    if isinstance(value, dict):
        return {name: stored(item) for name, item in value.items()}
    if isinstance(value, list):
        return [stored(item) for item in value]
    return value


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rows, max_size=12), st.integers(1, 4_000))
def test_rows_come_back_as_they_were_written(store, written, flush_bytes):
    with store.open_partition("docs", GUIDES, flush_bytes=flush_bytes) as writer:
        for row in written:
            writer.write_succeeded(row)
        result = writer.commit({"submission_id": "s1"})
    table = store.read("docs", "succeeded", GUIDES)
    assert table.schema.equals(SUCCEEDED, check_metadata=False)
    empty = dict.fromkeys(SUCCEEDED.names)
    assert table.to_pylist() == [{**empty, **stored(dict(row))} for row in written]
    assert result.succeeded.rows == len(written)


@given(texts)
def test_repaired_text_is_utf8_and_otherwise_unchanged(text):
    repaired = repair_text(text)
    repaired.encode()
    assert repair_text(repaired) == repaired
    lone = {c for c in text if 0xD800 <= ord(c) <= 0xDFFF}
    if not lone:
        assert repaired == text
    else:
        assert "\ufffd" in repaired or len(repaired) < len(text)


def test_lone_surrogates_are_replaced_one_by_one_and_split_pairs_joined():
    assert repair_text("a\ud800b\udc00\0") == "a\ufffdb\ufffd\0"
    assert repair_text("\ud83d" + "\ude00") == "\U0001f600"


def test_hashes_are_of_the_text_as_stored():
    assert content_hash("a\ud800") == content_hash("a\ufffd")
    assert content_hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert canonical_json({"b": 1, "a": "\u00e9"}) == canonical_json({"a": "\u00e9", "b": 1}) == '{"a":"é","b":1}'


@pytest.mark.parametrize("megabytes", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_a_page_of_many_megabytes_survives(store, megabytes):
    page = "\U0001f600 text \0 und Ähnliches\n" * (megabytes * 40_000)
    assert len(page.encode()) > megabytes * 1_000_000
    publish(store, "1", ok=2, markdown=page)
    assert store.read("docs", "succeeded", GUIDES, ["markdown"])["markdown"].to_pylist() == [page, page]


def test_a_failed_row_comes_back(store):
    with store.open_partition("docs", GUIDES) as writer:
        writer.write_failed(failed(7, error_message="slow \ud800", retryable=False))
        writer.commit({})
    (row,) = store.read("docs", "failed", GUIDES).to_pylist()
    assert row["error_message"] == "slow \ufffd"
    assert row["retryable"] is False
    assert row["collected_at"] == NOON


@pytest.mark.parametrize("table", ["succeeded", "failed"])
def test_an_empty_table_has_the_columns_of_a_full_one(store, table):
    publish(store, "1", ok=0, bad=0)
    empty = store.read("docs", table, GUIDES)
    publish(store, "2")
    assert empty.num_rows == 0
    assert empty.schema.equals(store.read("docs", table, GUIDES).schema, check_metadata=True)
    assert empty.schema.equals(SCHEMAS[table])


@pytest.mark.parametrize("schema", [SUCCEEDED, FAILED])
def test_every_column_has_a_description(schema):
    assert all(field.metadata[b"description"] for field in schema)


def test_footers_hold_the_metadata_and_the_counts_of_both_tables(store):
    result = publish(store, "1", ok=3, bad=2)
    for table, published in (("succeeded", result.succeeded), ("failed", result.failed)):
        footer = store.footer("docs", table, GUIDES)
        assert footer.num_rows == published.rows
        assert footer.size_bytes == published.size_bytes
        assert published.uri == store.uri("docs", table, GUIDES)
        assert footer.schema.names == SCHEMAS[table].names
        expected = {
            "submission_id": "s1",
            "table": table,
            "succeeded_rows": "3",
            "failed_rows": "2",
            "schema_version": str(SCHEMA_VERSION),
        }
        assert expected.items() <= footer.metadata.items()
        assert {"plugin_version", "commit_id"} == footer.metadata.keys() - expected.keys()


def test_a_footer_is_read_without_the_rows(local):
    publish(local, "1", ok=20, bad=0, markdown=json.dumps(list(range(500_000))))
    path = local.uri("docs", "succeeded", GUIDES).removeprefix("file://")
    with open(path, "r+b") as file:  # noqa: PTH123
        file.write(b"\xff" * 1_000)  # rows that no reader could decode
    assert local.footer("docs", "succeeded", GUIDES).num_rows == 20


def test_nothing_published_is_no_footer_and_no_rows(store):
    assert store.footer("docs", "succeeded", GUIDES) is None
    assert store.partitions("docs", "succeeded") == []
    assert store.scan("docs", "succeeded").to_table().schema.names == SUCCEEDED.names
    assert not store.pair("docs", GUIDES).consistent
    with pytest.raises(PartitionNotFoundError, match="guides"):
        store.read("docs", "succeeded", GUIDES)


def test_reading_leaves_no_trace_on_the_disk(local, tmp_path):
    assert local.footer("docs", "failed", {}) is None
    assert list(tmp_path.iterdir()) == []


def test_columns_and_partition_can_be_chosen(store):
    publish(store, "1")
    table = store.read("docs", "succeeded", GUIDES, ["run_id", "url"], with_partition=True)
    assert table.column_names == ["run_id", "url", "date", "urls"]
    assert table["urls"].to_pylist() == ["guides"] * 3
    with pytest.raises(StorageError, match="no column nonsense"):
        store.read("docs", "succeeded", GUIDES, ["nonsense"])


def test_a_scan_covers_all_partitions_and_prunes_by_key(store):
    for urls in ("guides", "007"):
        for date in ("2026-11-02-13:00", "2026-11-02-14:00"):
            publish(store, "1", dimensions={"urls": urls, "date": date})
    dataset = store.scan("docs", "succeeded")
    assert dataset.count_rows() == 12
    wanted = (pa.dataset.field("urls") == "007") & (pa.dataset.field("date") == "2026-11-02-14:00")
    assert dataset.count_rows(filter=wanted) == 3
    assert len(list(dataset.get_fragments(filter=wanted))) == 1
    assert store.partitions("docs", "failed")[0] == {"date": "2026-11-02-13:00", "urls": "007"}
    assert len(store.partitions("docs", "failed")) == 4


def test_a_file_of_an_older_schema_reads_as_the_newer_one(local, monkeypatch):
    publish(local, "1")
    newer = SUCCEEDED.append(pa.field("language", pa.string()))
    monkeypatch.setattr("thunderbit_dagster.storage.store.SCHEMAS", {**SCHEMAS, "succeeded": newer})
    assert local.read("docs", "succeeded", GUIDES)["language"].to_pylist() == [None] * 3
    assert local.scan("docs", "succeeded").to_table(columns=["language"]).num_rows == 3


def test_row_groups_are_cut_by_bytes_and_by_rows(local, monkeypatch):
    monkeypatch.setattr(writer_module, "MAX_GROUP_ROWS", 4)
    publish(local, "1", ok=10, bad=0)
    path = local.uri("docs", "succeeded", GUIDES).removeprefix("file://")
    groups = pa.parquet.read_metadata(path)
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [4, 4, 2]
    assert groups.row_group(0).column(0).compression == "ZSTD"
    with local.open_partition("docs", GUIDES, flush_bytes=1_000) as writer:
        for position in range(3):
            writer.write_succeeded(succeeded(position, markdown="x" * 1_000))
        writer.commit({})
    assert pa.parquet.read_metadata(path).num_row_groups == 3


def test_rows_come_in_batches_of_the_file_with_the_columns_that_it_has(store, monkeypatch):
    monkeypatch.setattr(writer_module, "MAX_GROUP_ROWS", 4)
    publish(store, "1", ok=10, bad=0, title="T")
    batches = list(store.batches("docs", "succeeded", GUIDES, {"position", "title", "colour"}))
    assert [batch.num_rows for batch in batches] == [4, 4, 2]
    assert [row for batch in batches for row in batch.to_pylist()] == [
        {"title": "T", "position": number} for number in range(10)
    ]
    with pytest.raises(PartitionNotFoundError):
        next(store.batches("docs", "succeeded", {**GUIDES, "urls": "other"}, ["url"]))


def test_rows_in_batches_are_never_of_two_versions(monkeypatch):
    monkeypatch.setattr(writer_module, "MAX_GROUP_ROWS", 1)
    store = ParquetStore("memory://batches")
    publish(store, "old", markdown="x" * 100_000)
    batches = store.batches("docs", "succeeded", GUIDES, ["markdown"])
    next(batches)
    publish(store, "new")
    with pytest.raises(StorageError, match="precondition"):
        list(batches)


@pytest.mark.parametrize("length", [0, 3, -1])
def test_a_file_that_is_cut_short_is_told_from_a_store_that_cannot_be_read(local, length):
    publish(local, "1")
    path = Path(local.uri("docs", "failed", GUIDES).removeprefix("file://"))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DamagedFileError, match="Could not read file://"):
        local.footer("docs", "failed", GUIDES)
    path.unlink()
    path.mkdir()
    with pytest.raises(StorageError) as caught:
        local.footer("docs", "failed", GUIDES)
    assert not isinstance(caught.value, DamagedFileError)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**succeeded(1), "colour": "red"}, "colour"),
        ({k: v for k, v in succeeded(1).items() if k != "run_id"}, "lacks run_id"),
        ({**succeeded(1), "submission_id": None}, "lacks submission_id"),
        ({**succeeded(1), "completed_at": NOON.replace(tzinfo=None)}, "completed_at"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_at_once_and_the_writer_goes_on(store, row, reason):
    with store.open_partition("docs", GUIDES) as writer:
        with pytest.raises(InvalidRowError, match=reason) as caught:
            writer.write_succeeded(row)
        assert "https://example.com/1" in str(caught.value)
        writer.write_succeeded(succeeded(2))
        assert writer.commit({}).succeeded.rows == 1


@pytest.mark.parametrize("columns", [{"credits": 2**31}, {"markdown": 5}, {"links": "none"}])
def test_a_value_that_does_not_fit_names_its_row_and_column(store, columns):
    publish(store, "1")
    with store.open_partition("docs", GUIDES) as writer:
        writer.write_succeeded(succeeded(1))
        writer.write_succeeded(succeeded(2, **columns))
        with pytest.raises(InvalidRowError, match=rf"example.com/2.*{next(iter(columns))}"):
            writer.commit({})
    assert store.footer("docs", "succeeded", GUIDES).num_rows == 3


def test_reserved_metadata_and_closed_writers_are_refused(store):
    with store.open_partition("docs", GUIDES) as writer:
        with pytest.raises(StorageError, match="commit_id"):
            writer.commit({"commit_id": "mine"})
        writer.commit({})
        with pytest.raises(StorageError, match="closed"):
            writer.write_succeeded(succeeded(1))
        with pytest.raises(StorageError, match="closed"):
            writer.commit({})


def test_a_store_travels_to_other_processes(local):
    publish(local, "1")
    local.partitions("docs", "failed")
    copy = pickle.loads(pickle.dumps(local))  # noqa: S301  # our own bytes
    assert copy == local
    assert copy.footer("docs", "succeeded", GUIDES).num_rows == 3
