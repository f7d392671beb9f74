"""`python -m longshore_cli.tethered PARENT MODULE`: run a module that is to end with the process PARENT.

However a local run ends, kill -9 included, it leaves no agent behind.
"""

from __future__ import annotations

import runpy
import sys

from longshore_host.linux import die_with_parent


def main() -> None:
    """Tie this process to its parent and become the module."""
    die_with_parent(int(sys.argv[1]))
    runpy.run_module(sys.argv[2], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
