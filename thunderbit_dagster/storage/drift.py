"""Two schemas of one table: what has changed between them, and old rows brought into the newer one.

A field that is new, at any depth, is null in older rows. A field whose type has changed is never guessed at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from thunderbit_dagster.lazy import LazyModule

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa = LazyModule("pyarrow")
    pc = LazyModule("pyarrow.compute")


Change = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A field, `items[].price`, that two schemas do not share; a type is None where there is no such field."""

    field: str
    change: Change
    old: pa.DataType | None
    new: pa.DataType | None

    def __str__(self) -> str:
        if self.change == "changed":
            return f"{self.field} was {self.old} and is {self.new}"
        return f"{self.field} ({self.new or self.old}) is {'new' if self.change == 'added' else 'gone'}"


def differences(old: pa.Schema, new: pa.Schema) -> list[Difference]:
    """What has changed from one schema to the other, in the order of the newer one, then what is gone."""
    return list(_of_fields(pa.struct(list(old)), pa.struct(list(new)), ""))


def conform(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """The values under a type that differs by added or removed fields, or by `integer` having become `number`.

    Raises:
        pyarrow.ArrowInvalid: an integer that no float holds exactly.
    """
    return pa.chunked_array([_conform(chunk, kind) for chunk in column.chunks], kind)


def union(old: pa.DataType, new: pa.DataType) -> pa.DataType:
    """A type with the fields of both, at any depth; of a field whose type has changed, the newer type."""
    if pa.types.is_struct(old) and pa.types.is_struct(new):
        before = {field.name: field for field in old}
        both = [
            field.with_type(union(before[field.name].type, field.type)) if field.name in before else field
            for field in new
        ]
        names = {field.name for field in new}
        return pa.struct([*both, *(field for field in old if field.name not in names)])
    if pa.types.is_list(old) and pa.types.is_list(new):
        return pa.list_(union(old.value_type, new.value_type))
    return old if _widens(new, old) else new


def _of_fields(old: pa.StructType, new: pa.StructType, path: str) -> Iterator[Difference]:
    before = {field.name: field.type for field in old}
    after = {field.name: field.type for field in new}
    for name, kind in after.items():
        if name in before:
            yield from _of_type(before[name], kind, f"{path}{name}")
        else:
            yield Difference(f"{path}{name}", "added", None, kind)
    for name, kind in before.items():
        if name not in after:
            yield Difference(f"{path}{name}", "removed", kind, None)


def _of_type(old: pa.DataType, new: pa.DataType, path: str) -> Iterator[Difference]:
    if pa.types.is_struct(old) and pa.types.is_struct(new):
        yield from _of_fields(old, new, f"{path}.")
    elif pa.types.is_list(old) and pa.types.is_list(new):
        yield from _of_type(old.value_type, new.value_type, f"{path}[]")
    elif old != new and not _widens(old, new):
        yield Difference(path, "changed", old, new)


def _widens(old: pa.DataType, new: pa.DataType) -> bool:
    return bool(pa.types.is_int64(old) and pa.types.is_float64(new))


# By hand: pyarrow's own cast adds fields to a struct only in its newer versions.
def _conform(values: pa.Array, kind: pa.DataType) -> pa.Array:
    if values.type == kind:
        return values
    if pa.types.is_struct(kind):
        known = {field.name for field in values.type}
        children = [
            _conform(values.field(field.name), field.type) if field.name in known else pa.nulls(len(values), field.type)
            for field in kind
        ]
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=values.is_null())
    if pa.types.is_list(kind):
        return _conform_list(values, kind)
    return values.cast(kind)


def _conform_list(values: pa.ListArray, kind: pa.DataType) -> pa.Array:
    inner = _conform(values.flatten(), kind.value_type)
    # `flatten` leaves out what null lists span, so the offsets are counted anew.
    ends = pc.cumulative_sum(values.value_lengths().fill_null(0))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    return pa.ListArray.from_arrays(offsets, inner, type=kind, mask=values.is_null())
