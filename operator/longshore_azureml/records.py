"""What a local workspace remembers: one JSON file per named object, in a folder per kind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

_END = ".json"


class Records(Mapping[str, dict[str, Any]]):
    """The records of one kind by name, in order of name. Each access reads the file, so processes see each other's."""

    def __init__(self, folder: str, kind: str) -> None:
        self._folder = os.path.join(folder, "azureml", kind)

    def __getitem__(self, name: str) -> dict[str, Any]:
        try:
            with open(self._path(name), encoding="utf-8") as file:
                return dict(json.load(file))
        except FileNotFoundError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        names = os.listdir(self._folder) if os.path.isdir(self._folder) else []
        return iter(sorted(unquote(each.removesuffix(_END)) for each in names if each.endswith(_END)))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and os.path.exists(self._path(name))

    def put(self, name: str, record: Mapping[str, Any], *, private: bool = False) -> None:
        """Write a record, readable only by the user if `private`; replace an earlier one. Raises OSError."""
        os.makedirs(self._folder, exist_ok=True)
        unfinished = f"{self._path(name)}.{os.getpid()}"
        mode = 0o600 if private else 0o644
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)
        os.replace(unfinished, self._path(name))

    def remove(self, name: str) -> None:
        """Delete a record. Raises KeyError if there is none."""
        try:
            os.remove(self._path(name))
        except FileNotFoundError:
            raise KeyError(name) from None

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, quote(name, safe=" ") + _END)
