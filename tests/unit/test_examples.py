"""The examples say the same thing wherever they say it."""

from importlib.metadata import version
from pathlib import Path

import yaml

DIGITS = Path(__file__).parents[2] / "deploy" / "examples" / "digits"


def test_the_step_of_the_cluster_differs_from_the_local_one_in_its_source_alone():
    here = yaml.safe_load((DIGITS / "step.yaml").read_text())
    there = yaml.safe_load((DIGITS / "cluster" / "step.yaml").read_text())
    assert here["spec"].pop("source") == {"uri": "file:."}
    assert there["spec"].pop("source") == {"configMap": "digits-code"}
    assert here == there


def test_the_image_has_the_packages_that_a_local_run_has():
    lines = (DIGITS / "requirements.txt").read_text().splitlines()
    pinned = dict(each.split("==") for each in lines if not each.startswith("#"))
    assert pinned == {name: version(name) for name in pinned}
