"""Copies a script's source folder out of the host's own image, which nobody else can see."""

from __future__ import annotations

import os
import shutil
import stat

_NO_SOURCE = (".git", "__pycache__")
_ALL = stat.S_IRWXU | stat.S_IRWXG


def copy_source(source: str, target: str) -> None:
    """Copy the folder `source` to `target`, in the place of what is there; links stay links.

    The copy may be written to by user and group, whatever the image allows. Raises OSError, ValueError.
    """
    source, target = os.path.realpath(source), os.path.realpath(target)
    if not os.path.isdir(source):
        raise ValueError("there is no such folder")
    if (target + os.sep).startswith(source.rstrip(os.sep) + os.sep):
        raise ValueError("the copy would lie in it")
    shutil.rmtree(target, ignore_errors=True)
    try:
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns(*_NO_SOURCE))
    except shutil.Error as error:  # a list of all that failed
        path, _, why = error.args[0][0]
        raise ValueError("{}: {}".format(path, why)) from error
    for folder, _, names in os.walk(target):
        os.chmod(folder, _ALL)
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                mode = stat.S_IMODE(os.stat(path).st_mode) | stat.S_IRUSR | stat.S_IWUSR
                os.chmod(path, mode | (mode & stat.S_IRWXU) >> 3)  # the group may what the user may
