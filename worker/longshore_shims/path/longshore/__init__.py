"""What a script's image has of `longshore` if the distribution is not installed there: the run of its step.

from longshore import Run

run = Run.get_context()
run.log("accuracy", 0.98)
"""

from __future__ import annotations

from typing import NoReturn

from longshore_run import Run

__all__ = ["Run"]


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        "module 'longshore' has no attribute {!r} here: inside a step it has only Run; "
        "install longshore in the step's image for everything else".format(name)
    )
