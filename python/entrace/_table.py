"""A table of a run: an Arrow stream, with shortcuts to pandas, polars and NumPy."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from entrace import _entrace


class Table:
    """A table of a run, read from its Parquet file when it is asked for, one row group at a time.

    It has the Arrow PyCapsule interface: `polars.DataFrame(table)`, `pyarrow.table(table)`, `duckdb.from_arrow(table)` take it as it is.
    """

    def __init__(self, table: _entrace.Table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)

    def __len__(self) -> int:
        return len(self._table)

    @property
    def name(self) -> str:
        """The name of the table."""
        return self._table.name

    @property
    def schema(self) -> dict[str, str]:
        """Types of the columns: `utf8`, `uint32`, `float64` or `bool`."""
        return dict(self._table.columns)

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.schema)

    def __getitem__(self, column: str) -> NDArray[Any]:
        """A column as a NumPy array, `[rows]`. Numbers with nulls are float64 with NaN; other columns with nulls hold None."""
        return self._table.column(column)

    def to_numpy(self) -> dict[str, NDArray[Any]]:
        """All columns as NumPy arrays."""
        return {column: self[column] for column in self.columns}

    def to_pandas(self) -> Any:
        """A data frame of pandas; pyarrow is not needed."""
        import pandas

        return pandas.DataFrame(self.to_numpy())

    def to_polars(self) -> Any:
        """A data frame of polars."""
        import polars

        return polars.DataFrame(self)

    def __repr__(self) -> str:
        columns = ", ".join(f"{name}: {kind}" for name, kind in self.schema.items())
        return f"<entrace.Table {self.name}: {len(self)} rows of {columns}>"
