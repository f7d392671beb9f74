"""`parallel_run_step.settings.json`, in which a script sets arguments of DataFrame.to_csv.

Azure ML reads the file from the folder of the entry script, and so does Longshore:

    {"append_row": {"pandas.DataFrame.to_csv": {"sep": ",", "header": true}}}
"""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Optional

FILE_NAME = "parallel_run_step.settings.json"
_WHERE = ("append_row", "pandas.DataFrame.to_csv")
_FIXED = {  # arguments that would break the output file -> why
    "path_or_buf": "the rows go to the step's output file",
    "lineterminator": "each row ends with one newline",
    "line_terminator": "each row ends with one newline",
    "compression": "the rows of all mini-batches make one plain file",
}


class SettingsError(ValueError):
    """The step or its settings file has output settings that are not supported."""


def read_settings(folder: str) -> Optional[Dict[str, Any]]:
    """Return the arguments for DataFrame.to_csv in the settings file of a folder, None without such a file.

    Other settings in the file are left alone, as Azure ML does. Raises SettingsError, OSError.
    """
    try:
        with open(os.path.join(folder, FILE_NAME), encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise SettingsError("{} is not UTF-8 text: {}".format(FILE_NAME, error)) from error
    try:
        found = json.loads(text)
    except ValueError as error:
        raise SettingsError("{} is not valid JSON: {}".format(FILE_NAME, error)) from error
    arguments = _object(found, "the file")
    for name in _WHERE:
        arguments = _object(arguments.get(name, {}), name)
    _check(arguments)
    return arguments


def _object(value: Any, name: str) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise SettingsError("{}: {} must be a JSON object, not {}".format(FILE_NAME, name, json.dumps(value)[:80]))
    return value


def _check(arguments: Dict[str, Any]) -> None:
    for name, why in _FIXED.items():
        if name in arguments:
            raise SettingsError("{}: {} cannot be set, because {}".format(FILE_NAME, name, why))
    encoding = arguments.get("encoding")
    if encoding is not None and str(encoding).lower().replace("_", "-") not in ("utf-8", "utf8"):
        raise SettingsError("{}: encoding is {!r}; rows are always written as UTF-8".format(FILE_NAME, encoding))
