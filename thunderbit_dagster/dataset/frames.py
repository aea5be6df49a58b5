"""Arrow tables as pandas and Polars frames. Polars is optional, and asked for only when it is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, overload

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

Library = Literal["pyarrow", "pandas", "polars"]


class PolarsMissingError(ImportError):
    """Polars was asked for and is not installed."""


def require_polars() -> None:
    """Refuse before anything is read.

    Raises:
        PolarsMissingError: Polars is not installed; the text says how to install it.
    """
    try:
        import polars  # noqa: F401, ICN001, PLC0415
    except ImportError as error:
        raise PolarsMissingError("Polars is not installed: pip install 'thunderbit-dagster[polars]'") from error


@overload
def convert(table: pa.Table, to: Literal["pyarrow"]) -> pa.Table: ...
@overload
def convert(table: pa.Table, to: Literal["pandas"]) -> pd.DataFrame: ...
@overload
def convert(table: pa.Table, to: Literal["polars"]) -> pl.DataFrame: ...
def convert(table: pa.Table, to: Library) -> pa.Table | pd.DataFrame | pl.DataFrame:
    """The table itself, or as a frame of pandas or Polars.

    Raises:
        PolarsMissingError: Polars is not installed.
    """
    if to == "pyarrow":
        return table
    return _to_polars(table) if to == "polars" else table.to_pandas()


def _to_polars(table: pa.Table) -> pl.DataFrame:
    require_polars()
    import polars as pl  # noqa: PLC0415

    frame = pl.from_arrow(table)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError(f"Polars made a {type(frame).__name__} of a table")
    return frame


def lazy(schema: pa.Schema, reads: Sequence[Callable[[list[str] | None], pa.Table]]) -> pl.LazyFrame:
    """A lazy Polars frame over pieces that are read one after the other, each with the columns that are wanted only.

    Filters are applied by Polars to what was read: pyarrow's own keep other rows where values are null.
    """
    require_polars()
    from polars.io.plugins import register_io_source  # noqa: PLC0415

    empty = schema.empty_table()

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, most: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        if not reads:  # Polars wants one piece at least
            yield _to_polars(empty if columns is None else empty.select(columns))
        for read in reads:
            frame = _to_polars(read(columns))
            if most is not None:
                frame = frame.head(most)
                most -= frame.height
            yield frame if predicate is None else frame.filter(predicate)
            if most == 0:
                return

    return register_io_source(source, schema=_to_polars(empty).schema)
