"""Artifacts of a run: files below outputs/ and logs/ of a script step's working directory."""

from __future__ import annotations

import os
import shutil
from typing import Any, List, Optional

from longshore_run import context
from longshore_shims.absent import refuse
from longshore_shims.errors import UserErrorException

_KEPT = ("outputs", "logs")


def keep(call: str, name: str, source: Any) -> str:
    """Copy a file or the contents of a stream to an artifact, replacing it; return its path.

    Outside of a step, this only prints and returns the name.

    Args:
        call: The Azure ML method, for messages.
        name: The artifact's path, relative to outputs/ unless it begins with outputs/ or logs/.
        source: The path of a file, or a readable stream.

    Raises:
        UserErrorException: The name leads out of the artifacts, or the file does not exist.
        NotInsideAStep: The process is part of a ParallelRunStep, which has no artifacts.
    """
    target = _artifact_path(call, name)
    if target is None:
        return name
    if hasattr(source, "read"):
        content = source.read()
        with open(target, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
    elif not os.path.isfile(source):
        raise UserErrorException("{} is not a file, so it cannot be kept as {}.".format(source, name))
    elif not (os.path.exists(target) and os.path.samefile(source, target)):
        shutil.copyfile(source, target)
    return target


def keep_folder(call: str, name: str, folder: str) -> List[str]:
    """Copy all files of a folder to artifacts; return their paths. Raises the exceptions of `keep`."""
    if not os.path.isdir(folder):
        raise UserErrorException("{} is not a folder, so it cannot be kept as {}.".format(folder, name))
    found = [os.path.join(where, each) for where, _, names in os.walk(folder) for each in sorted(names)]
    return [keep(call, "{}/{}".format(name, os.path.relpath(path, folder)), path) for path in found]


def keep_plot(call: str, name: str, plot: Any) -> str:
    """Save a matplotlib figure as a PNG artifact; return its path. Raises the exceptions of `keep`."""
    target = _artifact_path(call, name + ".png")
    if target is None:
        return name
    plot.savefig(target, format="png")
    return target


def artifact(path: str) -> str:
    """Return the path of an artifact of a script step, if it exists; otherwise the given path."""
    step = context.current()
    if step is None or not step.artifacts:
        return path
    found = (os.path.join(step.artifacts, each) for each in (path, os.path.join("outputs", path)))
    return next(filter(os.path.exists, found), path)


def _artifact_path(call: str, name: str) -> Optional[str]:
    step = context.current()
    if step is None:
        print("kept: {}".format(name))  # noqa: T201  (the only effect outside of a step)
        return None
    if not step.artifacts:
        refuse(call)
    path = os.path.normpath(name)
    if os.path.isabs(path) or path.split(os.sep)[0] in (os.pardir, os.curdir):
        raise UserErrorException("{!r} is not a path below outputs or logs.".format(name))
    if path.split(os.sep)[0] not in _KEPT:
        path = os.path.join("outputs", path)
    target = os.path.join(step.artifacts, path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    return target
