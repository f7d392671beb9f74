"""Checks of a script and its interpreter on this machine, before anything is started."""

from __future__ import annotations

import shutil
import symtable
import sys
from pathlib import Path

from longshore_api.errors import InvalidDocuments, Problem

_REQUIRED_NAMES = ({"run"}, {"enqueue", "get_finished_batch_result"})  # a script must define one of these sets


def interpreter(python: str | None) -> str:
    """Return the path of the interpreter for a script. Raises InvalidDocuments if it is not on this machine."""
    if python is None:
        return sys.executable
    found = shutil.which(python)
    if found is None:
        rule = "no such interpreter on this machine; install it or give another path"
        raise InvalidDocuments([Problem("Environment", "spec.python", f"is {python!r}: {rule}")])
    return found


def entry_script_fault(folder: str, script: str) -> str | None:
    """Return the rule that an entry script breaks (the file must exist and define run()), or None if it is valid."""
    path = Path(folder) / script
    try:
        text = path.read_text(encoding="utf-8")
        table = symtable.symtable(text, str(path), "exec")
    except OSError as error:
        return f"there is no such file in the source folder {folder} ({error.strerror})"
    except (SyntaxError, ValueError):
        return None  # the script's interpreter may accept newer syntax than ours; if not, it reports the error
    names = set(table.get_identifiers())
    if not any(each <= names for each in _REQUIRED_NAMES) and "import *" not in text:
        return "it must define run(mini_batch)"
    return None
