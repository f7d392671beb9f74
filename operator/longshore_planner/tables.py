"""Formats of tabular data."""

from __future__ import annotations

from longshore_api.data import TabularDataset
from longshore_protocol import job


def tabular_format(data: TabularDataset, database: str) -> job.TabularFormat:
    """Return how to read the rows of some data; `database` is the name of the Datastore that a query uses."""
    return job.TabularFormat(
        format=data.format,
        separator=data.separator,
        header=data.header,
        one_header=data.only_first_file_has_header,
        encoding=data.encoding,
        column_types=dict(data.column_types),
        date_formats=dict(data.date_formats),
        keep_default_na=data.keep_default_na,
        na_values=list(data.na_values),
        infer_types=data.infer_column_types,
        path_column=data.path_column,
        multi_line=data.support_multi_line,
        escape=data.escape_character,
        as_dicts=data.rows_as == "dicts",
        query=data.query,
        split_by=data.split_by,
        database=database,
    )
