"""Read the file that an agent wrote for a slice of a query into a DataFrame with the types of the database."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, Dict, List, Set

from longshore_host.columns import inferred

if TYPE_CHECKING:
    import pandas


def read(path: str, types: Dict[str, str]) -> pandas.DataFrame:
    """Return the rows; columns of the declared `types` stay objects, which the caller converts.

    Integers beside NULLs become floats, as usual in pandas, unless that changes one of them. Decimals, dates and times
    of day stay Python objects. The second of two columns of one name is called "name.1".

    Raises:
        OSError: The file cannot be read.
        pickle.UnpicklingError: The file is damaged.
    """
    import pandas

    rows: List[Any] = []
    with open(path, "rb") as file:
        names = _unique(pickle.load(file))  # noqa: S301  (the agent wrote it, of plain values)
        while True:
            try:
                rows += pickle.load(file)  # noqa: S301
            except EOFError:
                break
    frame = pandas.DataFrame(rows, columns=names, dtype=object)
    for name in names:
        if name not in types:
            frame[name] = inferred(frame[name])
    return frame


def _unique(names: List[str]) -> List[str]:
    used: Set[str] = set()
    for index, name in enumerate(names):
        number, unique = 0, name
        while unique in used or (number and unique in names):
            number += 1
            unique = "{}.{}".format(name, number)
        used.add(unique)
        names[index] = unique
    return names
