"""Write the rows of each mini-batch as one Parquet file; the coordinator joins these files."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Dict, List, Sequence, Tuple

from longshore_host.returned import WrongReturn, refuse_tables
from longshore_host.settings_file import SettingsError
from longshore_protocol.segments import NO_VALUE


class ParquetRows:
    """Converts results of run() to Parquet files. NaN is a missing value, in lists and in DataFrames."""

    def __init__(self) -> None:
        """Import pyarrow. Raises SettingsError if it is not installed."""
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            message = "output format parquet needs the package pyarrow in the script's environment: {}"
            raise SettingsError(message.format(error)) from error
        self._arrow: Any = pa
        self._write_table: Any = pq.write_table

    def elements(self, values: Sequence[Any]) -> Tuple[bytes, str]:
        """Return the rows of a list: dicts and named tuples have columns, other elements are in the column result."""
        refuse_tables(values)
        records = [value._asdict() if hasattr(value, "_asdict") else value for value in values]
        if all(isinstance(record, Mapping) for record in records):
            names = dict.fromkeys(name for record in records for name in record)  # every key, in order of appearance
            columns = {str(name): [record.get(name) for record in records] for name in names}
            if len(columns) < len(names):
                message = "two keys of the dicts that run() returned are one column's name: {}"
                raise WrongReturn(message.format(", ".join(map(repr, names))))
        else:
            columns = {"result": [value.tolist() if hasattr(value, "tolist") else value for value in records]}
        return self._file(lambda: self._arrow.table(self._arrays(columns)), columns)

    def table(self, frame: Any) -> Tuple[bytes, str]:
        """Return the rows of a DataFrame, without its index."""
        places = [place for place, dtype in enumerate(frame.dtypes) if dtype.name == "object"]
        objects = {str(frame.columns[place]): frame.iloc[:, place].tolist() for place in places}
        return self._file(lambda: self._arrow.Table.from_pandas(frame, preserve_index=False), objects)

    def _arrays(self, columns: Dict[str, List[Any]]) -> Dict[str, Any]:
        arrays = {}
        for name, values in columns.items():
            try:
                arrays[name] = self._arrow.array(values, from_pandas=True)
            except (self._arrow.ArrowException, TypeError, ValueError, OverflowError) as error:
                raise ValueError('column "{}": {}'.format(name, error)) from error
        return arrays

    def _file(self, make: Any, objects: Dict[str, List[Any]]) -> Tuple[bytes, str]:
        """Return the table of `make` as a file; `objects` are the values of columns whose type Arrow inferred."""
        try:
            table = make()
            for place, field in enumerate(table.schema):
                if field.name in objects:
                    column = self._exact(table.column(place), objects[field.name], field.name)
                    table = table.set_column(place, field.name, column)
        except (self._arrow.ArrowException, TypeError, ValueError, OverflowError) as error:
            message = "what run() returned does not fit into Parquet columns: {}".format(error)
            raise WrongReturn(message) from error
        sink = self._arrow.BufferOutputStream()
        self._write_table(self._described(table), sink)
        return sink.getvalue().to_pybytes(), ""

    def _described(self, table: Any) -> Any:
        """Replace categories by values, as they differ between mini-batches, and mark columns without values."""
        types, fields, columns = self._arrow.types, [], []
        for field, column in zip(table.schema, table.columns):
            if types.is_dictionary(field.type):
                column = column.cast(field.type.value_type)
            has_no_value = column.null_count == len(column)
            fields.append(self._arrow.field(field.name, column.type, metadata=NO_VALUE if has_no_value else None))
            columns.append(column)
        return self._arrow.Table.from_arrays(columns, schema=self._arrow.schema(fields))

    def _exact(self, column: Any, values: List[Any], name: str) -> Any:
        """Return a column with the exact times of the values. Raises ValueError for mixtures that Arrow would unify."""
        types, kind = self._arrow.types, column.type
        if not (types.is_date(kind) or types.is_timestamp(kind) or types.is_duration(kind)):
            return column
        times = [value for value in values if isinstance(value, datetime.datetime) and value == value]  # noqa: PLR0124
        if times and types.is_date(kind):
            raise ValueError('column "{}" has dates and times'.format(name))
        if len({value.tzinfo is None for value in times}) > 1:
            raise ValueError('column "{}" has times with and without a zone'.format(name))
        if any(getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0) for value in values):
            return self._arrow.chunked_array(
                [self._arrow.array(values, type=self._in_nanoseconds(kind), from_pandas=True)]
            )
        return column

    def _in_nanoseconds(self, kind: Any) -> Any:
        if self._arrow.types.is_timestamp(kind):
            return self._arrow.timestamp("ns", kind.tz)
        return self._arrow.duration("ns")
