"""Environments with packages for local runs: from the cache, or built for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from longshore_api.errors import InvalidDocuments, Problem, listed
from longshore_api.values import parse_size
from longshore_cli.interpreter import interpreter
from longshore_cli.package_cache import PackageCache, default_folder
from longshore_packages import BuildCancelledError, Builder, BuildError, Credentials, inspect
from longshore_protocol.package_set import PackageSet

_SIZE = "20GB"  # bound of the cache
_FIND_TIMEOUT = 60.0  # seconds for uv to look for interpreters


@contextmanager
def prepared(
    packages: PackageSet,
    python: str | None,
    *,
    report: Callable[[str], None],
    is_cancelled: Callable[[], bool],
) -> Iterator[str]:
    """Yield the path of the interpreter of an environment, which stays during the body.

    Args:
        packages: of the Environment.
        python: interpreter that the Environment names, whose own packages stay visible; None for any that the packages
            accept, preferably the one that runs Longshore.
        report: is called with each activity if the environment has to be built.
        is_cancelled: is asked several times a second.

    Raises:
        BuildError: the environment cannot be built.
        BuildCancelledError: `is_cancelled` returned True.
        InvalidDocuments: there is no such interpreter, or a variable of the cache is invalid.
    """
    cache = PackageCache(default_folder(), _max_bytes())
    uv = find_uv()
    base = inspect(interpreter(python) if python else _choose(packages, uv, cache.uv_cache))
    builder = Builder(
        packages,
        uv=uv,
        cache=str(cache.uv_cache),
        credentials=_credentials(packages),
        report=report,
        is_cancelled=is_cancelled,
    )

    def wait() -> None:
        if is_cancelled():
            raise BuildCancelledError
        report("waiting for another run that builds the same environment")

    with ExitStack() as stack:
        environment = cache.environment(builder, packages.digest, base, layered=python is not None, wait=wait)
        try:
            folder = stack.enter_context(environment)
        except OSError as error:
            text = f"The cache {cache.folder} cannot be used: {error}; set LONGSHORE_CACHE to another folder."
            raise BuildError(text) from None
        yield str(folder / "bin" / "python")


def find_uv() -> str:
    """Return the path of the uv binary. Raises BuildError."""
    from uv import find_uv_bin  # late: few runs build environments

    try:
        return find_uv_bin()
    except FileNotFoundError:
        raise BuildError("uv, which installs packages, is missing; install it with: pip install uv") from None


def _choose(packages: PackageSet, uv: str, cache: Path) -> str:
    """Return an interpreter of the machine that the packages accept. Raises BuildError."""
    if packages.accepts("{}.{}".format(*sys.version_info)):
        return sys.executable
    for version in reversed(packages.pythons):
        found = _ask_uv(uv, cache, "find", "--system", version)
        if found:
            return found[0]
    listing = _ask_uv(uv, cache, "list", "--only-installed")
    versions = [line.split()[0].split("-")[1] for line in listing if line.count("-") > 1]
    known = listed(dict.fromkeys([*versions, "{}.{}.{}".format(*sys.version_info)]))
    wanted = listed(packages.pythons, last="or")
    raise BuildError(
        f"The Environment requires Python {wanted}, and this machine has {known}; install it, for example with: "
        f"uv python install {packages.pythons[-1]}"
    )


def _ask_uv(uv: str, cache: Path, *arguments: str) -> list[str]:
    """Return the lines that `uv python` prints; none if it fails."""
    command = [uv, "python", *arguments, "--no-python-downloads", "--offline", "--cache-dir", str(cache)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "VIRTUAL_ENV"))}
    try:
        done = subprocess.run(
            command, env=environment, cwd="/", capture_output=True, text=True, timeout=_FIND_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []


def _credentials(packages: PackageSet) -> Credentials | None:
    """Return the credentials of the package index from the user's environment, if the Environment asks for some."""
    username = os.environ.get("LONGSHORE_INDEX_USERNAME", "")
    password = os.environ.get("LONGSHORE_INDEX_PASSWORD", "")
    return Credentials(username, password) if packages.secret and (username or password) else None


def _max_bytes() -> int:
    text = os.environ.get("LONGSHORE_CACHE_SIZE") or _SIZE
    try:
        return parse_size(text)[0]
    except ValueError as error:
        raise InvalidDocuments([Problem("LONGSHORE_CACHE_SIZE", "", f"is {text!r}: it {error}")]) from None
