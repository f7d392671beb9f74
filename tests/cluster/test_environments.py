"""Environments with packages: installed once by a builder, unpacked by each pod that runs scripts."""

import pytest
from indexes import Index

SCRIPT = """
import doubler, sys

def run(mini_batch):
    return [f"{path.rpartition('/')[2]} {doubler.double(int(open(path).read()))}" for path in mini_batch]
"""
TASK = """
import sys, doubler
print(sys.prefix, doubler.__version__)
"""
CODE = "def double(number):\n    return 2 * number\n"
BUILDERS = "longshore.dev/role=builder"


@pytest.fixture
def index(namespace, tmp_path):
    """A package index with one package."""
    made = Index(namespace, tmp_path / "index")
    made.add("doubler", code=CODE)
    return made


@pytest.fixture
def environments(steps, index):
    """Steps whose Environment names packages and no image."""
    steps.script("doubling", SCRIPT)
    steps.apply("Environment", "packages", packages={"pip": ["doubler"], "indexUrl": index.url})
    return steps


def submit(steps, name="score", **changes):
    steps.submit(name, **{"source": {"configMap": "doubling"}, "environment": {"name": "packages"}, **changes})


def builders(steps):
    return {each["metadata"]["name"]: each for each in steps.kubectl.read("pods", labelSelector=BUILDERS)}


def test_packages_are_installed_once_for_steps_without_an_image(environments):
    submit(environments)
    assert environments.finish()["status"] == "True", environments.condition()
    assert environments.output().splitlines()[:2] == ["000.txt 0", "001.txt 2"]
