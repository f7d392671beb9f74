"""The dataset of one mini-batch, part of the context of run(): an input restricted to the mini-batch's items."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any, List, Sequence, Tuple, Union

from longshore_run.context import Given
from longshore_shims.absent import Refusing
from longshore_shims.dataset import StepDataset, base_of, is_url


def dataset_of(name: str, locations: Sequence[str], items: Any, *, is_table: bool) -> Union[StepDataset, MiniBatchRows]:
    """Return the dataset of a mini-batch.

    Args:
        name: Name of the input.
        locations: Locations of the input.
        items: The argument of run(): a list of paths, or rows of a table as a DataFrame or a list of dicts.
        is_table: Whether the input is a table.
    """
    return MiniBatchRows(name, items) if is_table else MiniBatchFiles(name, locations, items)


class MiniBatchFiles(StepDataset):
    """The files of a mini-batch in its order, with their paths relative to the input."""

    def __init__(self, name: str, locations: Sequence[str], files: List[str], parts: Tuple[slice, ...] = ()) -> None:
        super().__init__(Given(name, tuple(files)), parts)
        self._locations = locations

    def _restricted(self, part: slice) -> StepDataset:
        return MiniBatchFiles(self.name, self._locations, list(self._given.paths), (*self._parts, part))

    def _all_files(self) -> List[Tuple[str, str]]:
        bases = [base_of(location) for location in self._locations if not is_url(location)]
        named, seen = [], Counter()  # type: ignore[var-annotated]
        for path in self._given.paths:
            below = next((each for each in bases if path.startswith(os.path.join(each, ""))), os.path.dirname(path))
            name = os.path.relpath(path, below)
            seen[name] += 1  # downloaded files have no folders, so their names may be equal
            named.append((name if seen[name] == 1 else "{}/{}".format(seen[name], name), path))
        return named


class MiniBatchRows(Refusing):
    """The rows of a mini-batch."""

    def __init__(self, name: str, rows: Any) -> None:
        self.name = name
        self._rows = rows

    def __repr__(self) -> str:
        return "<{} rows of the input {} of the step>".format(len(self._rows), self.name)

    def take(self, count: int) -> MiniBatchRows:
        """Return the first rows."""
        return MiniBatchRows(self.name, self._rows[:count])

    def skip(self, count: int) -> MiniBatchRows:
        """Return all rows but the first."""
        return MiniBatchRows(self.name, self._rows[count:])

    def to_pandas_dataframe(self, *_: Any, **__: Any) -> Any:
        """Return a copy of the rows as a pandas.DataFrame."""
        if isinstance(self._rows, list):
            import pandas

            return pandas.DataFrame(self._rows)
        return self._rows.reset_index(drop=True)
