"""`python -m longshore_packages PACKAGES TARGET --uv UV --cache FOLDER`: install packages in the pod of a builder.

They are installed for the interpreter that runs this. PACKAGES is a file with a `PackageSet`, TARGET the folder of the
new environment. With `--unless FILE`, nothing is done if the file exists. The credentials of the package index are in
LONGSHORE_INDEX_USERNAME and LONGSHORE_INDEX_PASSWORD. A failure is left as last words, with the exit code 1, or 75 if
the same build may succeed later.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys

from longshore_packages import Builder, BuildError, Credentials, inspect
from longshore_protocol.package_set import PackageSet
from longshore_protocol.termination import cut, leave

_FAILED, _TRANSIENT = 1, 75  # exit codes; the second is EX_TEMPFAIL of sysexits.h
# Files of bytecode are never compared with their sources: an archive keeps no times, and scripts cannot change either.
_BYTECODE = {"PYC_INVALIDATION_MODE": "UNCHECKED_HASH"}


def main() -> int:
    """Run the command; return its exit code."""
    # The kernel drops signals without a handler for the first process of a container.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(_TRANSIENT))
    options = _options()
    if "LONGSHORE_UMASK" in os.environ:
        os.umask(int(os.environ["LONGSHORE_UMASK"], 8))
    if os.path.exists(options.unless):
        _log("the environment was built before")
        return 0
    os.environ.update(_BYTECODE)
    with open(options.packages, encoding="utf-8") as file:
        packages = PackageSet.from_json(file.read())
    builder = Builder(packages, uv=options.uv, cache=options.cache, credentials=_credentials(), report=_log)
    try:
        interpreter = inspect(sys.executable)
        builder.install(builder.lock(interpreter), interpreter, options.target, layered=True)
    except BuildError as error:
        _log(str(error))
        leave(options.last_words, cut(str(error)))
        return _TRANSIENT if error.is_transient else _FAILED
    return 0


def _credentials() -> Credentials | None:
    username, password = (os.environ.get("LONGSHORE_INDEX_" + name, "") for name in ("USERNAME", "PASSWORD"))
    return Credentials(username, password) if username or password else None


def _log(text: str) -> None:
    sys.stderr.write(f"longshore-packages: {text}\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="longshore_packages", description=__doc__)
    parser.add_argument("packages")
    parser.add_argument("target")
    parser.add_argument("--uv", required=True, help="path of the uv binary")
    parser.add_argument("--cache", required=True, help="folder of uv's cache")
    parser.add_argument("--unless", default="", help="a file that shows that there is nothing to do")
    parser.add_argument("--last-words", help="the container's termination log")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
