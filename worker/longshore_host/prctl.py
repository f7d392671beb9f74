"""Linux's prctl(); on other systems IS_AVAILABLE is False."""

from __future__ import annotations

import ctypes

PDEATHSIG = 1  # PR_SET_PDEATHSIG
CHILD_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER

_function = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
IS_AVAILABLE = _function is not None


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process; do nothing on systems without the function."""
    if _function is not None:
        _function(option, value, 0, 0, 0)
