"""The switch: a module finder, first in order, for Azure ML's packages.

The finder creates each module from the table in `catalogue`, whose names are looked up when they are first used. It
precedes installed packages; without it, or after `uninstall()`, an import gets those.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from longshore_azureml.catalogue import MODULES, find

PACKAGE = "azureml"


class FirstFinder(MetaPathFinder, Loader):
    """Finds and creates the modules of the table; raises ModuleNotFoundError for others of the package."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of the table, None for other packages."""
        if fullname.partition(".")[0] != PACKAGE:
            return None
        if fullname not in MODULES:
            known = ", ".join(sorted(each for each in MODULES if "._" not in each))
            raise ModuleNotFoundError(
                f'Module "{fullname}" is not supported by Longshore; supported are: {known}.', name=fullname
            )
        return ModuleSpec(fullname, self, origin="longshore", is_package=True)

    def create_module(self, spec: ModuleSpec) -> None:
        """Return None: Python creates the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Add the names of the table to a new module."""
        module.__doc__ = "Longshore's counterpart of the module of this name."
        module.__dict__["__all__"] = sorted(MODULES[module.__name__])
        module.__dict__["__getattr__"] = _getter(module)
        module.__dict__["__dir__"] = lambda: sorted({*vars(module), *MODULES[module.__name__]})


def _getter(module: ModuleType) -> Callable[[str], Any]:
    def get(name: str) -> Any:
        value = find(module.__name__, name)
        setattr(module, name, value)
        return value

    return get


def is_installed() -> bool:
    """Return whether imports of Azure ML's packages get those of Longshore."""
    return any(isinstance(each, FirstFinder) for each in sys.meta_path)


def install() -> None:
    """Make imports of Azure ML's packages get those of Longshore, even if others are installed.

    Raises:
        RuntimeError: A module of installed packages was imported before, so that both would be in use.
    """
    if is_installed():
        return
    loaded = [each for each in _loaded() if _is_of_a_distribution(sys.modules[each])]
    if loaded:
        raise RuntimeError(
            f"{loaded[0]} has been imported already, from {sys.modules[loaded[0]].__file__}; call "
            "longshore.azureml.install() before the first import of azureml, or restart the interpreter or kernel."
        )
    _forget()
    sys.meta_path.insert(0, FirstFinder())


def uninstall() -> None:
    """Make later imports get the installed packages again."""
    sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, FirstFinder)]
    _forget()


def _loaded() -> list[str]:
    return [each for each in sys.modules if each.partition(".")[0] == PACKAGE]


def _is_of_a_distribution(module: ModuleType) -> bool:
    """Return whether a module has code of its own: a namespace package, which .pth files import, has none."""
    origin = getattr(module, "__file__", None)
    return origin is not None and "longshore_shims" not in origin and module.__name__ != PACKAGE


def _forget() -> None:
    for name in _loaded():
        del sys.modules[name]
