"""What a script gives its run to keep: files below outputs/ and logs/ of a script step's working directory."""

from __future__ import annotations

import os
import shutil
from typing import Any, List, Optional

from longshore_run import context
from longshore_shims.absent import refuse
from longshore_shims.errors import UserErrorException

_KEPT = ("outputs", "logs")


def keep(call: str, name: str, source: Any) -> str:
    """Keep a file, or what a stream holds, by a name, in the place of what has it; return the path.

    A name that is not below outputs/ or logs/ is put below outputs/. Outside of a step, only the name is printed, and
    returned. Raises UserErrorException for a name that leads out of there and for a file that is not there,
    NotInsideAStep for `call` in a ParallelRunStep.
    """
    target = _place(call, name)
    if target is None:
        return name
    if hasattr(source, "read"):
        content = source.read()
        with open(target, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
    elif not os.path.isfile(source):
        raise UserErrorException("{} is no file that could be kept as {}.".format(source, name))
    elif not (os.path.exists(target) and os.path.samefile(source, target)):
        shutil.copyfile(source, target)
    return target


def keep_folder(call: str, name: str, folder: str) -> List[str]:
    """Keep all files of a folder, and return their paths. Raises as `keep` does."""
    if not os.path.isdir(folder):
        raise UserErrorException("{} is no folder that could be kept as {}.".format(folder, name))
    found = [os.path.join(where, each) for where, _, names in os.walk(folder) for each in sorted(names)]
    return [keep(call, "{}/{}".format(name, os.path.relpath(path, folder)), path) for path in found]


def keep_plot(call: str, name: str, plot: Any) -> str:
    """Keep what matplotlib draws, as a PNG. Raises as `keep` does."""
    target = _place(call, name + ".png")
    if target is None:
        return name
    plot.savefig(target, format="png")
    return target


def _place(call: str, name: str) -> Optional[str]:
    step = context.current()
    if step is None:
        print("kept: {}".format(name))  # noqa: T201  (all that there is to do)
        return None
    if not step.artifacts:
        refuse(call)
    path = os.path.normpath(name)
    if os.path.isabs(path) or path.split(os.sep)[0] in (os.pardir, os.curdir):
        raise UserErrorException("{!r} is no name below outputs or logs.".format(name))
    if path.split(os.sep)[0] not in _KEPT:
        path = os.path.join("outputs", path)
    target = os.path.join(step.artifacts, path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    return target
