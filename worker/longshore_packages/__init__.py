"""Virtual environments with the packages of an Environment, built by uv.

Used by `longshore run`, which keeps the environments in a cache, and by builder pods, which run it with the user's
interpreter. Standard library only, Python 3.7 and later; the one program it starts is uv, whose path it is given.

    builder = Builder(packages, uv="/tools/uv", cache="/scratch/uv")
    interpreter = inspect("python3")                    # what packages are resolved for
    lock = builder.lock(interpreter)                    # exact versions with hashes
    builder.install(lock, interpreter, "/environment")  # the folder exists only once it is complete

Every failure is a `BuildError`, whose message is for the user and which knows whether a retry may succeed. `report`
receives the current activity; `is_cancelled` is asked a few times a second and ends the build, as does an exception.
Nothing here reads or writes credentials except into the environment of uv, and no message contains them.
"""

from longshore_packages.builder import Builder
from longshore_packages.errors import BuildCancelledError, BuildError
from longshore_packages.interpreters import Interpreter, inspect
from longshore_packages.uv import Credentials

__all__ = ["BuildCancelledError", "BuildError", "Builder", "Credentials", "Interpreter", "inspect"]
