"""Read rows of a Parquet file into a DataFrame without rounding an integer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, Dict

from longshore_host import columns

if TYPE_CHECKING:
    import pandas

    from longshore_protocol.job import TabularFormat


def read(file: BinaryIO, slice: Dict[str, Any], format: TabularFormat) -> pandas.DataFrame:
    """Return the rows of a slice, not yet converted to declared types. Raises the errors of pyarrow."""
    import pandas
    import pyarrow
    import pyarrow.parquet

    first, last = slice["row_groups"]
    table = pyarrow.parquet.ParquetFile(file).read_row_groups(list(range(first, last)))
    ranges = slice.get("ranges") or [slice["rows"] or (0, table.num_rows)]
    table = pyarrow.concat_tables([table.slice(begin, end - begin) for begin, end in ranges])
    frame: pandas.DataFrame = table.to_pandas()
    _keep_integers(frame, table, format)
    # An index that pandas stored with names has data of the user, often the key of a row: restore it as columns.
    is_count = isinstance(frame.index, pandas.RangeIndex) or list(frame.index.names) == [None]
    return frame.reset_index(drop=is_count)


def _keep_integers(frame: pandas.DataFrame, table: Any, format: TabularFormat) -> None:
    """Keep integers beside missing values, if their column has a declared type or floats cannot represent them."""
    import pandas
    import pyarrow.types

    twins = set(frame.columns[frame.columns.duplicated()])
    for place, field in enumerate(table.schema):
        name, column = field.name, table.column(place)
        if name not in frame.columns:
            continue
        if name in twins and column.null_count:
            raise ValueError('two of its columns are called "{}", and one has missing values'.format(name))
        if not pyarrow.types.is_integer(field.type):
            if pyarrow.types.is_nested(field.type) and any(map(_is_lossy, column.chunks)):
                frame[name] = column.to_pandas(integer_object_nulls=True)
        elif column.null_count and (name in format.column_types or columns.is_lossy(frame[name])):
            nullable = str(field.type).replace("uint", "UInt").replace("int", "Int")
            frame[name] = pandas.array(column.to_pylist(), dtype=nullable)


def _is_lossy(array: Any) -> bool:
    """Return whether lists, maps or structures have nulls, and integers that floats cannot represent."""
    import pyarrow.compute
    import pyarrow.types as kinds

    if kinds.is_integer(array.type):
        found = pyarrow.compute.min_max(array).as_py()
        ends = [each for each in found.values() if each is not None]
        return bool(array.null_count) and any(abs(each) >= columns.EXACT for each in ends)
    if kinds.is_map(array.type):
        return _is_lossy(array.keys) or _is_lossy(array.items)
    if kinds.is_struct(array.type):
        return any(map(_is_lossy, array.flatten()))
    return bool(kinds.is_nested(array.type)) and _is_lossy(array.flatten())
