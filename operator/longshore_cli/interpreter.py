"""What is looked at on this machine before a script is started: its interpreter, and the script itself."""

from __future__ import annotations

import shutil
import symtable
import sys
from pathlib import Path

from longshore_api.errors import InvalidDocuments, Problem

_CALLED = ({"run"}, {"enqueue", "get_finished_batch_result"})  # what a script must define, one or the other


def interpreter(python: str | None) -> str:
    """Return the interpreter for a script. Raises InvalidDocuments when it is not on this machine."""
    if python is None:
        return sys.executable
    found = shutil.which(python)
    if found is None:
        rule = "there is no such interpreter on this machine"
        raise InvalidDocuments([Problem("Environment", "spec.python", f"is {python!r}: {rule}")])
    return found


def entry_script_fault(folder: str, script: str) -> str | None:
    """Return the rule that an entry script breaks: it must be there and define run(). None if all is well."""
    path = Path(folder) / script
    try:
        text = path.read_text(encoding="utf-8")
        table = symtable.symtable(text, str(path), "exec")
    except OSError as error:
        return f"there is no such file in the source folder {folder} ({error.strerror})"
    except (SyntaxError, ValueError):
        return None  # perhaps the script's interpreter knows more than ours: let it say what is wrong
    names = set(table.get_identifiers())
    if not any(each <= names for each in _CALLED) and "import *" not in text:
        return "it must define run(mini_batch)"
    return None
