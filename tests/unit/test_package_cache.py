"""The cache of environments: one build for all, nothing of a killed one, and a bound that is kept."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from package_index import PackageIndex, package_index

from longshore_api.errors import InvalidDocuments
from longshore_cli.environments import prepared
from longshore_cli.package_cache import PackageCache
from longshore_packages import BuildCancelledError, BuildError
from longshore_protocol.package_set import PackageSet

Enter = Callable[..., AbstractContextManager[str]]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PackageIndex]:
    with package_index(tmp_path / "index") as index:
        index.wheel("alpha", requires=["beta"])
        index.wheel("beta")
        index.wheel("gamma")
        yield index


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("LONGSHORE_CACHE", str(folder))
    return folder


@pytest.fixture
def enter(index: PackageIndex, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Enter:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    assert not cache.exists()

    def enter(*requirements: str, **options: object) -> AbstractContextManager[str]:
        packages = PackageSet(requirements, index_url=index.url)
        settings = {"report": lambda _: None, "is_cancelled": lambda: False, **options}
        return prepared(packages, None, **settings)  # type: ignore[arg-type]

    return enter


def environments(cache: Path) -> set[str]:
    return {each.name for each in (cache / "environments").iterdir() if "." not in each.name}


def versions(python: str) -> str:
    code = "import alpha, beta; print(alpha.VERSION, beta.VERSION)"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


# One build
def test_twenty_runs_at_once_build_once(index: PackageIndex, enter: Enter, cache: Path):
    together = threading.Barrier(20)

    def use(_: int) -> str:
        with enter("alpha") as python:
            together.wait()  # all use it at the same time
            return python

    with ThreadPoolExecutor(20) as threads:
        (python,) = set(threads.map(use, range(20)))
    assert versions(python) == "1.0 1.0"
    assert (index.downloads("alpha"), index.downloads("beta")) == (1, 1)
    assert len(environments(cache)) == 1


def test_the_second_run_asks_no_index(index: PackageIndex, enter: Enter):
    activities: list[str] = []
    with enter("alpha", report=activities.append):
        assert activities == ["resolving 1 requirement", "installing 2 packages: alpha, beta"]
    index.status = 500
    asked = len(index.requests)
    with enter("alpha", report=activities.append) as python:
        assert versions(python) == "1.0 1.0"
    assert (len(activities), len(index.requests)) == (2, asked)


def test_sets_with_one_lock_share_an_environment(enter: Enter, cache: Path):
    with enter("alpha"), enter("alpha==1.0"), enter("alpha", "beta"):
        assert len(environments(cache)) == 1
    with enter("gamma"):
        assert len(environments(cache)) == 2


def test_an_interpreter_with_packages_of_its_own_has_an_environment_of_its_own(index: PackageIndex, enter: Enter):
    packages = PackageSet(("alpha",), index_url=index.url)
    code = "import alpha, pytest; print(alpha.VERSION)"
    layered = prepared(packages, sys.executable, report=lambda _: None, is_cancelled=lambda: False)
    with enter("alpha") as alone, layered as python:
        assert alone != python
        assert subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout == "1.0\n"


def test_an_environment_whose_interpreter_is_deleted_is_built_again(enter: Enter):
    with enter("alpha") as python:
        pass
    os.unlink(python)
    os.symlink("/nowhere/python", python)
    with enter("alpha") as again:
        assert again == python
        assert versions(again) == "1.0 1.0"


# Ends
def test_a_cancelled_run_neither_waits_nor_builds(index: PackageIndex, enter: Enter, cache: Path):
    index.gate.clear()
    waits = threading.Event()

    def report(activity: str) -> None:
        if activity.startswith("waiting for another run"):
            waits.set()

    def build() -> None:
        with enter("alpha"):
            pass

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(build)
        index.asked.wait()
        with pytest.raises(BuildCancelledError), enter("alpha", report=report, is_cancelled=waits.is_set):
            pass
        index.gate.set()
        first.result()
    assert len(environments(cache)) == 1


CHILD = """
import sys
from longshore_cli.environments import prepared
from longshore_protocol.package_set import PackageSet
packages = PackageSet(("alpha",), index_url=sys.argv[1])
with prepared(packages, None, report=lambda _: None, is_cancelled=lambda: False) as python:
    print(python)
"""


def killed(index: PackageIndex, when: Callable[[subprocess.Popen[bytes]], object]) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, index.url], start_new_session=True, stdout=subprocess.PIPE)
    try:
        when(child)
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("request_number", range(1, 6))
def test_a_builder_killed_at_any_request_leaves_nothing_that_is_used(
    index: PackageIndex, enter: Enter, cache: Path, request_number: int
):
    index.stop_at = request_number
    killed(index, lambda _: index.stopped.wait())
    assert environments(cache) == set()
    index.stop_at = 0
    index.gate.set()
    with enter("alpha") as python:
        assert versions(python) == "1.0 1.0"
    assert not list((cache / "environments").glob("*.partial-*"))


@pytest.mark.parametrize("seed", range(5))
def test_a_builder_killed_at_a_random_moment_leaves_nothing_that_is_used(
    index: PackageIndex, enter: Enter, cache: Path, seed: int
):
    moment = random.Random(seed).uniform(0.0, 1.0)
    killed(index, lambda child: exited(child, moment))
    with enter("alpha") as python:
        assert versions(python) == "1.0 1.0"
    assert not list((cache / "environments").glob("*.partial-*"))


def exited(child: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return


# The bound
def test_a_full_cache_loses_what_was_used_least_recently(
    index: PackageIndex, enter: Enter, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    used = {}
    for number, name in enumerate(("alpha", "beta", "gamma")):
        with enter(name) as python:
            used[name] = Path(python).parents[1].name
        os.utime(cache / "environments" / f"{used[name]}.used", (number, number))
    with enter("alpha"):  # now the one that was used last
        pass
    bound = size(cache / "environments")
    monkeypatch.setenv("LONGSHORE_CACHE_SIZE", str(bound))
    index.wheel("delta")
    with enter("delta") as python:
        newest = Path(python).parents[1].name
    assert environments(cache) == {used["alpha"], used["gamma"], newest}
    assert not (cache / "uv").exists()  # downloads go first: they cost nothing but time
    assert {each.name for each in (cache / "environments").iterdir() if each.name.startswith(used["beta"])} == set()
    with enter("beta"):
        assert size(cache / "environments") <= bound


def size(folder: Path) -> int:
    files = {(status.st_ino, status.st_blocks * 512) for each in folder.rglob("*") if (status := each.lstat())}
    return sum(blocks for _, blocks in files)


def test_an_environment_in_use_stays_whatever_the_bound(enter: Enter, cache: Path, monkeypatch: pytest.MonkeyPatch):
    with enter("alpha") as python:
        monkeypatch.setenv("LONGSHORE_CACHE_SIZE", "1")
        with enter("gamma"):
            assert versions(python) == "1.0 1.0"
            assert len(environments(cache)) == 2
        with enter("beta"):
            assert versions(python) == "1.0 1.0"
            assert len(environments(cache)) == 2  # without gamma's, which no run uses
    PackageCache(cache, 1).trim()
    assert environments(cache) == set()


def test_what_killed_builders_left_is_removed_and_what_runs_is_not(enter: Enter, cache: Path):
    left = cache / "environments" / "0123.partial-abcd"
    (left / "environment" / "bin").mkdir(parents=True)
    with enter("alpha"):
        assert not left.exists()


def test_locks_that_no_run_uses_are_removed(enter: Enter, cache: Path):
    old = time.time() - 31 * 86_400
    with enter("alpha"):
        (alpha,) = [each for each in (cache / "locks").iterdir() if "." not in each.name]
    os.utime(alpha, (old, old))
    with enter("alpha"):  # a use
        assert alpha.stat().st_mtime > old
    os.utime(alpha, (old, old))
    with enter("gamma"):
        assert not alpha.exists()


# Bad input
@pytest.mark.usefixtures("cache")
def test_a_version_that_the_machine_lacks_is_refused_with_those_it_has():
    packages = PackageSet(("alpha",), pythons=("3.28", "3.29"))
    with (
        pytest.raises(BuildError) as caught,
        prepared(packages, None, report=lambda _: None, is_cancelled=lambda: False),
    ):
        pass
    text = str(caught.value)
    assert text.startswith("The Environment requires Python 3.28 or 3.29, and this machine has ")
    assert "{}.{}.{}".format(*sys.version_info) in text
    assert text.endswith("; install it, for example with: uv python install 3.29")


def test_a_cache_that_cannot_be_written_is_named(enter: Enter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LONGSHORE_CACHE", str(tmp_path / "file"))
    with (
        pytest.raises(BuildError, match=r"The cache .*file cannot be used: .*; set LONGSHORE_CACHE to another"),
        enter(),
    ):
        pass


def test_a_bound_that_is_no_size_is_refused(enter: Enter, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LONGSHORE_CACHE_SIZE", "much")
    with pytest.raises(InvalidDocuments, match="LONGSHORE_CACHE_SIZE: is 'much': it must be a number"), enter("alpha"):
        pass
