"""Import optional packages; errors name the missing package and the extra of Longshore that installs it."""

from __future__ import annotations

import importlib


class MissingPackageError(ImportError):
    """An optional package cannot be imported; the message is a sentence without a full stop."""


def require(package: str, *, extra: str, subject: str) -> None:
    """Import an optional package of a Longshore extra; `subject` is what needs it and begins the message.

    Raises:
        MissingPackageError: The package, or something that it imports, cannot be imported.
    """
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise MissingPackageError(missing(package, extra=extra, subject=subject, cause=error)) from error


def missing(package: str, *, extra: str, subject: str, cause: ImportError | None = None) -> str:
    """Return the message for a missing package; `cause` is included if the package is installed but fails to import."""
    root = package.split(".", 1)[0]
    is_absent = cause is None or (isinstance(cause, ModuleNotFoundError) and cause.name == root)
    broken = "" if is_absent else ", which cannot be imported ({})".format(" ".join(str(cause).split()))
    return "{} needs the package {}{}; install it with: pip install 'longshore[{}]'".format(
        subject, root, broken, extra
    )
