"""Names and texts of the generated pages."""

from __future__ import annotations

from docsite import command_line, environment, exit_codes, kinds, metrics, python_api, reasons, rows
from longshore_api.crdgen.definitions import definitions


def pages() -> dict[str, str]:
    """Return the Markdown of each generated page by its path below the reference's folder."""
    found = {
        "kinds/index.md": kinds.overview(definitions()),
        "cli.md": command_line.page(),
        "environment.md": environment.page(),
        "exit-codes.md": exit_codes.page(),
        "metrics.md": metrics.page(),
        "python.md": python_api.page(),
        "reasons.md": reasons.page(),
        "rows.md": rows.page(),
    }
    for definition in definitions().values():
        found[f"kinds/{kinds.file_name(definition)}"] = kinds.page(definition)
    return found
