"""What the distribution needs and offers: dependencies, extras, and what its users install."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

from longshore_operator import __main__ as longshore_operator

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEPENDENCIES = PROJECT["dependencies"]
EXTRAS = PROJECT["optional-dependencies"]


@pytest.mark.parametrize("package", ["aiohttp", "fsspec", "pydantic", "pyyaml", "rich"])
def test_what_longshore_run_needs_is_installed_without_an_extra(package: str):
    assert [each for each in DEPENDENCIES if re.split("[<>=]", each)[0] == package]


@pytest.mark.parametrize("extra", ["coordinator", "agent"])
def test_the_parts_of_slim_images_add_nothing_to_the_dependencies(extra: str):
    assert set(EXTRAS[extra]) <= set(DEPENDENCIES)


def test_a_package_has_one_range_wherever_it_is_named():
    ranges: dict[str, set[str]] = {}
    for each in chain(DEPENDENCIES, *EXTRAS.values()):
        name = re.split(r"[\[<>=]", each)[0]
        if name != "longshore":
            ranges.setdefault(name, set()).add(each)
    assert {name: found for name, found in ranges.items() if len(found) > 1} == {}


def test_the_page_on_installation_lists_each_extra():
    page = (ROOT / "docs" / "install.md").read_text()
    table = re.findall(r"^\| (`[^|]*`) \|", page.split("## On a cluster")[0], re.MULTILINE)
    assert {name for row in table for name in re.findall("`([a-z0-9]+)`", row)} == EXTRAS.keys() - {"dev", "docs"}


def test_the_image_is_built_of_extras_that_exist():
    (named,) = re.findall('^ARG EXTRAS="(.*)"$', (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE)
    assert set(named.split()) <= EXTRAS.keys()


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("title", PROJECT["name"].capitalize()),
        ("description", PROJECT["description"]),
        ("licenses", PROJECT["license"]),
        ("version", "${VERSION}"),
        ("revision", "${REVISION}"),
        ("base.name", "${BASE}"),
    ],
)
def test_the_image_is_labelled(label: str, text: str):
    *_, last = re.split("^FROM ", (ROOT / "deploy" / "Dockerfile").read_text(), flags=re.MULTILINE)
    labels = dict(re.findall(r'org\.opencontainers\.image\.([a-z.]+)="(.*?)"', last))
    assert labels[label] == text
    for argument in re.findall(r"\$\{([A-Z]+)\}", text):
        assert f"\nARG {argument}\n" in last


@pytest.mark.parametrize(
    "classifier",
    [
        "Operating System :: POSIX :: Linux",
        f"Programming Language :: Python :: {PROJECT['requires-python'].removeprefix('>=')}",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: System :: Distributed Computing",
        "Typing :: Typed",
    ],
)
def test_an_index_lists_the_package_under_what_it_is_for(classifier: str):
    assert classifier in PROJECT["classifiers"]


@pytest.mark.parametrize("package", longshore_operator.PACKAGES)
def test_the_operator_names_a_missing_package_and_starts_nothing(package: str):
    code = "import runpy, sys; sys.modules[sys.argv[1]] = None; runpy.run_module('longshore_operator', {}, '__main__')"
    ended = subprocess.run(
        [sys.executable, "-c", code, package], capture_output=True, text=True, timeout=120, check=False
    )
    sentence = f"The operator needs the package {package}; install it with: pip install 'longshore[operator]'"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"longshore_operator: {sentence}\n")
