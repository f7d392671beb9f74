"""`python -m longshore_cli.tethered PARENT MODULE`: run a module in a process that ends with its parent.

PARENT is the argument of a `parent_death.Link`. However a local run ends, kill -9 included, it leaves no agent behind.
"""

from __future__ import annotations

import runpy
import sys

from longshore_host import parent_death


def main() -> None:
    """Link this process to its parent and run the module."""
    parent_death.end_with_parent(sys.argv[1])
    runpy.run_module(sys.argv[2], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
