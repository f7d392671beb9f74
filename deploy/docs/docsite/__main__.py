"""`python -m docsite FOLDER` makes the documentation's pages there: those of docs/, further ones, generated ones."""

from __future__ import annotations

import sys
from pathlib import Path

from docsite.assemble import assemble

if __name__ == "__main__":
    assemble(Path(), Path(sys.argv[1]))
