"""Longshore as users import it. May import what the `longshore` command imports; only the command may import it.

Images of users do not have it: entry scripts import `longshore_run`.
"""

__version__ = "0.1.0"  # of every package of the wheel: the build reads it here
