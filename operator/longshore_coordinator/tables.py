"""Common schema of the Parquet tables of several mini-batches, and conversion of each table to it.

Values never change: integers and decimals are not rounded to floats, and a column without values in a mini-batch does
not influence the column's type.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from longshore_protocol.segments import NO_VALUE

if TYPE_CHECKING:
    import pyarrow as pa

_DIGITS = {
    8: 3,
    16: 5,
    32: 10,
    64: 19,
}  # bits of an integer type -> decimal digits; unsigned 64-bit integers have one more
_WIDEST, _SAME = "permissive", "default"  # pyarrow's names: types that can represent both, or equal types


class UnlikeRowsError(Exception):
    """The rows of the mini-batches cannot form one file; the message names the mini-batches and the difference."""


class Columns:
    """The columns of all tables so far, in order of appearance.

    With `same_types`, a column must have the same type in all tables; otherwise it has the narrowest type that can
    represent all values.
    """

    def __init__(self, *, same_types: bool = False) -> None:
        self._options = _SAME if same_types else _WIDEST
        self._common: pa.Schema | None = None  # type null for columns without a value so far
        self._hints: dict[str, Any] = {}  # column without values -> its declared type
        self._seen: set[bytes] = set()  # digests of schemas, of which sparse columns make many

    def add(self, schema: pa.Schema, *, mini_batch: int) -> None:
        """Add the columns of a mini-batch's table. Raises UnlikeRowsError, and adds nothing then."""
        key = hashlib.blake2b(schema.serialize(), digest_size=16).digest()
        if key in self._seen:
            return
        common = self._common
        valued = _without_hints(schema)
        if common is not None and _holds(common, valued):
            valued = common
        elif common is not None:
            conflicts = list(_conflicts(common, valued, self._options))
            if conflicts:
                raise UnlikeRowsError(
                    f"the rows have different columns: mini-batch {mini_batch} conflicts with earlier ones in "
                    + ", ".join(conflicts)
                )
            valued = _unified([_beside(common, valued), _beside(valued, common)], self._options)
        self._common = valued
        for field in schema:
            if _is_hint(field):
                self._hints.setdefault(field.name, field.type)
        self._seen.add(key)

    def schema(self) -> pa.Schema:
        """Return the common schema; a column without any value has its first declared type."""
        import pyarrow as pa  # late, here and below: other formats do without it

        fields = () if self._common is None else self._common
        return pa.schema(
            [
                (field.name, self._hints.get(field.name, field.type) if pa.types.is_null(field.type) else field.type)
                for field in fields
            ]
        )


def conform(table: pa.Table, schema: pa.Schema, *, mini_batch: int) -> pa.Table:
    """Return the table with the columns of the schema, null for missing ones. Raises UnlikeRowsError."""
    import pyarrow as pa

    if table.schema.equals(schema, check_metadata=True):
        return table
    columns: list[Any] = []
    for field in schema:
        column = table.column(field.name) if field.name in table.column_names else None
        if column is None or (column.null_count == table.num_rows and not column.type.equals(field.type)):
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        try:
            columns.append(column.cast(field.type))
        except pa.ArrowException as error:
            raise UnlikeRowsError(
                f'column "{field.name}" of mini-batch {mini_batch} cannot be converted to {field.type}, '
                f"its type in other mini-batches: {error}"
            ) from error
    return pa.table(columns, schema=schema)


def _holds(common: pa.Schema, schema: pa.Schema) -> bool:
    """Return whether `common` has all columns of `schema` with the same types."""
    import pyarrow.types as kinds

    for field in schema:
        index = common.get_field_index(field.name)
        if index < 0 or not (kinds.is_null(field.type) or field.type.equals(common.field(index).type)):
            return False
    return True


def _is_hint(field: pa.Field) -> bool:
    return bool(field.metadata) and NO_VALUE.items() <= field.metadata.items()


def _without_hints(schema: pa.Schema) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(field.name, pa.null() if _is_hint(field) else field.type) for field in schema])


def _beside(schema: pa.Schema, other: pa.Schema) -> pa.Schema:
    """Return the schema with integers as decimals if `other` has decimals, because pyarrow allots too few digits."""
    import pyarrow as pa
    import pyarrow.types as kinds

    for place, field in enumerate(schema):
        beside = other.get_field_index(field.name)
        if beside >= 0 and kinds.is_integer(field.type) and kinds.is_decimal(other.field(beside).type):
            digits = _DIGITS[field.type.bit_width] + kinds.is_uint64(field.type)
            schema = schema.set(place, pa.field(field.name, pa.decimal128(digits, 0)))
    return schema


def _unified(schemas: list[pa.Schema], options: str) -> pa.Schema:
    import pyarrow as pa

    return pa.unify_schemas(schemas, promote_options=options)


def _conflicts(common: pa.Schema, schema: pa.Schema, options: str) -> Iterator[str]:
    import pyarrow as pa

    for field in schema:
        index = common.get_field_index(field.name)
        if index < 0:
            continue
        before = common.field(index)
        try:
            pair = pa.schema([before]), pa.schema([field])
            both = _unified([_beside(*pair), _beside(*reversed(pair))], options).field(0).type
        except pa.ArrowException:
            both = None
        if both is None or _rounds(before.type, both) or _rounds(field.type, both):
            yield f'column "{field.name}" ({field.type}, before: {before.type})'


def _rounds(old: pa.DataType, new: pa.DataType) -> bool:
    """Return whether decimals would become floats, also inside lists and structs."""
    import pyarrow.types as kinds

    if kinds.is_decimal(old):
        return bool(kinds.is_floating(new))
    if kinds.is_struct(old) and kinds.is_struct(new):
        return any(_rounds(field.type, new.field(field.name).type) for field in old)
    if hasattr(old, "value_type") and hasattr(new, "value_type"):
        return _rounds(old.value_type, new.value_type)
    return False
