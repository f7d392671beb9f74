"""The page of exit codes, from `longshore_cli.exit_codes`."""

from __future__ import annotations

from docsite.markdown import attribute_docstrings, code, notice, table
from longshore_cli import exit_codes


def page() -> str:
    """Return the page's Markdown."""
    texts = attribute_docstrings(exit_codes)
    codes = sorted((value, name) for name, value in vars(exit_codes).items() if name.isupper())
    rows = [(code(str(value)), texts[name]) for value, name in codes]
    return (
        notice("operator/longshore_cli/exit_codes.py")
        + "# Exit codes\n\nWhat a script or a CI job learns from the exit code of `longshore`.\n\n"
        + table(("Code", "Meaning"), rows)
    )
