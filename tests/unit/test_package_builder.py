"""Builds of environments: what is installed, what of a failure is reported, and what a killed build leaves."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from package_index import PackageIndex, package_index
from uv import find_uv_bin

from longshore_packages import BuildCancelledError, Builder, BuildError, Credentials, inspect
from longshore_packages.errors import build_error, without_credentials
from longshore_protocol.package_set import PackageSet

WORD = "hunter2-hunter2"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PackageIndex]:
    with package_index(tmp_path / "index") as index:
        index.wheel("alpha", requires=["beta>=2"])
        index.wheel("beta", "1.0")
        index.wheel("beta", "2.0")
        yield index


@pytest.fixture
def build(index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Builder]:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")

    def build(*requirements: str, **options: Any) -> Builder:
        packages = PackageSet(requirements, index_url=index.url)
        return Builder(packages, uv=find_uv_bin(), cache=str(tmp_path / "cache"), **options)

    return build


Build = Callable[..., Builder]


def printed(environment: Path, code: str) -> str:
    python = str(environment / "bin" / "python")
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_a_build_installs_what_the_lock_names(build: Build, tmp_path: Path):
    interpreter, activities = inspect(sys.executable), list[str]()
    builder = build("alpha", report=activities.append)
    lock = builder.lock(interpreter)
    assert [line.split()[0] for line in lock.splitlines() if line[0].isalpha()] == ["alpha==1.0", "beta==2.0"]
    assert lock.count("--hash=sha256:") == 2
    builder.install(lock, interpreter, str(tmp_path / "environment"))
    assert printed(tmp_path / "environment", "import alpha, beta; print(alpha.VERSION, beta.VERSION)") == "1.0 2.0"
    assert activities == ["resolving 1 requirement", "installing 2 packages: alpha, beta"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["cache", "environment", "index"]


def test_an_environment_without_packages_is_an_interpreter(build: Build, tmp_path: Path):
    interpreter = inspect(sys.executable)
    assert build().lock(interpreter) == ""
    build().install("", interpreter, str(tmp_path / "environment"))
    assert printed(tmp_path / "environment", "import sys; print(sys.version.split()[0])") == interpreter.version


def test_a_layered_environment_adds_the_packages_of_its_interpreter(build: Build, tmp_path: Path):
    interpreter = inspect(sys.executable)
    builder = build("alpha")
    lock = builder.lock(interpreter)
    builder.install(lock, interpreter, str(tmp_path / "alone"))
    builder.install(lock, interpreter, str(tmp_path / "layered"), layered=True)
    code = "import importlib.util as u; print(*(u.find_spec(each) is not None for each in ('alpha', 'pytest')))"
    assert printed(tmp_path / "alone", code) == "True False"
    assert printed(tmp_path / "layered", code) == "True True"
    assert interpreter.digest(layered=True) != interpreter.digest(layered=False)


@pytest.mark.parametrize(
    ("requirements", "words"),
    [
        (
            ["nowhere"],
            "cannot be resolved: Because nowhere was not found in the package registry and you require nowhere",
        ),
        (
            ["alpha", "beta<2"],
            "cannot be resolved: Because all versions of alpha depend on beta>=2 and you require alpha, we can",
        ),
        (["alpha==9"], "cannot be resolved: Because there is no version of alpha==9 and you require alpha==9"),
        (["wheelless"], "cannot be resolved: Because wheelless==1.0 has no wheels with a matching Python ABI tag"),
        (["broken"], "the compiler is missing"),
        (["alpha @ http://127.0.0.1:1/alpha-1.0-py3-none-any.whl"], "The package index cannot be reached: "),
    ],
)
def test_a_failure_is_reported_in_the_words_of_the_resolver(
    index: PackageIndex, build: Build, requirements: list[str], words: str
):
    index.wheel("wheelless", tag="cp37-cp37m-win_amd64")
    index.source("broken", setup="raise SystemExit('the compiler is missing')\n")
    index.wheel("setuptools", "80.0", modules={"setuptools/__init__.py": "", "setuptools/build_meta.py": BACKEND})
    with pytest.raises(BuildError) as caught:
        build(*requirements).lock(inspect(sys.executable))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.is_transient == ("cannot be reached" in words)


BACKEND = """
import sys
__legacy__ = sys.modules[__name__]
def get_requires_for_build_wheel(config_settings=None):
    return []
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    exec(open("setup.py").read())
def build_wheel(folder, config_settings=None, metadata_directory=None):
    exec(open("setup.py").read())
"""


@pytest.mark.parametrize(("status", "is_transient"), [(500, True), (502, True), (429, True), (403, False)])
def test_an_index_that_fails_is_asked_again_but_not_one_that_denies(
    index: PackageIndex, build: Build, status: int, *, is_transient: bool
):
    index.status = status
    with pytest.raises(BuildError) as caught:
        build("alpha").lock(inspect(sys.executable))
    assert caught.value.is_transient == is_transient


def test_an_interpreter_of_another_version_is_refused(tmp_path: Path):
    builder = Builder(PackageSet(("alpha",), pythons=("3.7",)), uv=find_uv_bin(), cache=str(tmp_path))
    interpreter = inspect(sys.executable)
    with pytest.raises(BuildError) as caught:
        builder.lock(interpreter)
    assert str(caught.value) == (
        f"The Environment requires Python 3.7, and {interpreter.path} is Python {interpreter.version}; "
        "change one of the two."
    )


@pytest.mark.parametrize("python", ["/nowhere/python", "true", "false"])
def test_what_is_no_interpreter_is_refused(python: str):
    with pytest.raises(BuildError, match=f"The interpreter {python} cannot be used: "):
        inspect(python)


# Credentials
def test_credentials_reach_the_host_of_the_index_and_nothing_else(index: PackageIndex, build: Build, tmp_path: Path):
    index.credentials = f"me:{WORD}"
    interpreter, activities = inspect(sys.executable), list[str]()
    builder = build("alpha", credentials=Credentials("me", WORD), report=activities.append)
    lock = builder.lock(interpreter)
    builder.install(lock, interpreter, str(tmp_path / "environment"))
    assert printed(tmp_path / "environment", "import alpha; print(alpha.VERSION)") == "1.0"
    found = subprocess.run(
        ["grep", "-rlE", WORD, "environment", "cache"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert found.stdout == ""
    assert WORD not in lock + "".join(activities) + repr(Credentials("me", WORD))


@pytest.mark.parametrize("credentials", [None, Credentials("me", f"{WORD}-wrong"), Credentials(f"{WORD}-token", "")])
def test_a_denied_access_names_the_remedy_and_no_credentials(
    index: PackageIndex, build: Build, credentials: Credentials | None
):
    index.credentials = f"me:{WORD}"
    with pytest.raises(BuildError) as caught:
        build("alpha", credentials=credentials).lock(inspect(sys.executable))
    assert "401 Unauthorized" in str(caught.value)
    assert WORD not in str(caught.value)


def test_credentials_are_not_sent_to_another_host(index: PackageIndex, tmp_path: Path):
    with package_index(tmp_path / "other") as other:
        other.wheel("beta", "3.0")
        index.credentials = f"me:{WORD}"
        packages = PackageSet(("alpha",), index_url=index.url, extra_index_urls=(other.url,))
        builder = Builder(
            packages, uv=find_uv_bin(), cache=str(tmp_path / "cache"), credentials=Credentials("me", WORD)
        )
        assert "beta==3.0" in builder.lock(inspect(sys.executable))
        assert other.authorizations == set()
        without = PackageSet(("beta",), extra_index_urls=(other.url,))
        builder = Builder(without, uv=find_uv_bin(), cache=str(tmp_path / "cache"), credentials=Credentials("me", WORD))
        assert "beta==3.0" in builder.lock(inspect(sys.executable))


def test_uv_gets_no_variables_that_change_its_work(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in {
        "PYTHONPATH": "/nowhere",
        "PYTHONHOME": "/nowhere",
        "UV_PYTHON": "/nowhere",
        "UV_TARGET": "/nowhere",
        "UV_DEFAULT_INDEX": "http://127.0.0.1:1/simple",
        "UV_EXTRA_INDEX_URL": "http://127.0.0.1:1/simple",
        "VIRTUAL_ENV": "/nowhere",
        "LONGSHORE_TOKEN": WORD,
    }.items():
        monkeypatch.setenv(name, value)
    interpreter = inspect(sys.executable)
    builder = build("alpha")
    builder.install(builder.lock(interpreter), interpreter, str(tmp_path / "environment"))
    assert (tmp_path / "environment" / "bin" / "python").exists()


# Ends
def test_a_cancelled_build_ends_and_leaves_nothing(index: PackageIndex, build: Build, tmp_path: Path):
    interpreter = inspect(sys.executable)
    lock = build("alpha").lock(interpreter)
    index.gate.clear()
    index.asked.clear()
    with pytest.raises(BuildCancelledError):
        Builder(
            PackageSet(("alpha",), index_url=index.url),
            uv=find_uv_bin(),
            cache=str(tmp_path / "another"),
            is_cancelled=index.asked.is_set,
        ).install(lock, interpreter, str(tmp_path / "environment"))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["another", "cache", "index"]


def test_the_second_of_two_builds_leaves_the_first_ones_environment(build: Build, tmp_path: Path):
    interpreter = inspect(sys.executable)
    lock = build("alpha").lock(interpreter)
    (tmp_path / "environment").mkdir()
    (tmp_path / "environment" / "first").touch()
    build("alpha").install(lock, interpreter, str(tmp_path / "environment"))
    assert os.listdir(tmp_path / "environment") == ["first"]


NEW = """\
error: No solution found when resolving dependencies
  cause: Because beta was not found in the package registry and you require beta, we can conclude that your \
requirements are unsatisfiable.

hint: alpha was found
"""
OLD = """\
  \u00d7 No solution found when resolving dependencies:
  ╰─▶ Because beta was not found in the package registry and you require
      beta, we can conclude that your requirements are unsatisfiable.

      hint: alpha was found
"""


@pytest.mark.parametrize("output", [NEW, OLD], ids=["new", "old"])
def test_a_failure_reads_alike_whichever_release_of_uv_prints_it(output: str):
    assert str(build_error("resolved", output)) == (
        "The packages cannot be resolved: Because beta was not found in the package registry and you require beta, "
        "we can conclude that your requirements are unsatisfiable. hint: alpha was found"
    )


def test_causes_follow_a_colon_and_urls_have_no_credentials():
    output = "error: Failed to fetch: `http://i.example/a`\n  Caused by: dns error\n  Caused by: no such host\n"
    error = build_error("resolved", output)
    assert str(error) == (
        "The package index cannot be reached: Failed to fetch: `http://i.example/a`: dns error: no such host"
    )
    assert error.is_transient
    assert without_credentials(f"see https://me:{WORD}@i.example/a") == "see https://i.example/a"
