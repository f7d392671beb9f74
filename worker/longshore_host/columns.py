"""Columns of a DataFrame: of a declared type exactly or not at all, and inferred without loss.

What a value becomes depends on the value and the declared type alone, never on the rows that it is read with: pandas
guesses formats, rounds and wraps by what else is in a column.
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

EXACT = 2**53  # integers up to here are floats, too; this float may have been the integer behind it
_SHOWN = 80  # characters of a value in a message
_FLOATS = ("float", "float32", "float64")
_NARROW = re.compile(r"u?int(8|16|32)|int(64)?")
_LARGEST = {2: 65520.0, 4: 3.4028235677973366e38}  # where floats of so many bytes become infinite


class BadValue(ValueError):
    """A value that its column's type does not hold; the text is what its record does: `has ... in column ...`."""

    def __init__(self, text: str, row: int) -> None:
        """Take the text and the row's place in the column, from 0."""
        super().__init__(text)
        self.row = row


def parsed_type(kind: str) -> str:
    """Return the type as which pandas' csv parser is to read a column of a declared type, so that no value changes.

    It is the declared one, or "int64" for narrower integers, which earlier versions wrap; or else "str".
    """
    if kind in ("string", "object") or kind in _FLOATS:
        return kind
    return "int64" if _NARROW.fullmatch(kind) else "str"


def may_be_rounded(values: Series) -> bool:
    """Tell whether integers of a csv column may have been parsed as floats, as pandas does where one is "1.0".

    All integers from 2**53 on are then ones that a float can be.
    """
    if values.dtype.kind not in "iu" or not len(values):
        return False
    large = [each for each in (int(values.max()), int(values.min())) if abs(each) >= EXACT]
    if not large:
        return False
    return all(int(float(each)) == each for each in values.tolist())


def may_be_truth(values: Series) -> bool:
    """Tell whether all numbers of a csv column may have been parsed from true and false, which are none."""
    if values.dtype.kind not in "iuf" or not len(values):
        return False
    return bool((values.isin([0, 1]) | values.isna()).all())


def may_be_cut(values: Series) -> bool:
    """Tell whether a float of a csv column may have been parsed from a number beyond all floats."""
    return values.dtype.kind == "f" and bool((values.abs() == math.inf).any())


def is_lossy(values: Series) -> bool:
    """Tell whether a column of inferred type may have been integers that floats cannot be."""
    return values.dtype == float and bool((values.abs() >= EXACT).any())


def may_be_integers(values: Series, missing: FrozenSet[str]) -> bool:
    """Tell whether a csv column of inferred type has texts because pandas gave up on integers beyond 2**63.

    It does so beside negative ones and missing values, and then keeps the texts that mean `missing` ones as they are.
    """
    if values.dtype.kind != "O" or not len(values):
        return False
    first = values.iloc[0]
    if not isinstance(first, str) or not (first in missing or cells.INTEGER.fullmatch(first)):
        return False
    return bool(values.isin(missing).any()) or integers(values) is not None


def without(texts: Series, missing: Callable[[str], bool]) -> Series:
    """Return a column of texts in which those that are `missing` are missing values."""
    gone = [isinstance(text, str) and missing(text) for text in texts.tolist()]
    return texts.mask(gone) if any(gone) else texts


def integers(texts: Series) -> Optional[Series]:
    """Return a column of texts as Python's integers, None for missing ones; None where one is no integer."""
    found = [None if gone else text for text, gone in zip(texts.tolist(), texts.isna().tolist())]
    if not all(text is None or cells.INTEGER.fullmatch(text) for text in found):
        return None
    return _series([None if text is None else int(text) for text in found], texts, object)


def inferred(values: Series) -> Series:
    """Return a column of objects as the type that pandas infers, unless an integer would not survive that."""
    found = values.infer_objects()
    lost = found.dtype == float and any(type(each) is int and abs(each) > EXACT for each in values)
    return values if lost else found


def joined(frames: List[pandas.DataFrame]) -> pandas.DataFrame:
    """Return the rows of all frames as one; integers that would become floats which they cannot be become objects."""
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
    """Return the frame with the columns that it has of the declared types converted, or only some. Raises BadValue."""
    for name, kind in format.column_types.items():
        if name in frame and (only is None or name in only):
            frame[name] = convert(frame[name], kind, format.date_formats.get(name, ""))
    return frame


def convert(values: Series, kind: str, date_format: str = "") -> Series:
    """Return a column as the type `kind`, missing values included; times have `date_format`, or else are ISO 8601.

    A time without an offset is local to the zone that the type names. Raises BadValue for the first value that is not
    exactly of this type, TypeError for a type that pandas does not know.
    """

    def make(some: Series) -> Series:
        return times.convert(some, kind, date_format) if times.is_date(kind) else _made(some, kind)

    try:
        return make(values)
    except MemoryError:
        raise
    except Exception as error:
        make(values.iloc[:0])  # a type that is none fails here too, with its own words
        row = _first_bad(values, make)
        raise BadValue(_explain(values.iloc[row : row + 1], kind, date_format, make), row) from error


def _first_bad(values: Series, make: Callable[[Series], Any]) -> int:
    good, bad = 0, len(values)  # so many of the first values convert, and so many do not
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            make(values.iloc[:middle])
        except Exception:  # noqa: BLE001  (whatever it is, it is what `convert` got)
            bad = middle
        else:
            good = middle
    return good


def _explain(one: Series, kind: str, date_format: str, make: Callable[[Series], Any]) -> str:
    """Return what is wrong with the one value."""
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
    if family == "U":  # what an earlier pandas calls str: its csv parser makes objects of texts and NaN
        return _series([math.nan if each is None else each for each in _each(values, str)], values, object)
    if isinstance(dtype, pandas.StringDtype):
        return _series(_each(values, str), values, dtype)
    return _numbers(values, kind, dtype) if family in "iufb" else _others(values, kind, dtype)


def _others(values: Series, kind: str, dtype: Any) -> Series:
    """Return a column as a type that is neither text nor number. Raises Refused, and what pandas raises."""
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
    """Return a column as a type of numbers or booleans. Raises Refused, ValueError, TypeError."""
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
    """Tell whether a type is too small for one of the numbers."""
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
