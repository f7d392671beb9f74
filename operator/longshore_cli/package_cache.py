"""Cache of environments with packages, shared by all runs on a machine.

environments/KEY                  a complete environment; KEY is the digest of its lock and interpreter
environments/KEY.partial-*        an environment that is being built or removed
environments/KEY.used             locked while runs use the environment; its time is that of the last use
environments/KEY.building         locked while the environment is built
locks/KEY                         the lock of a set of packages; KEY is the digest of the set and the interpreter
locks/KEY.building                locked while the set is resolved
uv/, uv.used                      uv's cache of downloads, and its lock
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from longshore_cli.file_locks import locked, locked_if_free
from longshore_packages import Builder, Interpreter

_PARTIAL = ".partial-"
_LOCK_DAYS = 30  # after which a lock that no run has used is removed


@dataclass(frozen=True)
class PackageCache:
    """The cache in `folder`, which is created when needed and bounded to `max_bytes` after each build."""

    folder: Path
    max_bytes: int

    @property
    def uv_cache(self) -> Path:
        """Folder of uv's own cache."""
        return self.folder / "uv"

    @contextmanager
    def environment(
        self,
        builder: Builder,
        digest: str,
        interpreter: Interpreter,
        *,
        layered: bool,
        wait: Callable[[], None],
    ) -> Iterator[Path]:
        """Yield the folder of an environment, which is built unless it is there; it stays during the body.

        Args:
            builder: of the set of packages.
            digest: of the set of packages.
            interpreter: that the environment is for.
            layered: add the packages of the interpreter.
            wait: is called several times a second while another run builds the same; may raise.

        Raises:
            BuildError, BuildCancelledError: as the builder does.
            OSError: the cache cannot be written.
        """
        for each in ("environments", "locks", "uv"):
            (self.folder / each).mkdir(parents=True, exist_ok=True)
        lock = self._lock(builder, digest, interpreter, wait=wait)
        parts = [lock, interpreter.digest(layered=layered)]
        target = self.folder / "environments" / _digest(*parts)
        with locked(_beside(target, "used"), shared=True, wait=wait):
            if not _is_complete(target):
                self._build(builder, lock, interpreter, target, layered=layered, wait=wait)
            os.utime(_beside(target, "used"))
            yield target

    def _lock(self, builder: Builder, digest: str, interpreter: Interpreter, *, wait: Callable[[], None]) -> str:
        """Return the lock of a set of packages, which is resolved unless it is there."""
        path = self.folder / "locks" / _digest(digest, interpreter.digest(layered=False))
        with suppress(FileNotFoundError):
            os.utime(path)
            return path.read_text(encoding="utf-8")
        with locked(_beside(path, "building"), wait=wait):
            with suppress(FileNotFoundError):
                return path.read_text(encoding="utf-8")
            with locked(self.folder / "uv.used", shared=True, wait=wait):
                lock = builder.lock(interpreter)
            unfinished = _partial(path)
            unfinished.write_text(lock, encoding="utf-8")
            unfinished.rename(path)
            return lock

    def _build(
        self,
        builder: Builder,
        lock: str,
        interpreter: Interpreter,
        target: Path,
        *,
        layered: bool,
        wait: Callable[[], None],
    ) -> None:
        with locked(_beside(target, "building"), wait=wait):
            if _is_complete(target):
                return
            self._remove_partial(target)
            if target.exists():  # its interpreter has been removed from the machine
                _remove(target)
            with locked(self.folder / "uv.used", shared=True, wait=wait):
                builder.install(lock, interpreter, str(target), layered=layered)
        self.trim()

    def trim(self) -> None:
        """Remove what killed builds left, then the least recently used until the cache is within its bound.

        Environments in use stay. Does nothing while another run does the same.
        """
        with locked_if_free(self.folder / "trim.used") as is_free:
            if is_free:
                self._trim()

    def _trim(self) -> None:
        environments = self.folder / "environments"
        names = {each.name.partition(".")[0] for each in environments.iterdir()}
        for name in names:
            with locked_if_free(environments / f"{name}.building") as is_free:
                if is_free:
                    self._remove_partial(environments / name)
                    _beside(environments / name, "building").unlink()
        oldest = time.time() - _LOCK_DAYS * 86_400
        for path in (self.folder / "locks").iterdir():
            if path.stat().st_mtime < oldest:
                path.unlink()
        self._evict([environments / name for name in names])

    def _evict(self, paths: Sequence[Path]) -> None:
        """Remove uv's cache, then the least recently used environments, until the bound is met."""
        sizes = _Sizes()
        for each in (self.uv_cache, *paths):
            sizes.add(each)
        if sizes.total > self.max_bytes:
            with locked_if_free(self.folder / "uv.used") as is_free:
                if is_free:
                    shutil.rmtree(self.uv_cache, ignore_errors=True)
                    sizes.remove(self.uv_cache)
        for path in sorted(paths, key=_last_use):
            if sizes.total <= self.max_bytes:
                return
            with locked_if_free(_beside(path, "used")) as is_free:
                if is_free:
                    if path.exists():
                        _remove(path)
                    _beside(path, "used").unlink()
                    sizes.remove(path)

    def _remove_partial(self, target: Path) -> None:
        """Remove what killed builds of an environment left; the caller holds its building lock."""
        for each in target.parent.glob(f"{target.name}{_PARTIAL}*"):
            shutil.rmtree(each, ignore_errors=True)


class _Sizes:
    """Bytes on disk of folders that share files by hard links."""

    def __init__(self) -> None:
        self.total = 0
        self._files: dict[Path, dict[int, int]] = {}  # folder -> inode -> bytes
        self._links: dict[int, int] = {}  # inode -> folders that have it

    def add(self, folder: Path) -> None:
        files: dict[int, int] = {}
        for parent, _, names in os.walk(folder):
            for name in (".", *names):
                with suppress(FileNotFoundError):
                    status = os.lstat(os.path.join(parent, name))
                    files[status.st_ino] = status.st_blocks * 512
        self._files[folder] = files
        for inode, size in files.items():
            self._links[inode] = self._links.get(inode, 0) + 1
            self.total += size * (self._links[inode] == 1)

    def remove(self, folder: Path) -> None:
        for inode, size in self._files.pop(folder).items():
            self._links[inode] -= 1
            self.total -= size * (self._links[inode] == 0)


def default_folder() -> Path:
    """Return the folder of the cache: $LONGSHORE_CACHE, or `longshore` in the platform's folder for caches."""
    given = os.environ.get("LONGSHORE_CACHE")
    if given:
        return Path(os.path.abspath(given))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "longshore"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "longshore"


def _is_complete(target: Path) -> bool:
    """Return whether an environment is there, and its interpreter still on the machine."""
    return (target / "bin" / "python").exists()


def _remove(target: Path) -> None:
    """Remove an environment in one step, so that a killed command leaves nothing that looks complete."""
    renamed = _partial(target)
    target.rename(renamed)
    shutil.rmtree(renamed, ignore_errors=True)


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}{_PARTIAL}{secrets.token_hex(4)}")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}.{suffix}")


def _last_use(path: Path) -> float:
    try:
        return _beside(path, "used").stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
