"""A missing optional package is named with its extra, before anything is started."""

import importlib
import os
import re
import sys
from pathlib import Path

import pytest
import yaml
from manifests import resource

from longshore_cli.__main__ import main
from longshore_protocol.packages import MissingPackageError, require
from longshore_storage.causes import cause_of
from longshore_storage.databases import open_database
from longshore_storage.errors import DatabaseError
from longshore_storage.store import open_store
from longshore_storage.systems import require_store

ROWS = {"name": "rows", "tabular": {"format": "csv", "paths": ["rows.csv"]}}
FILES = {"name": "files", "file": {"paths": ["files/*"]}}
SALES = {
    "name": "rows",
    "tabular": {"format": "sql", "query": "SELECT * FROM a", "splitBy": "id", "datastore": "sales"},
}
INSTALL = "install it with: pip install 'longshore[{}]'"


@pytest.fixture
def hide(monkeypatch, tmp_path):
    """Hide packages from this process and from the interpreters that it starts."""
    folder = tmp_path / "hook"
    folder.mkdir()

    def hidden(*packages):
        hook = f"import sys\nsys.modules.update(dict.fromkeys({packages!r}))\n"
        (folder / "sitecustomize.py").write_text(hook)
        monkeypatch.setenv("PYTHONPATH", str(folder))
        for package in packages:
            monkeypatch.setitem(sys.modules, package, None)
        known = importlib.import_module("fsspec.registry")._registry
        for protocol, kind in list(known.items()):  # of stores that earlier tests have opened
            if kind.__module__.partition(".")[0] in packages:
                monkeypatch.delitem(known, protocol)

    return hidden


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working folder, with a script and data."""
    work = tmp_path / "work"
    (work / "files").mkdir(parents=True)
    (work / "files" / "a").write_text("1")
    (work / "rows.csv").write_text("a\n1\n")
    (work / "score.py").write_text("def run(mini_batch):\n    return [1]\n")
    monkeypatch.chdir(work)
    return work


def write(kind, name, spec):
    with Path("step.yaml").open("a") as file:
        file.write("---\n" + yaml.safe_dump(resource(kind, name, spec)))


def parallel(*inputs, **fields):
    given = {"inputs": list(inputs), "output": {"name": "out"}, "source": {"uri": "file:."}, "entryScript": "score.py"}
    given |= {"outputAction": "append_row", "miniBatchSize": "1MB" if "tabular" in inputs[0] else 1, **fields}
    return {name: value for name, value in given.items() if value is not None}


@pytest.fixture
def refused(hide, capsys):
    """Run the command without packages; it must refuse and leave nothing. Return the sentences that it prints."""

    def refused(packages, *arguments):
        hide(*packages)
        before = sorted(Path().rglob("*"))
        assert main(["run", "step.yaml", *arguments]) == 2
        assert sorted(Path().rglob("*")) == before
        printed = capsys.readouterr()
        assert printed.out == ""
        return printed.err.splitlines()

    return refused


@pytest.mark.parametrize(
    ("package", "location", "extra"),
    [
        ("s3fs", "s3://bucket/in/*.png", "s3"),
        ("s3fs", "s3a://bucket/in/*.png", "s3"),
        ("gcsfs", "gs://bucket/in/*.png", "gcs"),
        ("adlfs", "abfs://container@account.dfs.core.windows.net/in/*.png", "azure"),
        ("adlfs", "az://container/in/*.png", "azure"),
    ],
)
def test_an_input_in_a_store(package, location, extra, refused):
    write("ParallelRunStep", "digits", parallel({"name": "files", "file": {"paths": [location]}}))
    (sentence,) = refused([package])
    assert f"Access to {location} needs the package {package}; {INSTALL.format(extra)}" in sentence


@pytest.mark.parametrize(
    ("fields", "location"),
    [
        ({"source": {"uri": "s3://bucket/code"}}, "s3://bucket/code"),
        ({"sideInputs": [{"name": "words", "file": {"paths": ["s3://bucket/words"]}}]}, "s3://bucket/words"),
        ({"output": {"name": "out", "datastore": "bucket"}}, "s3://bucket/results/longshore/run-"),
    ],
    ids=["source", "side input", "output"],
)
def test_whatever_else_is_in_a_store(fields, location, refused):
    write("ParallelRunStep", "digits", parallel(FILES, **fields))
    write("Datastore", "bucket", {"uri": "s3://bucket/results"})
    (sentence,) = refused(["s3fs"])
    assert f": Access to {location}" in sentence
    assert sentence.endswith(f" needs the package s3fs; {INSTALL.format('s3')}")


PARQUET = {"name": "rows", "tabular": {"format": "parquet", "paths": ["rows.parquet"]}}
BY_ROWS = {"miniBatchSize": None, "miniBatch": {"rows": 10}}


@pytest.mark.parametrize(
    ("package", "given", "wanted"),
    [
        ("pandas", parallel(ROWS), f'Tabular input "rows" needs the package pandas; {INSTALL.format("tables")}'),
        ("pyarrow", parallel(PARQUET), f'Parquet input "rows" needs the package pyarrow; {INSTALL.format("parquet")}'),
        (
            "pyarrow",
            parallel(FILES, output={"name": "out", "format": "parquet"}),
            f'Output format "parquet" needs the package pyarrow; {INSTALL.format("parquet")}',
        ),
        (
            "sqlalchemy",
            parallel(SALES, **BY_ROWS),
            f"Reading postgresql://db/sales needs the package sqlalchemy; {INSTALL.format('sql')}",
        ),
        (
            "psycopg",
            parallel(SALES, **BY_ROWS),
            f"Reading postgresql://db/sales needs the package psycopg; {INSTALL.format('sql')}",
        ),
    ],
    ids=["tables", "parquet input", "parquet output", "sqlalchemy", "driver"],
)
def test_a_format(package, given, wanted, refused):
    write("ParallelRunStep", "digits", given)
    write("Datastore", "sales", {"uri": "postgresql://db/sales"})
    (sentence,) = refused([package])
    assert wanted in sentence


def test_explain_and_a_run_folder_in_a_store(refused):
    write("ParallelRunStep", "digits", parallel(ROWS))
    assert "needs the package pandas" in " ".join(refused(["pandas"], "--explain"))
    wanted = f"Access to s3://bucket/runs needs the package s3fs; {INSTALL.format('s3')}"
    assert wanted in " ".join(refused(["s3fs"], "--run-dir", "s3://bucket/runs"))


def test_each_missing_package_is_named_once(refused):
    stores = [{"name": each, "file": {"paths": [f"s3://bucket/{each}"]}} for each in ("a", "b")]
    write("ParallelRunStep", "digits", parallel(*stores, output={"name": "out", "format": "parquet"}))
    sentences = refused(["s3fs", "pyarrow"])
    assert [re.search("the package ([a-z0-9]*);", each)[1] for each in sentences] == ["s3fs", "pyarrow"]


@pytest.mark.parametrize(
    ("step", "wanted"),
    [
        (
            {"parallelRun": parallel(ROWS)},
            'Tabular input "rows" needs the package pandas; ' + INSTALL.format("tables"),
        ),
        (
            {
                "script": {
                    "source": {"uri": "file:."},
                    "scriptName": "score.py",
                    "inputs": [{"name": "a", "file": {"paths": ["gs://bucket/a"]}}],
                }
            },
            f"Access to gs://bucket/a needs the package gcsfs; {INSTALL.format('gcs')}",
        ),
        (
            {"transfer": {"source": {"datastore": "bucket", "path": "a"}, "destination": {"path": "copies"}}},
            f"Access to s3://bucket/a needs the package s3fs; {INSTALL.format('s3')}",
        ),
    ],
    ids=["parallelRun", "script", "transfer"],
)
def test_a_step_of_a_pipeline(step, wanted, refused):
    write("Datastore", "bucket", {"uri": "s3://bucket", "default": False})
    write("Pipeline", "both", {"steps": [{"name": "second", **step}]})
    (sentence,) = refused(["pandas", "gcsfs", "s3fs"])
    assert sentence == f"longshore: step 'second': {wanted}"


def test_the_scripts_own_interpreter_is_asked(refused, folder):
    python = folder.parent / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    write("ParallelRunStep", "digits", parallel(ROWS, environment={"name": "other"}))
    write("Environment", "other", {"image": "other:1", "python": str(python)})
    (sentence,) = refused(["pandas"])
    remedy = f"install it with: {python} -m pip install pandas"
    assert f'Tabular input "rows" needs the package pandas in the environment of {python}; {remedy}' in sentence


def test_a_package_beside_the_script_is_not_missing(hide, capsys):
    write("ParallelRunStep", "digits", parallel(ROWS, environmentVariables={"PYTHONPATH": os.getcwd()}))
    Path("pandas.py").write_text("")
    hide("pandas")
    assert main(["run", "step.yaml", "--explain"]) == 0
    assert "1 mini-batches" in capsys.readouterr().out


def test_errors_of_stores_and_databases_name_the_package_wherever_they_are_raised(hide):
    hide("s3fs", "pymssql")
    with pytest.raises(MissingPackageError, match=r"^Access to s3://b/a needs the package s3fs; install") as raised:
        open_store("s3://b/a")
    assert cause_of("s3://b/a", raised.value) == str(raised.value)
    with pytest.raises(DatabaseError, match=r"^Reading mssql://h/d needs the package pymssql; .*\[sql\]"):
        open_database("mssql://h/d", name="d")
    with pytest.raises(MissingPackageError, match="s3fs"):
        require_store("zip://a.csv::s3://b/a.zip")


def test_a_secret_in_a_location_is_not_shown(hide):
    hide("s3fs")
    with pytest.raises(MissingPackageError, match=r"^Access to s3://key:\*\*\*@b/a needs"):
        require_store("s3://key:hunter2@b/a")


def test_a_package_that_is_there_and_fails_states_why(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import its_own_dependency")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        MissingPackageError, match=r"which cannot be imported \(No module named 'its_own_dependency'\);"
    ):
        require("half_installed", extra="s3", subject="This")
