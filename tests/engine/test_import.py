"""Azure ML's YAML, imported and then run: what comes out is what the jobs say."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

AZUREML = Path(__file__).parents[1] / "data" / "azureml"

SCORE = """
import argparse, os
parser = argparse.ArgumentParser()
parser.add_argument("--labels")
parser.add_argument("--style")
options, _ = parser.parse_known_args()
label = open(os.path.join(options.labels, "label.txt")).read()
def run(mini_batch):
    return [f"{os.path.basename(path)} {label} {options.style} {os.environ['FORMS_STYLE']}" for path in mini_batch]
"""
IDENTIFY = """
import os
def run(mini_batch):
    return [f"{os.path.basename(path)} {os.environ['DIGITS']} {os.environ['OMP_NUM_THREADS']}" for path in mini_batch]
"""
PREP = """
import argparse, os
parser = argparse.ArgumentParser()
for each in ("words", "longest", "out"):
    parser.add_argument("--" + each)
options = parser.parse_args()
for name in os.listdir(options.words):
    with open(os.path.join(options.words, name)) as file, open(os.path.join(options.out, name), "w") as out:
        out.write(file.read()[: int(options.longest)])
"""
COUNT = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--factor", type=float)
options, _ = parser.parse_known_args()
def run(mini_batch):
    return [len(open(path).read()) * options.factor for path in mini_batch]
"""
ADD = """
import argparse, os
parser = argparse.ArgumentParser()
for each in ("counts", "total", "verbose"):
    parser.add_argument("--" + each)
options = parser.parse_args()
with open(options.counts) as file, open(os.path.join(options.total, "total.txt"), "w") as out:
    out.write(f"{sum(map(float, file))} {options.verbose}")
"""


@pytest.fixture
def azureml(longshore):
    """A folder with Azure ML's files, and what they name, beside each other."""
    shutil.copytree(AZUREML, longshore.folder, dirs_exist_ok=True)
    longshore.variables["LONGSHORE_CACHE"] = str(longshore.folder / "cache")
    longshore.write("src/score.py", SCORE)
    longshore.write("code/identify.py", IDENTIFY)
    for name, text in (("prep", PREP), ("count", COUNT), ("add", ADD)):
        longshore.write(f"{name}/{name}.py", text)
    longshore.write("labels/label.txt", "form")
    longshore.data(*(f"{number}.txt" for number in range(5)), under="datastores/scans/incoming/2026")
    longshore.data("one.png", "two.png", under="data/input")
    for word in ("few", "words", "averyveryverylongone"):
        longshore.write(f"words/{word}.txt", word)
    return longshore


def imported(azureml, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "longshore_cli", "import", "azureml", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=azureml.folder,
    )


def manifests_of(azureml, name):
    """Import a file into the folder manifests/, which `longshore run` takes."""
    ended = imported(azureml, name, "--output", "manifests")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert "longshore run manifests --explain" in ended.stderr
    return ["manifests"]


@pytest.mark.parametrize("name", ["parallel_job.yml", "pipeline_job.yml", "parallel_run_config.yml"])
def test_what_is_imported_is_explained(azureml, name):
    explained = azureml.run("--explain", paths=manifests_of(azureml, name), json=False)
    assert (explained.code, explained.stderr) == (0, "")
    assert not azureml.run_dir.exists()


def test_a_parallel_job_runs_with_its_side_input_and_variables(azureml):
    ended = azureml.run(paths=manifests_of(azureml, "parallel_job.yml"))
    assert ended.reason == "Succeeded"
    output = Path(ended.status["output"]["uri"]) / "scores.txt"
    assert sorted(output.read_text().splitlines()) == [f"{number}.txt form long long" for number in range(5)]
    assert ended.mini_batches == {"total": 3, "scheduled": 3, "succeeded": 3}


def test_a_config_of_v1_runs_on_the_data_that_is_filled_in(azureml):
    ended = azureml.run(paths=manifests_of(azureml, "parallel_run_config.yml"))
    assert ended.reason == "Succeeded"
    output = Path(ended.status["output"]["uri"]) / "digits.txt"
    assert sorted(output.read_text().splitlines()) == ["one.png few 1", "two.png few 1"]


def test_a_pipeline_job_runs_from_stdout_as_from_a_folder_and_takes_parameters(azureml):
    azureml.write("manifest.yaml", imported(azureml, "pipeline_job.yml").stdout)
    ended = azureml.run("-p", "factor=2.0", "-p", "longest=10", patience=120.0)
    steps = {each["name"]: each for each in ended.status["steps"]}
    assert {name: each["state"] for name, each in steps.items()} == dict.fromkeys(
        ["prep-words", "count", "add"], "Succeeded"
    )
    (output,) = steps["add"]["outputs"]
    assert (Path(output["uri"]) / "total.txt").read_text() == f"{2.0 * (3 + 5 + 10)} True"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "bad.yml line 1, column 5: "),
        ("just words", "bad.yml: is neither a parallel job or a pipeline job of Azure ML v2, nor "),
        (
            "type: command\ncommand: python x.py\n",
            "bad.yml: is neither a parallel job or a pipeline job of Azure ML v2, nor ",
        ),
        ("type: parallel\n---\ntype: parallel\n", "bad.yml: contains 2 YAML documents; it must contain exactly one"),
        ("", "bad.yml: contains 0 YAML documents; it must contain exactly one"),
    ],
    ids=["no YAML", "no mapping", "another kind of job", "two documents", "nothing"],
)
def test_what_cannot_be_imported_is_met_with_one_sentence(longshore, text, said):
    longshore.write("bad.yml", text)
    ended = imported(longshore, "bad.yml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"longshore: {said}")
    assert len(ended.stderr.splitlines()) == 1


def test_a_file_that_is_not_there_is_met_with_one_sentence(longshore):
    ended = imported(longshore, "missing.yml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "longshore: missing.yml: cannot be read: No such file or directory\n"


def test_an_import_never_writes_over_a_file(azureml):
    manifests_of(azureml, "parallel_job.yml")
    azureml.write("manifests/parallelrunstep-score-forms.yaml", "mine")
    ended = imported(azureml, "parallel_job.yml", "--output", "manifests")
    assert ended.returncode == 2
    assert (
        'it already contains "parallelrunstep-score-forms.yaml"; choose another folder or delete the file'
        in ended.stderr
    )
    assert (azureml.folder / "manifests/parallelrunstep-score-forms.yaml").read_text() == "mine"
