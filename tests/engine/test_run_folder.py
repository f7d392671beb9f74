"""What a real run leaves in its folder, and whether the readme in it tells the truth."""

import csv
import fnmatch
import json
import os
import re
import subprocess
import sys

import pytest

DEADLINE = 120  # seconds for a run that takes one or two
SCRIPT = """\
def run(mini_batch):
    if any(path.endswith("3.txt") for path in mini_batch):
        raise ValueError("the third file is bad")
    return mini_batch
"""
MANIFEST = """\
apiVersion: longshore.dev/v1alpha1
kind: ParallelRunStep
metadata: {name: folder}
spec:
  inputs: [{name: texts, file: {paths: ["data/*.txt"]}}]
  output: {name: names}
  source: {uri: "file:."}
  entryScript: script.py
  processCountPerNode: 2
  miniBatchSize: 1
  runMaxTry: 2
  errorThreshold: 1
  outputAction: append_row
  metricsNamePrefix: nightly.
  resourceMonitorIntervalSeconds: INTERVAL
  PROFILING
"""
NODE = "worker-0"


def run_of(folder, *, interval, profiling=""):
    """Run a step of eight files, one of which fails, and return its run folder."""
    source = folder / "source"
    (source / "data").mkdir(parents=True)
    for number in range(8):
        (source / "data" / f"{number}.txt").write_text("x")
    (source / "script.py").write_text(SCRIPT)
    manifest = MANIFEST.replace("INTERVAL", str(interval)).replace("PROFILING", profiling)
    (source / "step.yaml").write_text(manifest)
    command = [sys.executable, "-m", "longshore_cli", "run", str(source), "--run-dir", str(folder / "run"), "--json"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=DEADLINE)
    assert ended.returncode == 0, ended.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("run-folder"), interval=600, profiling="profilingModule: cProfile")


def objects(folder):
    return {
        os.path.relpath(os.path.join(parent, name), folder) for parent, _, names in os.walk(folder) for name in names
    }


def patterns(readme):
    """Return the file names that the readme explains, as patterns below logs/."""
    names = re.findall(r"^([a-z]\S*?\.\S+|perf/\S+|sys/node/<node>/agent\.txt, host\.txt)\s", readme, re.MULTILINE)
    each = [name.replace("agent.txt, host.txt", "") for name in names if "," not in name]
    each += ["sys/node/<node>/agent.txt", "sys/node/<node>/host.txt"]
    return [name.replace("<node>", NODE).replace("<yyyymmddhh>", "*").replace("NNN", "[0-9]*") for name in each]


def test_the_readme_explains_every_log_that_is_there(run_folder):
    logs = {name.removeprefix("logs/") for name in objects(run_folder) if name.startswith("logs/")}
    known = [*patterns((run_folder / "logs" / "readme.txt").read_text()), "readme.txt"]
    assert {name for name in logs if not any(fnmatch.fnmatch(name, pattern) for pattern in known)} == set()


def test_what_the_readme_explains_is_there_but_for_what_it_states_may_be_absent(run_folder):
    logs = {name.removeprefix("logs/") for name in objects(run_folder)}
    missing = {
        pattern
        for pattern in patterns((run_folder / "logs" / "readme.txt").read_text())
        if not fnmatch.filter(logs, pattern)
    }
    # Nothing failed permanently, Longshore had no bug, the code was one, and the script asked for no EntryScript.
    assert missing == {
        "job_error.txt",
        "sys/error.txt",
        "sys/internal_error.txt",
        "sys/job_report/code.json",
        "user/entry_script_log/worker-0/process[0-9]*.log.txt",
    }


def test_beside_the_logs_there_are_output_ledger_status_and_the_list_of_the_lost(run_folder):
    # Segments are there because a mini-batch failed, which may be retried.
    kept = ("logs/", "state/ledger/", "state/segments/")
    rest = {name for name in objects(run_folder) if not name.startswith(kept)}
    assert rest == {
        ".longshore",
        "failed.jsonl",
        "names/parallel_run_step.txt",
        "state/epochs/000001.json",
        "state/output.json",
        "state/run.json",
        "state/succeeded.json",
        "status.json",
    }


def test_the_last_line_of_metrics_states_that_all_is_finished(run_folder):
    last = json.loads((run_folder / "logs" / "metrics.jsonl").read_text().splitlines()[-1])
    del last["time"]
    assert last == {
        "nightly.Total mini batches": 8,
        "nightly.Remaining mini batches": 0,
        "nightly.Remaining items": 0,
        "nightly.Failed items": 1,
        "nightly.Job progress": 100.0,
    }


def test_the_use_of_resources_has_a_first_and_a_last_sample_with_the_processes(run_folder):
    folder = run_folder / "logs" / "perf" / NODE
    with (folder / "node_resource_usage.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 2
    assert all(float(row["Memory Total MB"]) > 0 for row in rows)
    with (folder / "processes_resource_usage.csv").open() as file:
        named = {row["Process"] for row in csv.DictReader(file)}
    assert {"agent", "host"} <= named
    assert any(name.startswith("process") for name in named)


def test_each_attempt_is_in_the_log_of_the_process_that_had_it(run_folder):
    logs = sorted((run_folder / "logs" / "sys" / "node" / NODE).glob("process*.txt"))
    lines = [line for log in logs for line in log.read_text().splitlines()]
    assert sum("RUN_DONE" in line for line in lines) == 7
    assert sum("mini-batch 3" in line and "RUN_EXCEPTION" in line for line in lines) == 2
    assert sum("the last try" in line for line in lines) == 1


def test_an_interval_of_zero_leaves_no_use_of_resources(tmp_path):
    folder = run_of(tmp_path, interval=0)
    assert not (folder / "logs" / "perf").exists()
