"""The environment variables that a script receives from its host."""

import os
import sys

import pytest

from longshore_host.environment import PACKAGES, script_environment

BIN = os.path.dirname(sys.executable)


@pytest.fixture
def in_environment(monkeypatch):
    """The interpreter is one of a virtual environment."""
    monkeypatch.setattr(sys, "prefix", "/environment")
    monkeypatch.setattr(sys, "base_prefix", "/usr")


@pytest.mark.usefixtures("in_environment")
@pytest.mark.parametrize(
    ("inherited", "found"),
    [
        ("/usr/bin:/bin", f"{BIN}:/usr/bin:/bin"),
        (f"{BIN}:/bin", f"{BIN}:/bin"),
        (f"/bin:{BIN}", f"{BIN}:/bin"),
        (None, f"{BIN}:{os.defpath}"),
    ],
    ids=["elsewhere", "first", "later", "no PATH"],
)
def test_programs_of_a_virtual_environment_are_found_first(monkeypatch, inherited, found):
    if inherited is None:
        monkeypatch.delenv("PATH")
    else:
        monkeypatch.setenv("PATH", inherited)
    environment = script_environment({})
    assert (environment["PATH"], environment["VIRTUAL_ENV"]) == (found, "/environment")


@pytest.mark.usefixtures("in_environment")
def test_variables_of_the_step_take_precedence():
    environment = script_environment({"PATH": "/mine", "VIRTUAL_ENV": "/other"})
    assert (environment["PATH"], environment["VIRTUAL_ENV"]) == ("/mine", "/other")


def test_an_interpreter_outside_of_virtual_environments_changes_no_path(monkeypatch):
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    environment = script_environment({})
    assert environment["PATH"] == "/usr/bin:/bin"
    assert "VIRTUAL_ENV" not in environment


def test_settings_of_the_host_stay_with_it(monkeypatch):
    monkeypatch.setenv("LONGSHORE_ECHO", "1")
    assert "LONGSHORE_ECHO" not in script_environment({})


def test_modules_are_found_in_our_packages_then_in_the_source_then_where_they_were(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"/inherited:{PACKAGES}")
    path = script_environment({}, "/source")["PYTHONPATH"].split(os.pathsep)
    assert (path[0], path[2:]) == (PACKAGES, ["/source", "/inherited"])
