"""The page of the operator's environment variables, from `longshore_operator.settings`."""

from __future__ import annotations

import dataclasses
from typing import Any

from docsite.markdown import attribute_docstrings, code, notice, table
from longshore_operator import settings
from longshore_operator.settings import LowPriority, Settings

_INTRODUCTION = """# Environment variables

What Longshore reads from the environment. [Variables that scripts see](script-variables.md) have a page of their own.
[Connect stores](../how-to/connect-stores.md) has those that hold credentials, and [Data](../data.md) those for
databases.

## The operator

The Helm chart sets each of them from its values, see
[Installing on a cluster](../install.md); you need the names only to run the operator without the chart.

"""

OF_THE_COMMAND = {
    "LONGSHORE_CACHE": "Folder of environments with packages; else `longshore` in the platform's folder for caches.",
    "LONGSHORE_CACHE_SIZE": "Bound of that folder, such as `50GB`; else `20GB`.",
    "LONGSHORE_INDEX_USERNAME": "User for the package index of an Environment with `packages.secretRef`.",
    "LONGSHORE_INDEX_PASSWORD": "Its password. Scripts see neither.",
    "LONGSHORE_WORKSPACE": "Folder with the workspace of scripts for Azure ML's SDK; else the current one.",
    "NO_COLOR": "Any value switches colours off.",
    "XDG_CACHE_HOME": "On Linux, parent of the cache; else `~/.cache`.",
    "XDG_RUNTIME_DIR": "Parent of the folder with the sockets of a local run; else `/tmp`, `/var/tmp` or `/dev/shm`.",
    "GLIBC_TUNABLES": "Takes precedence over the limits of freed memory that processes which read tables set.",
    "MALLOC_MMAP_THRESHOLD_": "The same.",
    "MALLOC_TRIM_THRESHOLD_": "The same.",
}
INTERNAL = {
    "LONGSHORE_CA": "File with the certificate of the run's own authority.",
    "LONGSHORE_CONTEXT": "File with what a script may know of its step: names and locations.",
    "LONGSHORE_COORDINATOR": "URL of the run's coordinator.",
    "LONGSHORE_ECHO": "Present where a script's output also goes to the container's log.",
    "LONGSHORE_METRICS": "File that the metrics of a script step are appended to.",
    "LONGSHORE_PROCESS": "Name of a process, such as `process000`. What a script starts inherits it, and ends with it.",
    "LONGSHORE_REGISTRATIONS": "Folder that a script step or `shutdown()` records Models and Datasets in.",
    "LONGSHORE_SOCKET": "Path of the agent's unix socket.",
    "LONGSHORE_SPACE": "Bytes that an agent may use for staged inputs at most.",
    "LONGSHORE_STAGE_DIR": "Folder for staged inputs, which processes can only read.",
    "LONGSHORE_TOKEN": "The run's token. No process of users has it.",
    "LONGSHORE_UMASK": "Umask of agent, host and processes, in octal digits.",
    "LONGSHORE_VOLUMES": "Folders of Datastores on mounted volumes, which no link leads out of.",
    "LONGSHORE_WORK_DIR": "Parent of the private folders of processes.",
    "LONGSHORE_WORKER": "Name of the worker.",
}


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
        + "\n## The `longshore` command\n\n"
        + table(("Variable", "Meaning"), [(code(name), text) for name, text in OF_THE_COMMAND.items()])
        + "\n## Pods and processes\n\nThe operator and the command set these for the processes of a run. They are "
        "internal: set none of them yourself.\n\n"
        + table(("Variable", "Meaning"), [(code(name), text) for name, text in INTERNAL.items()])
    )


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING:
        return "required" if field.default_factory is not LowPriority else code("{}")
    if isinstance(field.default, bool):
        return code(str(field.default).lower())
    return code(str(field.default)) if field.default not in ("", ()) else "empty"
