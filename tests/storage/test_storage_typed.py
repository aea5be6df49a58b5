"""Typed columns of extracted rows: written, read by everyone, and read under a schema that has grown since."""

import datetime as dt

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_rows import GUIDES, publish

from thunderbit_dagster.storage.drift import conform, differences
from thunderbit_dagster.storage.errors import InvalidKeyError, InvalidRowError, SchemaDriftError, StorageError
from thunderbit_dagster.storage.schema import SCHEMAS, extracting

SUCCEEDED = SCHEMAS["succeeded"]

TEXT = pa.string()
OLD_ITEM = pa.struct([("name", TEXT), ("price", pa.float64()), ("maker", pa.struct([("name", TEXT)]))])
NEW_ITEM = pa.struct(
    [
        ("name", TEXT),
        ("stock", pa.int64()),
        ("price", pa.float64()),
        ("maker", pa.struct([("country", TEXT), ("name", TEXT)])),
        ("seen", pa.timestamp("us", tz="UTC")),
    ]
)
OLD, NEW = ({**SCHEMAS, "succeeded": extracting(item)} for item in (OLD_ITEM, NEW_ITEM))
LAMP = {"name": "Lamp", "price": 12.5, "maker": {"name": "Acme"}}
NEW_LAMP = {
    **LAMP,
    "stock": 3,
    "maker": {"name": "Acme", "country": "NO"},
    "seen": dt.datetime(2026, 3, 1, tzinfo=dt.timezone.utc),
}
OLD_DAY, NEW_DAY = ({"date": f"2026-11-0{day}"} for day in (1, 2))
FAULT = {"item": 1, "field": "price", "rule": "type", "message": "is no number"}


def write(store, day, schemas, items):
    publish(store, "1", ok=1, bad=0, dimensions=day, schemas=schemas, items=items, extract_outcome="valid")


@pytest.fixture
def grown(store):
    """A partition of before and one of after the schema has grown."""
    write(store, OLD_DAY, OLD, [LAMP, {**LAMP, "maker": None}])
    write(store, NEW_DAY, NEW, [NEW_LAMP])
    return store


def test_typed_columns_come_back_after_all_others(store):
    outcome = {"extract_outcome": "invalid_output", "extract_errors": [FAULT]}
    publish(store, "1", ok=1, schemas=OLD, items=[LAMP], **outcome)
    table = store.read("docs", "succeeded", GUIDES)
    assert table.schema.equals(OLD["succeeded"])
    assert table.schema.field("items").metadata[b"description"]
    (row,) = table.to_pylist()
    assert {name: row[name] for name in ("items", *outcome)} == {"items": [LAMP], **outcome}
    assert store.read("docs", "succeeded", GUIDES, ["url", "items"]).column_names == ["url", "items"]
    assert store.read("docs", "failed", GUIDES).num_rows == 2


def test_a_table_without_typed_columns_takes_none(store):
    publish(store, "1", ok=1)
    assert store.read("docs", "succeeded", GUIDES).column_names == SUCCEEDED.names
    with pytest.raises(StorageError, match="no column items"):
        store.read("docs", "succeeded", GUIDES, ["items"])
    with pytest.raises(InvalidRowError, match="unknown columns: items"):
        publish(store, "1", ok=1, items=[LAMP])


def test_a_value_that_is_not_of_its_type_names_the_column(store):
    with pytest.raises(InvalidRowError, match="column items"):
        publish(store, "1", ok=1, schemas=OLD, items=[{"price": "12"}])


def test_a_partition_dimension_cannot_be_named_like_a_typed_column(store):
    with pytest.raises(InvalidKeyError):
        store.uri("docs", "succeeded", {"items": "a"})


def test_an_old_partition_reads_under_the_newer_schema_with_nulls(grown):
    (row,) = grown.read("docs", "succeeded", OLD_DAY, schema=NEW["succeeded"]).to_pylist()
    nothing = {"stock": None, "seen": None}
    assert row["items"] == [
        {**LAMP, **nothing, "maker": {"name": "Acme", "country": None}},
        {**LAMP, **nothing, "maker": None},
    ]
    assert grown.read("docs", "succeeded", NEW_DAY, schema=NEW["succeeded"])["items"].to_pylist() == [[NEW_LAMP]]


def test_a_partition_from_before_the_crawl_extracted_reads_with_null_items(store):
    publish(store, "1", ok=1)
    table = store.read("docs", "succeeded", GUIDES, schema=NEW["succeeded"])
    assert table.schema.equals(NEW["succeeded"])
    assert table["items"].to_pylist() == [None]


def test_without_a_schema_each_partition_reads_as_it_was_written(grown):
    assert grown.read("docs", "succeeded", OLD_DAY)["items"].to_pylist() == [[LAMP, {**LAMP, "maker": None}]]
    assert grown.read("docs", "succeeded", NEW_DAY)["items"].to_pylist() == [[NEW_LAMP]]


def test_fields_removed_since_are_left_out(grown):
    (row,) = grown.read("docs", "succeeded", NEW_DAY, schema=OLD["succeeded"]).to_pylist()
    assert row["items"] == [LAMP]


@pytest.mark.parametrize("schema", [None, NEW["succeeded"]])
def test_a_scan_reads_old_and_new_partitions_together(grown, schema):
    rows = grown.scan("docs", "succeeded", schema).to_table(columns=["date", "items"]).to_pylist()
    stock = {row["date"]: [item["stock"] for item in row["items"]] for row in rows}
    assert stock == {"2026-11-01": [None, None], "2026-11-02": [3]}


def test_a_scan_of_a_table_that_is_empty_has_the_columns_asked_for(store):
    assert store.scan("docs", "succeeded", NEW["succeeded"]).schema.equals(NEW["succeeded"])


@pytest.mark.parametrize(
    ("kind", "now"),
    [(TEXT, "string"), (pa.int64(), "int64"), (pa.list_(pa.float64()), "list<"), (pa.struct([("a", TEXT)]), "struct<")],
)
def test_a_changed_type_is_an_error_that_names_field_old_and_new_type(grown, kind, now):
    changed = extracting(pa.struct([("name", TEXT), ("price", kind)]))
    with pytest.raises(SchemaDriftError, match=rf"items\[\]\.price was double and is {now}.*`data`"):
        grown.read("docs", "succeeded", OLD_DAY, schema=changed)
    assert grown.read("docs", "succeeded", OLD_DAY, ["url", "data"], schema=changed).num_rows == 1
    assert grown.read("docs", "succeeded", OLD_DAY)["items"].to_pylist()[0][0] == LAMP


def test_a_changed_type_is_no_corrupt_scan(grown):
    changed = extracting(pa.struct([("name", pa.int64())]))
    with pytest.raises(pa.ArrowInvalid):
        grown.scan("docs", "succeeded", changed).to_table(columns=["items"])


def test_an_integer_reads_as_the_number_it_has_become(store):
    before, after = (pa.struct([("stock", kind)]) for kind in (pa.int64(), pa.float64()))
    write(store, OLD_DAY, {**SCHEMAS, "succeeded": extracting(before)}, [{"stock": 3}, {"stock": None}])
    write(store, NEW_DAY, {**SCHEMAS, "succeeded": extracting(before)}, [{"stock": 2**53 + 1}])
    (items,) = store.read("docs", "succeeded", OLD_DAY, schema=extracting(after))["items"].to_pylist()
    assert items == [{"stock": 3.0}, {"stock": None}]
    with pytest.raises(SchemaDriftError, match="9007199254740993"):
        store.read("docs", "succeeded", NEW_DAY, schema=extracting(after))


# Readers with nothing of ours in between


@pytest.fixture
def files(local, tmp_path):
    write(local, OLD_DAY, OLD, [LAMP, {**LAMP, "maker": None}])
    write(local, NEW_DAY, NEW, [NEW_LAMP])
    return tmp_path / "data" / "docs" / "succeeded"


def by_duckdb(root):
    query = f"""
        select name, price, stock, maker.country as country from (
            select unnest(items, max_depth := 2)
            from read_parquet('{root}/**/*.parquet', union_by_name = true, hive_partitioning = true)
        )"""  # noqa: S608
    return duckdb.connect().sql(query).to_arrow_table().to_pylist()


def by_polars(root):
    grow = pl.ScanCastOptions(missing_struct_fields="insert", extra_struct_fields="ignore")
    newest = sorted(root.rglob("*.parquet"), reverse=True)
    rows = pl.scan_parquet(newest, cast_options=grow).select("items").explode("items").unnest("items")
    return rows.select("name", "price", "stock", pl.col("maker").struct.field("country")).collect().to_dicts()


def by_pyarrow(root):
    schema = ds.dataset(root / "date=2026-11-02").schema
    rows = ds.dataset(root, schema=schema).to_table(columns=["items"])["items"].combine_chunks().flatten().to_pylist()
    return [
        {**{name: row[name] for name in ("name", "price", "stock")}, "country": (row["maker"] or {}).get("country")}
        for row in rows
    ]


@pytest.mark.parametrize("read", [by_duckdb, by_polars, by_pyarrow])
def test_old_and_new_items_are_one_table_to_every_reader(files, read):
    old = {"name": "Lamp", "price": 12.5, "stock": None, "country": None}
    assert sorted(read(files), key=lambda row: row["stock"] or 0) == [old, old, {**old, "stock": 3, "country": "NO"}]


# Differences


def test_what_has_changed_is_named_by_field():
    after = pa.struct([("name", pa.int64()), ("maker", pa.struct([("country", TEXT)])), ("tags", pa.list_(TEXT))])
    found = differences(extracting(OLD_ITEM), extracting(after))
    assert [(one.field, one.change) for one in found] == [
        ("items[].name", "changed"),
        ("items[].maker.country", "added"),
        ("items[].maker.name", "removed"),
        ("items[].tags", "added"),
        ("items[].price", "removed"),
    ]
    assert [str(one) for one in (found[0], found[3], found[4])] == [
        "items[].name was string and is int64",
        "items[].tags (list<item: string>) is new",
        "items[].price (double) is gone",
    ]
    assert [one.field for one in differences(SUCCEEDED, extracting(after))] == [
        "items",
        "extract_outcome",
        "extract_errors",
    ]


def test_a_part_of_a_column_and_a_null_that_spans_values_conform():
    inner = pa.array([{"name": name} for name in "abcd"])
    spanning = pa.ListArray.from_arrays(pa.array([0, 1, 3, 4]), inner, mask=pa.array([False, True, False]))
    grown = pa.list_(pa.struct([("name", TEXT), ("stock", pa.int64())]))
    for start in range(3):
        part = pa.chunked_array([spanning.slice(start)])
        expected = [[{"name": "a", "stock": None}], None, [{"name": "d", "stock": None}]][start:]
        assert conform(part, grown).to_pylist() == expected


scalars = st.sampled_from([TEXT, pa.int64(), pa.bool_()])
names = st.sampled_from("abc")
kinds = st.recursive(
    scalars,
    lambda inner: (
        inner.map(pa.list_)
        | st.dictionaries(names, inner, min_size=1, max_size=3).map(lambda fields: pa.struct(list(fields.items())))
    ),
    max_leaves=6,
)


def values(kind):
    if pa.types.is_struct(kind):
        return st.none() | st.fixed_dictionaries({field.name: values(field.type) for field in kind})
    if pa.types.is_list(kind):
        return st.none() | st.lists(values(kind.value_type), max_size=3)
    return st.none() | {TEXT: st.text(max_size=3), pa.bool_(): st.booleans()}.get(kind, st.integers(-9, 9))


def shaped(value, kind):
    """The value as `kind` holds it, by Python's own means."""
    if value is None:
        return None
    if pa.types.is_struct(kind):
        return {field.name: shaped(value.get(field.name), field.type) for field in kind}
    return [shaped(one, kind.value_type) for one in value] if pa.types.is_list(kind) else value


@settings(deadline=None)
@given(st.data(), kinds, kinds)
def test_old_values_fit_whatever_differs_by_addition_and_removal_alone(data, old, new):
    changes = differences(pa.schema([("x", old)]), pa.schema([("x", new)]))
    if any(one.change == "changed" for one in changes):
        return
    rows = data.draw(st.lists(values(old), max_size=4))
    column = pa.chunked_array([pa.array(rows, old), pa.array(rows, old).slice(1)], old)
    found = conform(column, new)
    found.validate(full=True)
    assert found.type == new
    assert found.to_pylist() == [shaped(row, new) for row in [*rows, *rows[1:]]]
