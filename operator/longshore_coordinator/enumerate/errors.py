"""Why no plan can be made of a job's inputs.

InputError             an input that cannot be listed or read
└── EmptyInputError    an input without any file
"""

from __future__ import annotations

from longshore_storage.errors import ShownError


class InputError(ShownError):
    """An input that cannot be cut into mini-batches; its text is one sentence that names the input."""


class EmptyInputError(InputError):
    """None of an input's paths leads to a file."""
