"""What a script may say of its run: `from longshore_run import Run`.

Standard library only, Python 3.7 and later, and nothing else of Longshore: the package is on the path of the user's
script, whatever its image holds. Outside of a run, metrics are printed and nothing more happens.
"""

from longshore_run.run import Run

__all__ = ["Run"]
