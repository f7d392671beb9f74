"""Prepare results of run() for conversion to text without abbreviation.

numpy, pandas, PyTorch and similar libraries abbreviate printed values, in the middle and in the digits. Their values
are printed completely, converted to lists, or refused.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from itertools import chain
from typing import Any, ContextManager, Dict, Iterable, List, Sequence, Set

_PLAIN = frozenset((str, int, float, bool, type(None)))
_TEXT = frozenset((str,))
_SEQUENCES, _MAPPINGS = frozenset((list, tuple)), frozenset((dict,))
_LIBRARIES = frozenset(
    ("cupy", "jax", "jaxlib", "numpy", "pandas", "polars", "pyarrow", "scipy", "tensorflow", "torch")
)
_TO_LISTS = (
    "toarray",
    "tolist",
    "to_pylist",
    "to_list",
    "numpy",
)  # names of the conversion to lists; the first one counts
_NUMPYS_OWN = {"precision": 8, "floatmode": "maxprec"}  # defaults that round; others were set by the script


class WrongReturn(Exception):
    """run() returned a value that is not rows, or rows that the output format cannot represent."""


def refuse_tables(values: Sequence[Any]) -> None:
    """Raise WrongReturn for a table among the elements of a list."""
    if _TEXT.issuperset(map(type, values)):
        return
    for kind in set(map(type, values)):
        if kind not in _PLAIN and _is_table(kind):
            place = next(place for place, value in enumerate(values) if type(value) is kind)
            message = (
                "element {} of what run() returned is a {}: return one DataFrame instead of a list of them, such "
                "as pandas.concat(results)"
            )
            raise WrongReturn(message.format(place, kind.__name__))


def texts(values: Sequence[Any]) -> List[str]:
    """Return str() of each element without abbreviation. Raises WrongReturn, and errors of an element's `__str__`."""
    kinds = set(map(type, values))
    if kinds <= _TEXT:
        return list(values)
    if _are_plain_inside(values, kinds):
        return list(map(str, values))
    with printing_whole():
        return [_one_line(whole(value)) for value in values]


def are_plain(values: Iterable[Any]) -> bool:
    """Return whether str() abbreviates none of the values."""
    if _LIBRARIES.isdisjoint(sys.modules):
        return True
    kinds = set(map(type, values))
    return kinds <= _PLAIN or all(kind in _PLAIN or _is_number_of_numpy(kind) for kind in kinds)


def _are_plain_inside(values: Sequence[Any], kinds: Set[type]) -> bool:
    """Return whether str() abbreviates none of the values of these types, nor the elements in them."""
    if kinds <= _SEQUENCES:
        return are_plain(chain.from_iterable(values))
    if kinds <= _MAPPINGS:
        return are_plain(chain(chain.from_iterable(values), chain.from_iterable(each.values() for each in values)))
    return are_plain(values)


def _is_number_of_numpy(kind: type) -> bool:
    """Return whether values of a type print with all digits regardless of numpy's options for arrays."""
    numpy: Any = sys.modules.get("numpy")
    return numpy is not None and issubclass(kind, (numpy.number, numpy.bool_))


def whole_frame(frame: Any) -> Any:
    """Return a DataFrame whose cells print without abbreviation within `printing_whole`. Raises WrongReturn."""
    copied = None
    for place, dtype in enumerate(frame.dtypes.tolist()):
        if dtype.kind == "O" and dtype.name == "object":
            column = frame.iloc[:, place]
            if not are_plain(column):
                copied = frame.copy() if copied is None else copied
                copied.iloc[:, place] = column.map(whole)
    return frame if copied is None else copied


def printing_whole() -> ContextManager[Any]:
    """Return a context in which numpy prints complete arrays, with all digits unless the script set options."""
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return contextlib.nullcontext()
    options: Dict[str, Any] = {"threshold": sys.maxsize, "linewidth": sys.maxsize}
    found = numpy.get_printoptions()
    if all(found[name] == value for name, value in _NUMPYS_OWN.items()):
        options["floatmode"] = "unique"
    context: ContextManager[Any] = numpy.printoptions(**options)
    return context


def whole(value: Any) -> Any:
    """Return a value that str() does not abbreviate within `printing_whole`. Raises WrongReturn for tables."""
    kind = type(value)
    if isinstance(value, (list, tuple)):
        if _PLAIN.issuperset(map(type, value)):
            return value
        items = [whole(each) for each in value]
        if all(new is old for new, old in zip(items, value)):
            return value
        return kind(*items) if hasattr(value, "_fields") else kind(items)
    if kind is dict:
        return {whole(name): whole(each) for name, each in value.items()}
    if kind.__module__ == "numpy" or kind.__module__.partition(".")[0] not in _LIBRARIES:
        return value
    if _is_table(kind):
        message = "a cell of what run() returned is a {}: return its rows, or to_dict('records') of it, as JSON lines"
        raise WrongReturn(message.format(kind.__name__))
    convert = next((getattr(value, name) for name in _TO_LISTS if hasattr(value, name)), None)
    return value if convert is None else whole(convert())


def _is_table(kind: type) -> bool:
    return hasattr(kind, "columns") and hasattr(kind, "shape") and not issubclass(kind, Mapping)


def _one_line(value: Any) -> str:
    text = str(value)
    is_array = type(value).__module__ == "numpy" and getattr(value, "ndim", 0) > 1
    return text.replace("\n", "") if is_array else text
