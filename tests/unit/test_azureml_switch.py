"""The switch between Longshore's and other packages of Azure ML's names, and what the names are."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from azureml_sdk import sdk, write

import longshore.azureml
from longshore_azureml.catalogue import MODULES
from longshore_azureml.errors import NotSupportedException
from longshore_azureml.unsupported import ALTERNATIVES

PRINT = "import azureml.core, azureml.pipeline.core; print(azureml.core.VERSION, azureml.pipeline.core.Pipeline)"


@pytest.fixture(params=["a package", "a namespace", "a namespace that a .pth file imported"])
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """A folder with other packages of these names, and how Python starts with it."""
    folder = tmp_path / "installed"
    write(folder, {"azureml/core/__init__.py": "VERSION = 'other'\n"})
    write(folder, {"azureml/pipeline/core/__init__.py": "Pipeline = 'other'\n", "azureml/pipeline/__init__.py": ""})
    start = f"import sys; sys.path.insert(0, {str(folder)!r})\n"
    if request.param == "a package":
        write(folder, {"azureml/__init__.py": "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"})
    elif "pth" in request.param:
        start += "import azureml\n"
    return [sys.executable, "-c", start + "exec(sys.argv[1])"]


def output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_without_the_switch_an_installed_package_is_imported(installed: list[str]):
    assert output([*installed, f"import longshore; {PRINT}"]) == "other other\n"


def test_the_switch_takes_precedence_over_an_installed_package(installed: list[str]):
    printed = output([*installed, f"import longshore.azureml; longshore.azureml.install(); {PRINT}"])
    assert printed == "1.61.0+longshore <class 'longshore_azureml.pipelines.Pipeline'>\n"


def test_after_the_switch_is_removed_the_installed_package_is_imported_again(installed: list[str]):
    text = f"import longshore.azureml as a; a.install(); import azureml.core; a.uninstall(); {PRINT}"
    assert output([*installed, text]) == "other other\n"


def test_the_switch_is_refused_when_an_installed_package_is_in_use(installed: list[str]):
    text = "import azureml.core, longshore.azureml; longshore.azureml.install()"
    ended = subprocess.run([*installed, text], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "azureml.core has been imported already, from " in ended.stderr
    assert "call longshore.azureml.install() before the first import of azureml" in ended.stderr


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with sdk(tmp_path, monkeypatch):
        yield


@pytest.mark.usefixtures("names")
def test_a_second_switch_changes_nothing():
    longshore.azureml.install()
    assert sum(type(each).__name__ == "FirstFinder" for each in sys.meta_path) == 1


class IPython:
    """What IPython passes to an extension."""


def test_a_notebook_switches_by_an_extension(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    longshore.azureml.load_ipython_extension(IPython())
    try:
        assert importlib.import_module("azureml.core").VERSION.endswith("+longshore")
    finally:
        longshore.azureml.unload_ipython_extension(IPython())
    assert not longshore.azureml.is_installed()


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("module", sorted(MODULES))
def test_all_names_of_a_module_can_be_imported(module: str):
    found = importlib.import_module(module)
    assert set(MODULES[module]) <= set(dir(found))
    for name in MODULES[module]:
        assert getattr(found, name) is not None


@pytest.mark.usefixtures("names")
def test_a_name_is_one_object_under_all_its_paths():
    by_name: dict[str, set[int]] = {}
    for module, names_ in MODULES.items():
        for name in names_:
            by_name.setdefault(name, set()).add(id(getattr(importlib.import_module(module), name)))
    assert all(len(found) == 1 for found in by_name.values())


@pytest.mark.usefixtures("names")
def test_an_unknown_module_is_refused_with_the_known_ones():
    with pytest.raises(ModuleNotFoundError, match=r'Module "azureml.opendatasets" is not supported.*azureml\.core'):
        importlib.import_module("azureml.opendatasets")


@pytest.mark.usefixtures("names")
def test_an_unknown_name_is_refused():
    with pytest.raises(ImportError, match="cannot import name 'Wokspace'"):
        exec("from azureml.core import Wokspace", {})


UNSUPPORTED = sorted({(name, module) for module, names_ in MODULES.items() for name in names_ if name in ALTERNATIVES})


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize(("name", "module"), UNSUPPORTED)
def test_an_unsupported_name_raises_with_an_alternative_when_it_is_used(name: str, module: str):
    found = getattr(importlib.import_module(module), name)
    for use in (lambda: found(name="x"), lambda: found.create("x"), lambda: found.get):
        with pytest.raises(NotSupportedException) as caught:
            use()
        assert str(caught.value).startswith(f"{name}")
        assert ALTERNATIVES[name] in str(caught.value)
    assert not hasattr(found, "list")
    assert isinstance(found, type)  # so that `type(x) is Name` and `except` clauses work


@pytest.mark.usefixtures("names")
def test_a_script_runs_with_the_names_and_its_arguments(tmp_path: Path):
    write(tmp_path, {"jobs/helper.py": "ANSWER = 42\n"})
    write(
        tmp_path,
        {
            "jobs/submit.py": "import sys, helper\nfrom azureml.core import VERSION\n"
            "print(VERSION, helper.ANSWER, sys.argv, __name__)\n"
        },
    )
    command = [sys.executable, "-m", "longshore", "azureml", "jobs/submit.py", "--size", "5"]
    assert output(command) == "1.61.0+longshore 42 ['jobs/submit.py', '--size', '5'] __main__\n"


def notebook(*cells: str) -> str:
    """A notebook with these code cells, after a cell of text."""
    code = [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]
    return json.dumps({"cells": [{"cell_type": "markdown", "source": ["# Title"]}, *code], "nbformat": 4})


def test_a_notebook_runs_in_its_folder_until_the_first_error(tmp_path: Path):
    good = ["%%writefile helper.py\nANSWER = 42", "import helper\nfrom azureml.core import VERSION", "print(VERSION)"]
    write(tmp_path, {"notes/good.ipynb": notebook(*good, "helper.ANSWER")})
    write(tmp_path, {"bad.ipynb": notebook("1 / 0", "print('not reached')"), "no.ipynb": "{}"})
    command = [sys.executable, "-m", "longshore", "azureml"]
    printed = subprocess.run(
        [*command, "notes/good.ipynb"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert "1.61.0+longshore" in printed
    assert "Out[4]: 42" in printed
    assert (tmp_path / "notes/helper.py").is_file()
    ended = subprocess.run([*command, "bad.ipynb"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, "ZeroDivisionError" in ended.stdout) == (1, True)
    assert "not reached" not in ended.stdout
    ended = subprocess.run([*command, "no.ipynb"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "no.ipynb cannot be read as a notebook: 'cells'" in ended.stderr


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("raise ValueError('oh')", 1, "ValueError: oh"),
        ("import sys; sys.exit(7)", 7, ""),
        (None, 2, "submit.py is no file; pass a Python script or a notebook"),
    ],
)
def test_a_script_that_fails_ends_the_command(tmp_path: Path, text: str | None, code: int, message: str):
    if text is not None:
        write(tmp_path, {"submit.py": text})
    command = [sys.executable, "-m", "longshore", "azureml", "submit.py"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == code
    assert message in ended.stderr
    assert "please report it as a bug" not in ended.stderr
