"""Types of the columns of a DataFrame: exactly as declared, or inferred without loss.

The result of a conversion depends on the value and the declared type only, never on other rows: pandas guesses formats,
rounds and wraps depending on the rest of the column.
"""

from __future__ import annotations

import decimal
import math
import numbers
import re
from typing import TYPE_CHECKING, Any, Callable, Container, FrozenSet, List, Optional

from longshore_host import times
from longshore_protocol import cells

if TYPE_CHECKING:
    import pandas

    from longshore_protocol.job import TabularFormat

Series = Any  # of pandas, whose stubs know no columns of unknown type

EXACT = 2**53  # floats represent all integers up to here; this float may have been the next integer
_SHOWN = 80  # characters of a value in a message
_FLOATS = ("float", "float32", "float64")
_NARROW = re.compile(r"u?int(8|16|32)|int(64)?")
_LARGEST = {2: 65520.0, 4: 3.4028235677973366e38}  # bytes of a float type -> the value from which on it is infinite


class BadValue(ValueError):
    """A value that its column's type cannot hold; the message continues "the record ...": `has ... in column ...`."""

    def __init__(self, text: str, row: int) -> None:
        """Store the message and the row's index in the column, from 0."""
        super().__init__(text)
        self.row = row


def parsed_type(kind: str) -> str:
    """Return the type with which pandas' csv parser reads a column of a declared type without changing a value.

    That is the declared type, "int64" for narrower integers, which earlier versions wrap, or else "str".
    """
    if kind in ("string", "object") or kind in _FLOATS:
        return kind
    return "int64" if _NARROW.fullmatch(kind) else "str"


def may_be_rounded(values: Series) -> bool:
    """Return whether integers of a csv column may have been parsed as floats, as pandas does if one is "1.0".

    A float can then represent each integer from 2**53 on.
    """
    if values.dtype.kind not in "iu" or not len(values):
        return False
    large = [each for each in (int(values.max()), int(values.min())) if abs(each) >= EXACT]
    if not large:
        return False
    return all(int(float(each)) == each for each in values.tolist())


def may_be_truth(values: Series) -> bool:
    """Return whether all numbers of a csv column may have been parsed from true and false."""
    if values.dtype.kind not in "iuf" or not len(values):
        return False
    return bool((values.isin([0, 1]) | values.isna()).all())


def may_be_cut(values: Series) -> bool:
    """Return whether a float of a csv column may have been parsed from a number too large for a float."""
    return values.dtype.kind == "f" and bool((values.abs() == math.inf).any())


def is_lossy(values: Series) -> bool:
    """Return whether a column of inferred type may have been integers that floats cannot represent."""
    return values.dtype == float and bool((values.abs() >= EXACT).any())


def may_be_integers(values: Series, missing: FrozenSet[str]) -> bool:
    """Return whether a csv column of inferred type has texts because pandas could not parse integers beyond 2**63.

    That happens beside negative integers and missing values; the texts that mean `missing` values are then kept.
    """
    if values.dtype.kind != "O" or not len(values):
        return False
    first = values.iloc[0]
    if not isinstance(first, str) or not (first in missing or cells.INTEGER.fullmatch(first)):
        return False
    return bool(values.isin(missing).any()) or integers(values) is not None


def without(texts: Series, missing: Callable[[str], bool]) -> Series:
    """Replace the texts that are `missing` by missing values; return the column."""
    gone = [isinstance(text, str) and missing(text) for text in texts.tolist()]
    return texts.mask(gone) if any(gone) else texts


def integers(texts: Series) -> Optional[Series]:
    """Return a column of texts as Python integers and None for missing values; None if a text is not an integer."""
    found = [None if gone else text for text, gone in zip(texts.tolist(), texts.isna().tolist())]
    if not all(text is None or cells.INTEGER.fullmatch(text) for text in found):
        return None
    return _series([None if text is None else int(text) for text in found], texts, object)


def inferred(values: Series) -> Series:
    """Return a column of objects with the type that pandas infers, unless that changes an integer."""
    found = values.infer_objects()
    lost = found.dtype == float and any(type(each) is int and abs(each) > EXACT for each in values)
    return values if lost else found


def joined(frames: List[pandas.DataFrame]) -> pandas.DataFrame:
    """Concatenate frames; integers that a float cannot represent become objects where they would become floats."""
    import pandas

    frames = [frame for frame in frames if len(frame)] or frames[:1]  # a column without a value has no type
    for name in {name for frame in frames for name in frame.columns}:
        having = [frame for frame in frames if name in frame.columns]
        if len(having) < len(frames) or len({frame[name].dtype for frame in having}) > 1:
            for frame in having:
                if frame[name].dtype.kind in "iu" and (frame[name].abs() > EXACT).any():
                    frame[name] = frame[name].astype(object)
    return pandas.concat(frames, ignore_index=True)


def typed(frame: pandas.DataFrame, format: TabularFormat, only: Optional[Container[str]] = None) -> pandas.DataFrame:
    """Convert the columns of declared types, or those in `only`; return the frame. Raises BadValue."""
    for name, kind in format.column_types.items():
        if name in frame and (only is None or name in only):
            frame[name] = convert(frame[name], kind, format.date_formats.get(name, ""))
    return frame


def convert(values: Series, kind: str, date_format: str = "") -> Series:
    """Convert a column to the type `kind`, including missing values; return it.

    Times have `date_format`, or ISO 8601 if that is empty. A time without an offset is local to the zone of the type.

    Raises:
        BadValue: A value, of which this is the first, cannot be converted exactly.
        TypeError: pandas does not know the type.
    """

    def make(some: Series) -> Series:
        return times.convert(some, kind, date_format) if times.is_date(kind) else _made(some, kind)

    try:
        return make(values)
    except MemoryError:
        raise
    except Exception as error:
        make(values.iloc[:0])  # an unknown type fails here too, with its own message
        row = _first_bad(values, make)
        raise BadValue(_explain(values.iloc[row : row + 1], kind, date_format, make), row) from error


def _first_bad(values: Series, make: Callable[[Series], Any]) -> int:
    good, bad = 0, len(values)  # lengths: the first `good` values convert, the first `bad` ones do not
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            make(values.iloc[:middle])
        except Exception:  # noqa: BLE001  (`convert` got the same error)
            bad = middle
        else:
            good = middle
    return good


def _explain(one: Series, kind: str, date_format: str, make: Callable[[Series], Any]) -> str:
    """Return why the one value cannot be converted."""
    reason = "which is not {}".format(kind)
    try:
        make(one)
    except times.Refused as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001
        if times.is_date(kind):
            reason = times.reason(error, kind, date_format)
    if bool(one.isna().iloc[0]):
        return 'has no value in column "{}", {}'.format(one.name, reason)
    value = one.tolist()[0]
    shown = '"{}"'.format(value) if isinstance(value, str) else repr(value)
    if len(shown) > _SHOWN:
        shown = shown[:_SHOWN] + "..."
    return 'has {} in column "{}", {}'.format(shown, one.name, reason)


def _made(values: Series, kind: str) -> Series:
    import pandas

    dtype: Any = pandas.api.types.pandas_dtype(kind)
    family = getattr(dtype, "kind", "O")
    if values.dtype == dtype:
        return values
    if isinstance(dtype, pandas.SparseDtype):
        return _made(values, str(dtype.subtype)).astype(dtype)
    if family == "U":  # the str type of earlier versions of pandas: objects that are texts or NaN
        return _series([math.nan if each is None else each for each in _each(values, str)], values, object)
    if isinstance(dtype, pandas.StringDtype):
        return _series(_each(values, str), values, dtype)
    return _numbers(values, kind, dtype) if family in "iufb" else _others(values, kind, dtype)


def _others(values: Series, kind: str, dtype: Any) -> Series:
    """Convert a column to a type other than text and numbers. Raises Refused, and errors of pandas."""
    import pandas

    if getattr(dtype, "kind", "O") == "m":
        return times.spans(values, dtype, kind)
    if isinstance(dtype, pandas.PeriodDtype):
        times.require_periods(values)
    room = dtype.itemsize if getattr(dtype, "kind", "O") == "S" else 0
    if room and any(len(str(each).encode()) > room for each in values.tolist()):
        raise times.Refused("which has more than {} bytes".format(room))
    return values.astype(dtype)


def _numbers(values: Series, kind: str, dtype: Any) -> Series:
    """Convert a column to a type of numbers or booleans. Raises Refused, ValueError, TypeError."""
    import pandas

    is_nullable = pandas.api.types.is_extension_array_dtype
    if dtype.kind in "iu" and values.dtype.kind in "iu" and not (is_nullable(dtype) or is_nullable(values.dtype)):
        if len(values) and _are_outside([int(values.min()), int(values.max())], dtype):
            raise times.Refused("which is outside of {}".format(kind))
        return values.astype(dtype)
    found = _each(values, {"i": _integer, "u": _integer, "f": _float, "b": _boolean}[dtype.kind])
    if _are_outside([each for each in found if each is not None], dtype):
        raise times.Refused("which is outside of {}".format(kind))
    if not is_nullable(dtype):
        if dtype.kind == "f":
            found = [math.nan if each is None else each for each in found]
        elif None in found:
            better = "boolean" if dtype.kind == "b" else kind.replace("uint", "UInt").replace("int", "Int")
            raise times.Refused('which {} cannot hold; set its type to "{}"'.format(kind, better))
    return _series(found, values, dtype)


def _are_outside(found: List[Any], dtype: Any) -> bool:
    """Return whether a number exceeds the range of a type."""
    if dtype.kind in "iu":
        bits = 8 * dtype.itemsize
        low, high = (0, 2**bits - 1) if dtype.kind == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return any(not low <= each <= high for each in found)
    largest = _LARGEST.get(dtype.itemsize) if dtype.kind == "f" else None
    return largest is not None and any(largest <= abs(each) < math.inf for each in found)


def _series(values: List[Any], like: Series, dtype: Any) -> Series:
    import pandas

    return pandas.Series(values, index=like.index, name=like.name, dtype=dtype)


def _each(values: Series, make: Callable[[Any], Any]) -> List[Any]:
    return [None if gone else make(value) for value, gone in zip(values.tolist(), values.isna().tolist())]


def _integer(value: Any) -> int:
    if isinstance(value, str):  # first, as most values are texts
        return cells.read_integer(value)
    if isinstance(value, numbers.Integral) or type(value).__name__ in ("bool", "bool_"):
        return int(value)
    if not isinstance(value, (numbers.Real, decimal.Decimal)):
        raise TypeError("it is no number")
    return cells.whole_number(value if isinstance(value, decimal.Decimal) else decimal.Decimal(float(value)))


def _float(value: Any) -> float:
    return cells.read_float(value) if isinstance(value, str) else float(value)


def _boolean(value: Any) -> bool:
    return cells.read_boolean(str(value))
