"""Versions of Python that an Environment accepts."""

from __future__ import annotations

from packaging.specifiers import SpecifierSet
from packaging.version import Version

# Longshore's host runs on 3.7 and later; releases that do not exist yet cost nothing.
_MINORS = range(7, 31)
_MICROS = range(31)


class PythonError(ValueError):
    """No supported version of Python is accepted."""


def accepted(specifiers: str) -> tuple[str, ...]:
    """Return the minor versions of Python, such as "3.10", that satisfy specifiers; all for "", as an empty tuple.

    Raises:
        PythonError: none does.
    """
    if not specifiers:
        return ()
    asked = SpecifierSet(specifiers)
    found = tuple(
        f"3.{minor}" for minor in _MINORS if any(asked.contains(Version(f"3.{minor}.{micro}")) for micro in _MICROS)
    )
    if not found:
        raise PythonError("asks for a version of Python that Longshore does not run; it runs 3.7 and later")
    return found
