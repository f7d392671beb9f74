"""Builds: resolution into a lock, and installation of a lock into a virtual environment."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from typing import Callable, List, Optional, Sequence

from longshore_packages.errors import BuildError, build_error
from longshore_packages.interpreters import Interpreter
from longshore_packages.uv import Credentials, Uv
from longshore_protocol.package_set import PackageSet

_LAYER = "longshore_interpreter.pth"  # in an environment: adds the packages of its interpreter after its own


class Builder:
    """Resolves and installs the packages of one Environment with uv.

    Args:
        packages: the frozen set.
        uv: path of the uv binary.
        cache: folder of uv's own cache: downloads, shared by builds that run one after another or at once. Best on the
            file system of the environments, which then share the files with it.
        credentials: for the host of the package index.
        report: is called with each activity, such as "resolving 3 requirements".
        is_cancelled: returns whether to end the build, which then raises BuildCancelledError.
    """

    def __init__(
        self,
        packages: PackageSet,
        *,
        uv: str,
        cache: str,
        credentials: Optional[Credentials] = None,
        report: Callable[[str], None] = lambda _: None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._packages = packages
        self._uv = Uv(uv, cache, packages, credentials=credentials, is_cancelled=is_cancelled)
        self._report = report

    def lock(self, interpreter: Interpreter) -> str:
        """Resolve the packages for an interpreter; return exact versions with hashes, as lines of a requirements.txt.

        Raises:
            BuildError: in the resolver's words; transient if the package index cannot be reached.
            BuildCancelledError: the caller cancelled the build.
        """
        packages = self._packages
        if not packages.accepts(interpreter.version):
            text = "The Environment requires Python {}, and {} is Python {}; change one of the two."
            raise BuildError(text.format(" or ".join(packages.pythons), interpreter.path, interpreter.version))
        if not packages.requirements:
            return ""
        self._report("resolving {}".format(_count(packages.requirements, "requirement")))
        with tempfile.TemporaryDirectory(prefix="longshore-lock-") as folder:
            requirements = os.path.join(folder, "requirements.in")
            _write(requirements, "".join(each + "\n" for each in packages.requirements))
            command = ["pip", "compile", requirements, "--python", interpreter.path, "--generate-hashes"]
            command += ["--no-header", "--no-annotate", "--output-file", os.path.join(folder, "lock.txt")]
            done = self._uv.run([*command, *self._uv.indexes], folder=folder)
            if done.code != 0:
                raise build_error("resolved", done.stderr)
            with open(os.path.join(folder, "lock.txt"), encoding="utf-8") as file:
                return file.read()

    def install(self, lock: str, interpreter: Interpreter, target: str, *, layered: bool = False) -> None:
        """Create a virtual environment with the packages of a lock.

        The environment is built beside `target` and renamed when it is complete; a folder that is there already stays.
        What a killed build leaves has another name, `target` with the suffix ".partial-" and eight characters.

        Args:
            lock: what `lock` returned.
            interpreter: the one that the lock was made for.
            target: folder of the environment; its interpreter is bin/python.
            layered: add the packages of the interpreter after those of the lock, as for an image that has its own.

        Raises:
            BuildError: in uv's words; transient if the package index cannot be reached.
            BuildCancelledError: the caller cancelled the build.
        """
        parent = os.path.dirname(os.path.abspath(target))
        partial = tempfile.mkdtemp(prefix=os.path.basename(target) + ".partial-", dir=parent)
        try:
            self._install(lock, interpreter, os.path.join(partial, "environment"), layered=layered)
            try:
                os.rename(os.path.join(partial, "environment"), target)
            except OSError:
                if not os.path.isdir(target):  # otherwise another build was faster, with the same result
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _install(self, lock: str, interpreter: Interpreter, folder: str, *, layered: bool) -> None:
        parent = os.path.dirname(folder)
        command = ["venv", folder, "--python", interpreter.executable, "--relocatable", "--no-project"]
        done = self._uv.run(command, folder=parent)
        if done.code != 0:
            raise build_error("installed", done.stderr)
        (site_packages,) = glob.glob(os.path.join(glob.escape(folder), "lib", "python*", "site-packages"))
        if layered:
            _write(os.path.join(site_packages, _LAYER), _layer(interpreter))
        names = _names(lock)
        if not names:
            return
        self._report("installing {}: {}".format(_count(names, "package"), ", ".join(names)))
        locked = os.path.join(parent, "lock.txt")
        _write(locked, lock)
        python = os.path.join(folder, "bin", "python")
        command = ["pip", "install", "--python", python, "--requirements", locked, "--no-deps", "--compile-bytecode"]
        done = self._uv.run([*command, *self._uv.indexes], folder=parent)
        if done.code != 0:
            raise build_error("installed", done.stderr)


def _names(lock: str) -> List[str]:
    """Return the names of a lock's packages."""
    lines = (line.split() for line in lock.splitlines() if line[:1].isalnum())
    return [words[0].partition("==")[0].partition("[")[0] for words in lines]


def _count(each: Sequence[str], noun: str) -> str:
    number = len(each)
    return "{} {}{}".format(number, noun, "" if number == 1 else "s")


def _layer(interpreter: Interpreter) -> str:
    """Return the .pth file that adds an interpreter's packages, and what their own .pth files add."""
    return "".join("import site; site.addsitedir({!r})\n".format(each) for each in interpreter.site_packages)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
