"""Calls of uv: its options, its environment variables, and its output without credentials."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from longshore_packages.errors import BuildCancelledError, BuildError, without_credentials
from longshore_protocol.package_set import PackageSet

# On Linux, uv ends with this process, even if that is killed. A function to call after the fork would do the same, but
# is unsafe where other threads run.
_TETHER = """
import os, sys
try:
    import ctypes
    ctypes.CDLL(None).prctl(1, 9)
except (ImportError, OSError, AttributeError):
    pass
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
_POLL = 0.1  # seconds between two questions whether the build is cancelled
HIDDEN = "***"
# Of the caller's variables, uv gets those of the user's network and package index, and none that change what it does.
_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INDEX")
_NETWORK_VARIABLES = (
    "UV_CONCURRENT",
    "UV_CONFIG_FILE",
    "UV_HTTP",
    "UV_INSECURE_HOST",
    "UV_KEYRING",
    "UV_LINK_MODE",
    "UV_NATIVE_TLS",
    "UV_NO_CONFIG",
    "UV_OFFLINE",
    "UV_SYSTEM_CERTS",
)
_FOREIGN = ("LONGSHORE_", "PYTHON", "UV_", "VIRTUAL_ENV", "CONDA_")


@dataclass(frozen=True)
class Done:
    """The end of a call."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Credentials:
    """User and password for the package index."""

    username: str = field(repr=False)
    password: str = field(repr=False)


class Uv:
    """The uv binary with a cache folder and the package indexes of one Environment.

    Attributes:
        indexes: the options that name the package indexes, for commands that use them.
    """

    def __init__(
        self,
        path: str,
        cache: str,
        packages: PackageSet,
        *,
        credentials: Optional[Credentials],
        is_cancelled: Callable[[], bool],
    ) -> None:
        self._path, self._cache = path, cache
        self._is_cancelled = is_cancelled
        # A token may be given as user without a password. Other users are in URLs only, which have lost them.
        self._secret = "" if credentials is None else credentials.password or credentials.username
        indexes = _indexes(packages)
        self.indexes: List[str] = []
        for each in indexes:
            self.indexes += ["--default-index" if each.is_default else "--index", "{}={}".format(each.name, each.url)]
        kept = _NETWORK_VARIABLES if packages.index_url else _NETWORK_VARIABLES + _INDEX_VARIABLES
        self._environment = {
            name: value for name, value in os.environ.items() if name.startswith(kept) or not name.startswith(_FOREIGN)
        }
        if credentials is not None:
            self._environment.update(_credential_variables(indexes, credentials))

    def run(self, arguments: Sequence[str], *, folder: str) -> Done:
        """Run uv to its end; kill it and its children if the build is cancelled or an exception is raised.

        Args:
            arguments: of the command, without those of the cache and the output.
            folder: its working directory, whose parents hold no project that uv would read.

        Raises:
            BuildError: uv cannot be started.
            BuildCancelledError: the caller cancelled the build.
        """
        command = [*_tether(), self._path, *arguments, "--cache-dir", self._cache, "--color", "never", "--no-progress"]
        command += ["--no-python-downloads"]
        try:
            process = subprocess.Popen(
                command,
                env=self._environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # killed as a group, with the compilers that it starts
            )
        except OSError as error:
            raise BuildError("uv cannot be started: {}.".format(error)) from None
        try:
            stdout, stderr = self._wait(process)
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        return Done(process.returncode, self._text(stdout), self._text(stderr))

    def _wait(self, process: subprocess.Popen[bytes]) -> Tuple[bytes, bytes]:
        while True:
            try:
                return process.communicate(timeout=_POLL)
            except subprocess.TimeoutExpired:
                if self._is_cancelled():
                    raise BuildCancelledError from None

    def _text(self, output: bytes) -> str:
        text = without_credentials(output.decode(errors="replace"))
        return text.replace(self._secret, HIDDEN) if self._secret else text


class _Index(NamedTuple):
    name: str
    url: str
    is_default: bool


def _indexes(packages: PackageSet) -> List[_Index]:
    default = [_Index("longshore", packages.index_url, is_default=True)] if packages.index_url else []
    extra = enumerate(packages.extra_index_urls, start=1)
    return default + [_Index("longshore-{}".format(number), url, is_default=False) for number, url in extra]


def _credential_variables(indexes: Sequence[_Index], credentials: Credentials) -> Dict[str, str]:
    """Return the variables of uv with the credentials for the indexes on the host of the default one.

    Without a default index, all indexes get them. Other hosts, such as PyPI's, must not see them.
    """
    has_default = any(each.is_default for each in indexes)
    hosts = {_origin(each.url) for each in indexes if each.is_default or not has_default}
    variables = {}
    for each in indexes:
        if _origin(each.url) in hosts:
            name = each.name.upper().replace("-", "_")
            variables["UV_INDEX_{}_USERNAME".format(name)] = credentials.username
            variables["UV_INDEX_{}_PASSWORD".format(name)] = credentials.password
    return variables


def _tether() -> List[str]:
    """Return the start of a command whose process ends with this one."""
    is_linux = sys.platform == "linux"
    return [sys.executable, "-I", "-S", "-c", _TETHER, str(os.getpid())] if is_linux else []


def _origin(url: str) -> Tuple[str, Optional[str], Optional[int]]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
