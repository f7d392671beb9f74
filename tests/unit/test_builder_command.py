"""The command of a builder's pod: what it installs, how it ends, and what it leaves for the operator."""

import os
import signal
import sys

import pytest

from longshore_packages import BuildError, __main__
from longshore_protocol.package_set import PackageSet

SECRET = "open-sesame"
LONG = "é" * 5000  # more than a termination message has room for


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Return a function that runs the command with packages, and returns its exit code."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("PYC_INVALIDATION_MODE", "")
    monkeypatch.setenv("LONGSHORE_INDEX_USERNAME", "reader")
    monkeypatch.setenv("LONGSHORE_INDEX_PASSWORD", SECRET)

    def run(packages, *options):
        (tmp_path / "packages.json").write_text(packages.to_json())
        arguments = [str(tmp_path / "packages.json"), str(tmp_path / "venv"), "--uv", "uv", "--cache", str(tmp_path)]
        words = ["--last-words", str(tmp_path / "words")]
        monkeypatch.setattr("sys.argv", ["longshore_packages", *arguments, *words, *options])
        return __main__.main()

    yield run
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def built(monkeypatch):
    """Record what a builder is given; return the list."""
    found = []

    class Builder:
        def __init__(self, packages, **options):
            found.append((packages, options))

        def lock(self, interpreter):
            found.append(interpreter.path)
            return "numpy==1"

        def install(self, lock, interpreter, target, *, layered):
            found.append((lock, target, layered, os.environ["PYC_INVALIDATION_MODE"]))

    monkeypatch.setattr(__main__, "Builder", Builder)
    return found


def test_packages_are_installed_on_top_of_those_of_the_interpreter_that_runs_it(command, built, tmp_path):
    assert command(PackageSet(("numpy",))) == 0
    (packages, options), interpreter, installed = built
    assert packages == PackageSet(("numpy",))
    assert (options["credentials"].username, options["credentials"].password) == ("reader", SECRET)
    assert interpreter == sys.executable
    assert installed == ("numpy==1", str(tmp_path / "venv"), True, "UNCHECKED_HASH")
    assert not (tmp_path / "words").exists()


def test_nothing_is_installed_that_was_built_before(command, built, tmp_path):
    (tmp_path / "found").touch()
    assert command(PackageSet(("numpy",)), "--unless", str(tmp_path / "found")) == 0
    assert built == []


@pytest.mark.parametrize("is_transient", [False, True])
@pytest.mark.usefixtures("built")
def test_a_failure_is_left_in_the_words_of_the_resolver(command, tmp_path, monkeypatch, is_transient):
    def lock(*_):
        raise BuildError(f"The packages cannot be resolved: {LONG}", is_transient=is_transient)

    monkeypatch.setattr(__main__.Builder, "lock", lock)
    assert command(PackageSet(("numpy",))) == (75 if is_transient else 1)
    words = (tmp_path / "words").read_bytes()
    assert words.decode().startswith("The packages cannot be resolved: é")
    assert len(words) <= 4096


def test_another_version_of_python_is_refused_naming_both(command, tmp_path):
    assert command(PackageSet(("numpy",), ("3.7",))) == 1
    version = ".".join(map(str, sys.version_info[:3]))
    words = (tmp_path / "words").read_text()
    assert "requires Python 3.7" in words
    assert f"is Python {version}" in words
