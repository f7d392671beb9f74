"""Where Parquet files are cut: between row groups, and between rows inside a group that is larger than asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from longshore_protocol.job import ROWS, MiniBatchSize
from longshore_storage.files import open_file


def pieces(path: str, size: MiniBatchSize) -> Iterator[tuple[int | None, dict[str, Any]]]:
    """Yield the slices of one file, each with its number of rows; only the file's footer is read.

    Whole row groups are packed up to `size`, by rows or by their uncompressed bytes. The "rows" of a slice count from
    the first row of its row groups. Raises OSError, ImportError without pyarrow, and what pyarrow raises for a file
    that is no Parquet.
    """
    from pyarrow import parquet  # late: only this kind of input needs it

    with open_file(path) as file:
        footer = parquet.read_metadata(file)
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    first = packed = rows = 0  # the groups from `first` on are packed: their size, their rows
    for number, group in enumerate(groups):
        weight = group.num_rows if size.unit == ROWS else group.total_byte_size
        if packed + weight > size.value:
            if rows:
                yield rows, {"path": path, "row_groups": [first, number], "rows": None}
            first, packed, rows = number, 0, 0
        if weight > size.value and group.num_rows > 1:
            step = max(1, group.num_rows * size.value // weight)
            for start in range(0, group.num_rows, step):
                end = min(start + step, group.num_rows)
                yield end - start, {"path": path, "row_groups": [number, number + 1], "rows": [start, end]}
            first = number + 1
        else:
            packed, rows = packed + weight, rows + group.num_rows
    if rows:
        yield rows, {"path": path, "row_groups": [first, len(groups)], "rows": None}
