"""Conda files: what of them is installed from the package index, and what is refused by its line."""

from pathlib import Path

import pytest
from freezing import frozen, problems

IMAGE = "which package indexes of Python do not have; build an image that contains it, and set spec.image"


def dependencies(*lines: str) -> str:
    return "\n".join(
        ["name: project", "channels: [conda-forge, defaults]", "dependencies:", *(f"- {x}" for x in lines)]
    )


@pytest.mark.parametrize(
    ("line", "requirement"),
    [
        ("numpy", "numpy"),
        ("numpy=1.21", "numpy==1.21.*"),
        ("numpy=1.21.*", "numpy==1.21.*"),
        ("numpy==1.21.6", "numpy==1.21.6"),
        ("numpy 1.21.6", "numpy==1.21.6"),
        ("numpy 1.21*", "numpy==1.21.*"),
        ("numpy=1.21.6=py38h1d589f8_0", "numpy==1.21.6"),
        ("numpy==1.21.6=py38h1d589f8_0", "numpy==1.21.6"),
        ("numpy 1.21.6 py38h1d589f8_0", "numpy==1.21.6"),
        ('"numpy>=1.21,<2"', "numpy<2,>=1.21"),
        ('"numpy >= 1.21 , != 1.22.*"', "numpy!=1.22.*,>=1.21"),
        ('"numpy ~=1.21"', "numpy~=1.21"),
        ("numpy>=1.21.*", "numpy>=1.21"),
        ("conda-forge::numpy=1.21", "numpy==1.21.*"),
        ("conda-forge/linux-64::numpy", "numpy"),
        ("\"numpy[version='>=1.21,<2',build=py38_0]\"", "numpy<2,>=1.21"),
        ("pytorch=1.13", "torch==1.13.*"),
        ("pytorch=1.13.1=py3.8_cuda11.7_cudnn8.5.0_0", "torch==1.13.1"),
        ("opencv==4.5.3", "opencv-python-headless==4.5.3.*"),
        ("py-xgboost", "xgboost"),
        ("tensorflow-gpu=2.9", "tensorflow==2.9.*"),
        ("matplotlib-base", "matplotlib"),
        ("PyTables=3.8", "tables==3.8.*"),
    ],
)
def test_a_package_of_conda_is_one_of_the_index(line: str, requirement: str):
    assert frozen(conda=dependencies(line)).requirements == (requirement,)


CHANNELS = """\
name: project
channels:
- pytorch
- conda-forge
- https://conda.example/team
dependencies:
- python
- pytorch::pytorch
- conda-forge::lightgbm=3.3
"""
WITH_PIP = """\
dependencies:
- python=3.10
- pip=22
- scikit-learn
- pip:
  - azureml-defaults
  - transformers[torch]
  - --extra-index-url https://download.pytorch.org/whl/cpu
"""
EXPORTED = """\
name: base
channels:
  - defaults
dependencies:
  - _libgcc_mutex=0.1=main
  - blas=1.0=mkl
  - ca-certificates=2022.4.26=h06a4308_0
  - certifi=2022.5.18.1=py38h06a4308_0
  - libffi=3.3=he6710b0_2
  - mkl_fft=1.3.1=py38hd3c417c_0
  - numpy=1.22.3=py38he7a7128_0
  - openssl=1.1.1o=h7f8727e_0
  - python=3.8.13=h12debd9_0
  - pip=21.2.4=py38h06a4308_0
prefix: /home/me/base
"""
PINS = dependencies("python=3.8.13", "numpy=1.21", "pandas==1.3.5", "pip")
RANGE = dependencies('"python>=3.8,<3.11"', "scipy")
SHAPES = {
    "pins": (PINS, ("numpy==1.21.*", "pandas==1.3.5"), ("3.8",)),
    "channels": (CHANNELS, ("lightgbm==3.3.*", "torch"), ()),
    "pip section": (WITH_PIP, ("scikit-learn", "transformers[torch]"), ("3.10",)),
    "range of python": (RANGE, ("scipy",), ("3.8", "3.9", "3.10")),
    "exported, with build strings": (EXPORTED, ("certifi==2022.5.18.1", "numpy==1.22.3"), ("3.8",)),
    "only pip": ("dependencies: [{pip: [joblib]}]", ("joblib",), ()),
    "nothing": ("name: project\ndependencies:\n", (), ()),
}


@pytest.mark.parametrize(("text", "requirements", "pythons"), SHAPES.values(), ids=SHAPES)
def test_conda_files_of_every_shape(text: str, requirements: tuple[str, ...], pythons: tuple[str, ...]):
    found = frozen(conda=text)
    assert (found.requirements, found.pythons) == (requirements, pythons)


def test_what_is_left_out_is_noted():
    notes = frozen(conda=EXPORTED).notes
    assert "openssl is omitted: it belongs to the interpreter" in notes
    assert "mkl_fft is omitted: packages of PyPI contain it" in notes
    assert frozen(conda=CHANNELS).notes == (
        "the channel https://conda.example/team is not used: packages come from the package index",
    )
    assert frozen(conda=dependencies("cudatoolkit=11.3")).notes == (
        "cudatoolkit is omitted: packages of PyPI contain their own CUDA libraries; for others, use an image",
    )
    assert frozen(conda="dependencies: []\nvariables: {A: b}\n").notes == (
        "variables of the conda file are ignored; set them in spec.variables",
    )


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("ffmpeg", f"is a system library or program, {IMAGE}"),
        ("gdal=3.4", f"is a system library or program, {IMAGE}"),
        ("graphviz", f"is a system library or program, {IMAGE}"),
        ("openjdk=11", f"is a system library or program, {IMAGE}"),
        ("r-base=4.1", f"is a package of R, {IMAGE}"),
        ("conda-forge::r-dplyr", f"is a package of R, {IMAGE}"),
        ("bioconductor-limma", f"is a package of R, {IMAGE}"),
        ("python=2.7", "asks for a version of Python that Longshore does not run; it runs 3.7 and later"),
        (
            "numpy=1.21|1.22",
            "has alternatives with |, which package indexes of Python do not have; name one range",
        ),
        ("tzcode=2022g-x", "has the version '=2022g-x', which packages of Python cannot have"),
        ("numpy[md5=abc]", "has md5, which is not supported; give a name and a version only"),
        (
            "/opt/numpy.tar.bz2",
            "must be a package of conda such as numpy, numpy=1.26 or conda-forge::numpy>=1.26,<3",
        ),
    ],
)
def test_what_cannot_be_installed_is_refused_by_its_line(line: str, rule: str):
    (problem,) = problems(conda=dependencies("numpy", f'"{line}"'))
    assert problem == f"spec.packages.conda line 5 is {line!r}: {rule}"


def test_every_bad_line_is_named_at_once():
    text = dependencies("ffmpeg", "numpy", "r-base") + "\n- {conda: [x]}\nchannel: [y]\n"
    assert [each.partition(":")[0] for each in problems(conda=text)] == [
        "spec.packages.conda line 4 is 'ffmpeg'",
        "spec.packages.conda line 6 is 'r-base'",
        "spec.packages.conda line 7 is 'conda'",
        "spec.packages.conda line 8 is 'channel'",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("dependencies: [a\n", "line 2 is not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("- numpy\n- pandas", "line 1 must be a mapping with dependencies, as the content of an environment.yml"),
        ("name: x\ndependencies: numpy\n", "line 2 must be a list"),
        ("dependencies:\n- [numpy]\n", "line 2 must be a text"),
        ("env.yaml", "is 'env.yaml': is the name of a file"),
    ],
)
def test_what_is_no_conda_file_is_refused(text: str, problem: str):
    (found,) = problems(conda=text)
    assert found.startswith(f"spec.packages.conda {problem}")


def test_python_of_both_places_must_agree():
    assert frozen(conda=dependencies('"python>=3.8,<3.11"'), python="3.10").pythons == ("3.10",)
    assert problems(conda=dependencies("python=3.8"), python="3.10") == [
        "spec.packages.python is '3.10': spec.packages.conda requires Python 3.8; remove one of the two"
    ]


def test_a_local_manifest_may_name_a_file(tmp_path: Path):
    from longshore_planner.documents import load
    from longshore_planner.references import References

    manifest = tmp_path / "env.yaml"
    manifest.write_text(
        "apiVersion: longshore.dev/v1alpha1\nkind: Environment\nmetadata: {name: scikit}\n"
        "spec: {packages: {conda: conda.yml}}\n"
    )
    (tmp_path / "conda.yml").write_text("dependencies: [numpy=1.26, python=3.11]\n")
    (document,) = load([manifest])
    found = References(load([manifest]), document).packages(document)  # type: ignore[arg-type]
    assert found is not None
    assert (found.requirements, found.pythons) == (("numpy==1.26.*",), ("3.11",))
