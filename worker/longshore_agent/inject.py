"""`python -m longshore_agent.inject PACKAGES`: install Longshore's packages for the user's container.

It copies host and protocol to the folder PACKAGES, which is on the PYTHONPATH of the user's container. `--make FOLDER`
creates a folder on a volume, which is mounted into that container separately. `--need PATH` checks that a file or
folder exists, because the kubelet would create it as root. On failure it writes one sentence to stderr and to the
termination log, and exits with 1.

With `--builder`, it copies the program uv and the packages of a builder of environments instead.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence

from longshore_protocol.termination import leave_in_log
from longshore_storage import beneath
from longshore_storage.store import open_store

PACKAGES = ("longshore_host", "longshore_protocol", "longshore_run", "longshore_shims")
BUILDER_PACKAGES = ("longshore_packages", "longshore_protocol")


def inject(folder: str, packages: Sequence[str] = PACKAGES) -> None:
    """Copy packages into the folder, replacing those of an earlier try. Raises OSError."""
    for package in packages:
        spec = importlib.util.find_spec(package)
        assert spec is not None, "the wheel holds it"
        assert spec.origin is not None, "a package with an __init__"
        target = os.path.join(folder, package)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(os.path.dirname(spec.origin), target, ignore=shutil.ignore_patterns("__pycache__"))


def inject_uv(folder: str) -> None:
    """Copy the program uv of this installation into the folder. Raises OSError."""
    shutil.copy(os.path.join(os.path.dirname(sys.executable), "uv"), folder)


def prepare_folders(made: list[str], needed: list[str]) -> None:
    """Create the folders `made` and check that the paths `needed` exist. Raises OSError."""
    for each in needed:
        beneath.status(each)
    for each in made:
        open_store(each).make()


def main() -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="longshore_agent.inject", description=__doc__)
    parser.add_argument("packages")
    parser.add_argument("--make", action="append", default=[])
    parser.add_argument("--builder", action="store_true")
    parser.add_argument("--need", action="append", default=[])
    options = parser.parse_args()
    if "LONGSHORE_UMASK" in os.environ:
        os.umask(int(os.environ["LONGSHORE_UMASK"], 8))
    inject(options.packages, BUILDER_PACKAGES if options.builder else PACKAGES)
    if options.builder:
        inject_uv(options.packages)
    try:
        prepare_folders(options.make, options.need)
    except OSError as error:
        text = f'The folder "{error.filename}" cannot be prepared for the script: {error.strerror}.'
        sys.stderr.write(f"longshore-inject: {text}\n")
        leave_in_log(text)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
