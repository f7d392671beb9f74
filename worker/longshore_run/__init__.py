"""The API for scripts to log metrics of their run: `from longshore_run import Run`.

Standard library only, Python 3.7 and later, without other packages of Longshore: it is on the path of the user's script
in any image. Outside of a run, metrics are only printed.
"""

from longshore_run.run import Run

__all__ = ["Run"]
