"""The page of the operator's environment variables, from `longshore_operator.settings`."""

from __future__ import annotations

import dataclasses
from typing import Any

from docsite.markdown import attribute_docstrings, code, notice, table
from longshore_operator import settings
from longshore_operator.settings import LowPriority, Settings

_INTRODUCTION = """# Environment variables of the operator

How the operator's behaviour is set. The Helm chart sets each of them from its values, see
[Installing on a cluster](../install.md); you need the names only to run the operator without the chart.

"""


def page() -> str:
    """Return the page's Markdown."""
    texts = attribute_docstrings(settings, "Settings")
    rows = [
        (code(f"LONGSHORE_{each.name.upper()}"), _default(each), texts[each.name])
        for each in dataclasses.fields(Settings)
    ]
    return (
        notice("operator/longshore_operator/settings.py")
        + _INTRODUCTION
        + table(("Variable", "Default", "Meaning"), rows)
        + "\nKubernetes adds the variables and files by which a pod finds the API server; outside of a pod, the "
        "operator reads the kubeconfig as `kubectl` does. "
        "[Connect stores](../how-to/connect-stores.md) has the variables that hold credentials.\n"
    )


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING:
        return "required" if field.default_factory is not LowPriority else code("{}")
    if isinstance(field.default, bool):
        return code(str(field.default).lower())
    return code(str(field.default)) if field.default not in ("", ()) else "empty"
