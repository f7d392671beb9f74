"""Stand-ins for Azure ML's packages are found where the real ones are not, and only there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import longshore_shims
from longshore_shims.finder import START

WORKER = str(Path(longshore_shims.__file__).parents[1])
REAL = "NAME = 'real'\n"


def python(code, *path, **variables):
    """Run code in an interpreter of its own, with folders on its path, and return what it printed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([WORKER, *map(str, path)]), **variables}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_nothing_is_there_that_was_not_asked_for():
    code = "import importlib.util as u, longshore_shims; print([u.find_spec(n) for n in ('azureml', 'azureml_user')])"
    assert python(code) == "[None, None]"


def test_installed_they_are_found_as_often_as_that_is_requested():
    code = """
import longshore_shims, sys
longshore_shims.install(); longshore_shims.install()
from azureml_user.parallel_run import EntryScript
print(EntryScript.__module__, len([each for each in sys.meta_path if type(each).__name__ == "LastFinder"]))
"""
    assert python(code) == "longshore_shims.entry_script 1"


def test_an_interpreter_of_a_step_has_them_and_its_children_too():
    code = """
import subprocess, sys
print(subprocess.run([sys.executable, "-c", "import azureml_user as a; print(a.__path__)"], stdout=-1).stdout.decode())
"""
    assert "longshore_shims/path/azureml_user" in python(code, START)


@pytest.mark.parametrize("init", [None, "", "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"])
def test_the_real_package_wins_and_what_it_has_not_is_ours(tmp_path, init):
    """The real one is found behind ours on the path; it is a namespace, a package by itself, or an extended one."""
    real = tmp_path / "azureml"
    real.mkdir()
    (real / "automl.py").write_text(REAL)
    if init is not None:
        (real / "__init__.py").write_text(init)
    found = python("import azureml.automl, azureml.core as c; print(azureml.automl.NAME, c.__file__)", START, tmp_path)
    assert found.startswith("real ")
    assert "longshore_shims/path/azureml/core" in found
    (real / "core.py").write_text(REAL)
    assert python("import azureml.core as c; print(c.NAME)", START, tmp_path) == "real"


def test_the_images_own_sitecustomize_still_runs(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.of_the_image = __file__\n")
    code = "import sys, sitecustomize; print(sys.of_the_image, sitecustomize.__file__, *sys.path)"
    own, file, *path = python(code, START, tmp_path).split()
    assert own == file == str(tmp_path / "sitecustomize.py")
    assert START not in path


def bare(code):
    """Run code where nothing is installed, with the packages that a step's interpreter has."""
    start = f"import sys; sys.path.insert(0, {WORKER!r}); import longshore_shims; longshore_shims.install(); "
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", start + code], capture_output=True, text=True, check=False
    )
    return ended.stdout + ended.stderr


def test_a_step_without_the_distribution_has_the_run_of_longshore():
    code = "import longshore; run = longshore.Run.get_context(); run.log('a', 1); print(run.id, longshore.__file__)"
    assert bare(code).startswith("a: 1\noffline ")
    assert "longshore_shims/path/longshore" in bare(code)


@pytest.mark.parametrize("name", ["Workspace", "load"])
def test_everything_else_of_longshore_is_named_with_a_remedy_there(name):
    assert f"has no attribute '{name}' here: inside a step it has only Run; install longshore" in bare(
        f"import longshore; longshore.{name}"
    )


def test_the_installed_distribution_has_the_same_run():
    code = "import longshore, longshore_run; print(type(longshore.Run.get_context()) is longshore_run.Run)"
    assert python(code, START) == "True"
