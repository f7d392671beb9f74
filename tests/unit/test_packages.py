"""Packages of an Environment: what is read, in which normal form, and what is refused with which words."""

from typing import Any

import pytest
from freezing import frozen, problems

from longshore_protocol.package_set import PackageSet

RELEASED = "use a released package, or put the code into the source folder"
INDEX = "use a package index, and set indexUrl or extraIndexUrls"
OMITTED = "is omitted: its modules are replaced by Longshore's own"
WORD = "hunter2"  # a password, which nothing may show


@pytest.mark.parametrize(
    ("line", "normal"),
    [
        ("scikit-learn", "scikit-learn"),
        ("Scikit_Learn >= 1.4 , < 2", "scikit-learn<2,>=1.4"),
        ("uvicorn[Standard]==0.30", "uvicorn[standard]==0.30"),
        ('pandas ; python_version < "3.12"', 'pandas; python_version < "3.12"'),
        ("torch @ https://example/torch.whl", "torch @ https://example/torch.whl"),
        ("numpy==1.26.4  # the last of its line", "numpy==1.26.4"),
    ],
)
def test_a_requirement_has_one_normal_form_wherever_it_is_named(line: str, normal: str):
    by_pip = frozen(pip=[line.partition("  #")[0]])
    assert by_pip.requirements == (normal,)
    assert frozen(requirements=f"# first\n\n{line}\n").digest == by_pip.digest
    quoted = line.replace("'", "''")
    assert frozen(conda=f"dependencies:\n- pip:\n  - '{quoted}'\n").digest == by_pip.digest


def test_a_digest_depends_on_what_is_installed_and_on_nothing_else():
    one = frozen(pip=["numpy", "pandas>=2,<3"], secretRef={"name": "index"})
    assert one.digest == frozen(requirements="pandas<3,>=2\nNumPy\nnumpy").digest
    assert PackageSet.from_json(one.to_json()) == one
    others = [
        frozen(pip=["numpy", "pandas>=2,<4"]),
        frozen(pip=["numpy", "pandas>=2,<3"], python="3.11"),
        frozen(pip=["numpy", "pandas>=2,<3"], indexUrl="https://index.example/simple"),
        frozen(pip=["numpy", "pandas>=2,<3"], extraIndexUrls=["https://index.example/simple"]),
    ]
    assert len({each.digest for each in [one, *others]}) == 5


def test_requirements_may_name_indexes():
    text = "-i https://index.example/simple\n--extra-index-url=https://more.example/whl/cpu\ntorch \\\n  >=2\n"
    found = frozen(requirements=text, extraIndexUrls=["https://first.example/simple"])
    assert (found.requirements, found.index_url) == (("torch>=2",), "https://index.example/simple")
    assert found.extra_index_urls == ("https://first.example/simple", "https://more.example/whl/cpu")
    (problem,) = problems(requirements=text, indexUrl="https://other.example/simple")
    assert problem == (
        "spec.packages.indexUrl is not the only package index: https://other.example/simple and "
        "https://index.example/simple are named; keep one, and set the others as extraIndexUrls"
    )


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("numpy=1.26", "must be a requirement such as numpy, numpy==1.26.4 or numpy>=1.26,<3"),
        ("-r base.txt", "has the option -r, which is not supported; put the lines of that file here"),
        ("--editable .", f"has the option --editable, which is not supported; {RELEASED}"),
        (
            "./wheels/mine-1.0-py3-none-any.whl",
            "is a file of one machine; use a package of an index, or put the code into the source folder",
        ),
        ("git+https://example/mine.git", "has no name; write NAME @ git+https://example/mine.git"),
        ("--find-links=wheels", f"has the option --find-links, which is not supported; {INDEX}"),
        ("--no-deps", "has the option --no-deps, which is not supported; remove it"),
    ],
)
def test_a_line_that_is_not_supported_is_refused_by_its_number(line: str, rule: str):
    assert problems(requirements=f"numpy\n\n{line}\n") == [f"spec.packages.requirements line 3 is {line!r}: {rule}"]
    assert problems(pip=["numpy", line]) == [f"spec.packages.pip[1] is {line!r}: {rule}"]
    text = f"dependencies:\n- pip:\n  - numpy\n  - '{line}'\n"
    assert problems(conda=text) == [f"spec.packages.conda line 4 is {line!r}: {rule}"]


@pytest.mark.parametrize(
    "fields",
    [
        {"pip": [f"mine @ https://user:{WORD}@index.example/mine.whl"]},
        {"pip": [f"mine @ https://index.example/mine.whl?sig={WORD}"]},
        {"requirements": f"numpy\n--index-url https://user:{WORD}@index.example/simple\n"},
        {"requirements": f"--extra-index-url=https://{WORD}@index.example/simple\nnumpy"},
        {"requirements": f"git+https://{WORD}@index.example/mine.git"},
        {"conda": f"dependencies:\n- pip:\n  - -i https://user:{WORD}@index.example/simple\n"},
        {"conda": f"channels:\n- https://index.example/t/x?{WORD}\n"},
        {"conda": f"channels: [https://user:{WORD}@index.example/conda]\n"},
        {"conda": f"dependencies: ['https://user:{WORD}@index.example/conda::numpy']\n"},
        {"pip": ["numpy"], "indexUrl": f"https://user:{WORD}@index.example/simple"},
        {"pip": ["numpy"], "extraIndexUrls": [f"https://{WORD}@index.example/simple"]},
        {"pip": ["numpy"], "indexUrl": f"{WORD} " + "x" * 3000},
    ],
)
def test_credentials_are_refused_and_never_shown(fields: dict[str, Any]):
    (problem,) = problems(**fields)
    assert WORD not in problem
    assert "put user and password into the Secret that secretRef names" in problem


def test_hashes_are_those_of_the_index():
    found = frozen(requirements="numpy==1.26.4 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\npandas\n")
    assert found.requirements == ("numpy==1.26.4", "pandas")
    assert found.notes == ("the hashes of numpy==1.26.4 are replaced by those of the package index",)


def test_packages_of_azure_ml_are_omitted_with_a_note():
    found = frozen(
        pip=["azureml-core==1.41", "azureml_defaults", "azureml-dataset-runtime[pandas,fuse]", "azure-identity"]
    )
    assert found.requirements == ("azure-identity", "pandas", "pyarrow")
    assert found.notes == (
        f"azureml-core {OMITTED}",
        f"azureml_defaults {OMITTED}",
        f"azureml-dataset-runtime {OMITTED}, and its extras by pandas and pyarrow",
    )


def test_a_set_accepts_the_versions_of_python_that_are_asked_for():
    assert frozen(pip=["numpy"]).accepts("3.11.7")
    assert frozen(pip=["numpy"], python="3.10").accepts("3.10.13")
    assert not frozen(pip=["numpy"], python="3.10").accepts("3.1")
    assert frozen(python="3.10").requirements == ()
