"""Environments that Azure ML provides: which packages stand for their names."""

import pytest
from freezing import frozen

from longshore_planner.packages.curated import curated_families, curated_spec, is_curated


@pytest.mark.parametrize(
    ("name", "first", "python"),
    [
        ("AzureML-sklearn-1.0-ubuntu20.04-py38-cpu", "scikit-learn==1.0.*", "3.8"),
        ("AzureML-sklearn-0.24-ubuntu18.04-py37-cpu", "scikit-learn==0.24.*", "3.7"),
        ("AzureML-Scikit-learn-0.20.3", "scikit-learn==0.20.3.*", None),
        ("sklearn-1.5", "scikit-learn==1.5.*", None),
        ("AzureML-pytorch-1.10-ubuntu18.04-py38-cuda11-gpu", "torch==1.10.*", "3.8"),
        ("AzureML-ACPT-pytorch-1.13-py38-cuda11.7-gpu", "torch==1.13.*", "3.8"),
        ("acpt-pytorch-2.2-cuda12.1", "torch==2.2.*", None),
        ("AzureML-PyTorch-1.6-GPU", "torch==1.6.*", None),
        ("AzureML-tensorflow-2.7-ubuntu20.04-py38-cuda11-gpu", "tensorflow==2.7.*", "3.8"),
        ("AzureML-lightgbm-3.3-ubuntu20.04-py38-cpu", "lightgbm==3.3.*", "3.8"),
    ],
)
def test_a_curated_name_is_a_package_of_its_version_and_what_goes_with_it(name: str, first: str, python: str | None):
    spec = curated_spec(name)
    assert spec is not None
    packages = spec["packages"]
    assert (packages["pip"][0], packages.get("python")) == (first, python)
    assert len(packages["pip"]) > 3
    assert spec.get("image") == (python and f"docker.io/library/python:{python}")
    assert first in frozen(**packages).requirements


def test_the_minimal_environment_has_an_interpreter_alone():
    assert curated_spec("AzureML-Minimal") == {}
    assert curated_spec("AzureML-minimal-ubuntu18.04-py37-cpu-inference") == {
        "image": "docker.io/library/python:3.7",
        "packages": {"python": "3.7"},
    }


@pytest.mark.parametrize("name", ["AzureML-Triton", "AzureML-AutoML", "AzureML-", "my-environment", "AzureML-x_1"])
def test_other_names_are_not_known(name: str):
    assert curated_spec(name) is None
    assert is_curated(name) == name.startswith("AzureML-")


def test_the_five_most_common_are_known():
    assert curated_families() == ["sklearn", "pytorch", "tensorflow", "lightgbm", "minimal"]
