"""`python -m longshore`: the `longshore` command."""

from __future__ import annotations

import sys

from longshore_cli.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
