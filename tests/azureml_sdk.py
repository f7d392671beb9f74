"""A script for Azure ML's SDK in a folder of its own, with Longshore's names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import longshore.azureml
from longshore_azureml import endpoint_server


@contextmanager
def sdk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the names while the current folder is `folder`; no server and no module is left."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("LONGSHORE_WORKSPACE", raising=False)
    longshore.azureml.install()
    try:
        yield
    finally:
        endpoint_server.stop()
        longshore.azureml.uninstall()


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
