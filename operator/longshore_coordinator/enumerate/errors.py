"""Errors of enumeration.

InputError             an input that cannot be listed or read
└── EmptyInputError    an input without any file
"""

from __future__ import annotations

from longshore_storage.errors import ShownError


class InputError(ShownError):
    """An input cannot be cut into mini-batches; the message is a sentence that names the input."""


class EmptyInputError(InputError):
    """An input has no files or no rows."""
