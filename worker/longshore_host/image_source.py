"""Copy a script's source folder out of the host's image, which only the host can read."""

from __future__ import annotations

import os
import shutil
import stat

_NO_SOURCE = (".git", "__pycache__")
_ALL = stat.S_IRWXU | stat.S_IRWXG


def copy_source(source: str, target: str) -> None:
    """Replace `target` by a copy of the folder `source`; links stay links.

    User and group may write to the copy, whatever the modes in the image are. Raises OSError, ValueError.
    """
    source, target = os.path.realpath(source), os.path.realpath(target)
    if not os.path.isdir(source):
        raise ValueError("there is no such folder")
    if (target + os.sep).startswith(source.rstrip(os.sep) + os.sep):
        raise ValueError("the copy would be inside of it")
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
                os.chmod(path, mode | (mode & stat.S_IRWXU) >> 3)  # the group gets the user's permissions
