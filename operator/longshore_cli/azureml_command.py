"""`longshore azureml`: run a script or notebook written for Azure ML's SDK v1."""

from __future__ import annotations

import argparse
import json
import os
import runpy
import sys
import traceback
from pathlib import Path
from typing import Any

from longshore_cli.exit_codes import BAD_INPUT, FAILED, SUCCEEDED
from longshore_cli.terminal import print_error


def azureml_command(options: argparse.Namespace) -> int:
    """Run the file with Azure ML's names of Longshore; return the exit code."""
    from longshore.azureml import install

    file: Path = options.file
    if not file.is_file():
        print_error(f"{file} is no file; pass a Python script or a notebook")
        return BAD_INPUT
    install()
    sys.argv = [str(file), *options.arguments]
    sys.path.insert(0, str(file.absolute().parent))
    if file.suffix == ".ipynb":
        return _run_notebook(file)
    try:
        runpy.run_path(str(file), run_name="__main__")
    except Exception:  # noqa: BLE001  (of the user's script: Python would print its traceback, too)
        traceback.print_exc()
        return FAILED
    return SUCCEEDED


def _run_notebook(file: Path) -> int:
    """Run the code cells in the notebook's folder, as a kernel would; stop at the first error."""
    try:
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config
    except ImportError:
        print_error("a notebook needs IPython: pip install 'longshore[notebook]'")
        return BAD_INPUT
    try:
        notebook: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        cells = [each["source"] for each in notebook["cells"] if each["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        print_error(f"{file} cannot be read as a notebook: {error}")
        return BAD_INPUT
    os.chdir(file.absolute().parent)
    config = Config()
    config.HistoryManager.enabled = False  # the user's own history is none of the notebook's
    shell: Any = InteractiveShell.instance(config=config)
    for source in cells:
        text = source if isinstance(source, str) else "".join(source)
        if not shell.run_cell(text, store_history=True).success:  # which prints the traceback
            return FAILED
    return SUCCEEDED
