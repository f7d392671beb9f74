"""Which Parquet tables are one table: their common columns and types, and the conversion to them.

Values are never changed by it: integers and decimals do not become floats that they are not, and a column without a
value in a mini-batch has no say in the column's type.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from longshore_protocol.segments import NO_VALUE

if TYPE_CHECKING:
    import pyarrow as pa

_DIGITS = {8: 3, 16: 5, 32: 10, 64: 19}  # of integers of so many bits; the unsigned ones of 64 have one more
_WIDEST, _SAME = "permissive", "default"  # pyarrow's names: types that hold both, or the very same types


class UnlikeRowsError(Exception):
    """The rows of the mini-batches cannot be one file; the text says which mini-batches disagree in what."""


class Columns:
    """The columns of all tables so far, in order of appearance.

    With `same_types` a column has one type, and what has another is refused; else the narrowest that holds all.
    """

    def __init__(self, *, same_types: bool = False) -> None:
        self._options = _SAME if same_types else _WIDEST
        self._common: pa.Schema | None = None  # null where no value has been seen
        self._hints: dict[str, Any] = {}  # the types of columns that have had no value
        self._seen: set[bytes] = set()  # digests of schemas: sparse columns make many

    def add(self, schema: pa.Schema, *, mini_batch: int) -> None:
        """Take in the columns of a mini-batch's table. Raises UnlikeRowsError, and takes in nothing then."""
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
                    f"the rows have different columns: mini-batch {mini_batch} does not go with those before it in "
                    + ", ".join(conflicts)
                )
            valued = _unified([_beside(common, valued), _beside(valued, common)], self._options)
        self._common = valued
        for field in schema:
            if _is_hint(field):
                self._hints.setdefault(field.name, field.type)
        self._seen.add(key)

    def schema(self) -> pa.Schema:
        """Return the columns; one that never had a value has the type that was seen first."""
        import pyarrow as pa  # late, here and below: other formats do without it

        fields = () if self._common is None else self._common
        return pa.schema(
            [
                (field.name, self._hints.get(field.name, field.type) if pa.types.is_null(field.type) else field.type)
                for field in fields
            ]
        )


def conform(table: pa.Table, schema: pa.Schema, *, mini_batch: int) -> pa.Table:
    """Return the table with the columns of the schema; those it lacks are null. Raises UnlikeRowsError."""
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
                f"column {field.name} of mini-batch {mini_batch} cannot become {field.type}, "
                f"which other mini-batches ask for: {error}"
            ) from error
    return pa.table(columns, schema=schema)


def _holds(common: pa.Schema, schema: pa.Schema) -> bool:
    """Tell whether the columns need no other types than there are."""
    import pyarrow.types as kinds

    for field in schema:
        place = common.get_field_index(field.name)
        if place < 0 or not (kinds.is_null(field.type) or field.type.equals(common.field(place).type)):
            return False
    return True


def _is_hint(field: pa.Field) -> bool:
    return bool(field.metadata) and NO_VALUE.items() <= field.metadata.items()


def _without_hints(schema: pa.Schema) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(field.name, pa.null() if _is_hint(field) else field.type) for field in schema])


def _beside(schema: pa.Schema, other: pa.Schema) -> pa.Schema:
    """Return the columns, integers as decimals where the other ones are: pyarrow leaves them too few digits."""
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
        place = common.get_field_index(field.name)
        if place < 0:
            continue
        before = common.field(place)
        try:
            pair = pa.schema([before]), pa.schema([field])
            both = _unified([_beside(*pair), _beside(*reversed(pair))], options).field(0).type
        except pa.ArrowException:
            both = None
        if both is None or _rounds(before.type, both) or _rounds(field.type, both):
            yield f"column {field.name} ({field.type}, before: {before.type})"


def _rounds(old: pa.DataType, new: pa.DataType) -> bool:
    """Tell whether decimals would become floats, also inside of lists and structures."""
    import pyarrow.types as kinds

    if kinds.is_decimal(old):
        return bool(kinds.is_floating(new))
    if kinds.is_struct(old) and kinds.is_struct(new):
        return any(_rounds(field.type, new.field(field.name).type) for field in old)
    if hasattr(old, "value_type") and hasattr(new, "value_type"):
        return _rounds(old.value_type, new.value_type)
    return False
