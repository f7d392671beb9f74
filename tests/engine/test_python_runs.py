"""Runs that Python submits to a local workspace: in the background, read and controlled from any process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from longshore import (
    FileDataset,
    InvalidArgument,
    Output,
    ParallelRunStep,
    Parameter,
    Pipeline,
    RunFailed,
    ScriptStep,
    TabularDataset,
    Workspace,
)

SCORE = """
import os, time
def run(mini_batch):
    print("got", *map(os.path.basename, mini_batch))
    if "7.txt" in str(mini_batch) and not os.path.exists(FIXED):
        raise ValueError("seven")
    while os.path.exists(GATE):
        time.sleep(0.01)
    return [f"{os.path.basename(each)}:{open(each).read()}" for each in mini_batch]
"""
SUBMIT = """
import os, signal, sys
from test_python_runs import score
import longshore
run = longshore.Workspace.local().submit(score())
print(run.id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def score(**settings) -> ParallelRunStep:
    given = {"inputs": {"numbers": FileDataset("data/*.txt")}, "output": "scores", "mini_batch_size": 2, **settings}
    return ParallelRunStep("score", "score.py", source="code", failed_items_warning_percent=100, **given)


@pytest.fixture(name="folder")
def the_folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for number in range(10):
        (tmp_path / f"data/{number}.txt").write_text(str(number))
    (tmp_path / "code").mkdir()
    text = SCORE.replace("GATE", repr(str(tmp_path / "gate"))).replace("FIXED", repr(str(tmp_path / "fixed")))
    (tmp_path / "code/score.py").write_text(text)
    return tmp_path


def printed(run, text: str) -> None:
    """Wait until a script of the run has printed a text."""
    assert next(line for line in run.logs(follow=True) if text in line)


def test_a_step_is_submitted_watched_and_read(folder: Path, capsys):
    ws = Workspace.local()
    run = ws.submit(score(), tags={"experiment": "first"})
    assert run.wait(timeout=60).status == "Succeeded"
    shown = capsys.readouterr().out
    assert "score: first error: UserError: ValueError: seven" in shown
    assert "4 of 5 mini-batches succeeded" in shown
    assert (run.progress.done, run.progress.failed, run.progress.total) == (5, 1, 5)
    (failure,) = run.failures()
    assert (failure.mini_batch, failure.category, failure.message) == (3, "UserError", "ValueError: seven")
    assert [os.path.basename(each) for each in failure.items] == ["6.txt", "7.txt"]
    table = run.outputs["scores"].to_pandas(sep=":", names=["file", "number"])
    assert list(table["number"]) == [0, 1, 2, 3, 4, 5, 8, 9]
    (copy,) = run.outputs["score.scores"].download("copies")
    assert Path(copy).read_text() == Path(*run.outputs["scores"].paths()).read_text()
    assert "worker-0/process000: got 0.txt 1.txt" in str(run.logs())
    about = str(run.logs(mini_batch=3))
    assert (about.count("mini-batch 3, attempt"), about.count("ValueError: seven")) == (6, 6)
    assert "mini-batch 2" not in about
    assert [each.id for each in ws.runs(tags={"experiment": "first"})] == [run.id]
    assert ws.runs(tags={"experiment": "second"}) == ws.runs(name="other") == []
    (folder / "fixed").touch()
    assert run.retry().wait(show=False, timeout=60).failures() == []
    assert len(run.outputs["scores"].to_pandas(header=None)) == 10


def test_another_process_finds_a_run_after_the_first_was_killed(folder: Path):
    (folder / "gate").touch()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    ended = subprocess.run(
        [sys.executable, "-c", SUBMIT], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    run = Workspace.local().run(ended.stdout.strip())
    printed(run, "got 0.txt 1.txt")
    assert run.status == "Running"
    with pytest.raises(TimeoutError, match=r"still Running after 0\.1 s"):
        run.wait(timeout=0.1)
    (folder / "gate").unlink()
    assert run.wait(show=False, timeout=60).status == "Succeeded"


def test_a_run_is_suspended_resumed_and_cancelled(folder: Path):
    (folder / "gate").touch()
    run = Workspace.local().submit(score())
    printed(run, "got 0.txt 1.txt")
    run.suspend()
    (folder / "gate").unlink()
    with pytest.raises(RunFailed, match="score: Suspended"):
        run.wait(show=False, timeout=60)
    with pytest.raises(RuntimeError, match="is not running"):
        run.suspend()
    with pytest.raises(RuntimeError, match="only a run that has ended can be retried"):
        run.retry()
    (folder / "gate").touch()
    committed = run.progress.done
    run.resume()
    printed(run, "got 8.txt 9.txt" if committed > 3 else "got")
    run.cancel()
    assert run.status == "Cancelled"
    with pytest.raises(RuntimeError, match="is Cancelled, so it cannot be cancelled"):
        run.cancel()
    with pytest.raises(RuntimeError, match="only a suspended run can be resumed"):
        run.resume()
    (folder / "gate").unlink()
    (folder / "code/other.py").touch()
    with pytest.raises(RunFailed, match=r'cannot be resumed: .* the file "other\.py" was added'):
        run.retry().wait(show=False, timeout=60)
    run.resume(accept_changed_code=True)
    assert run.wait(show=False, timeout=60).status == "Succeeded"
    assert committed >= 1


def test_a_pipeline_has_parameters_reuse_and_metrics(folder: Path):
    (folder / "code/prepare.py").write_text(
        "import sys, longshore\n"
        "run = longshore.Run.get_context()\n"
        "run.log('rows', int(sys.argv[2]))\n"
        "open(sys.argv[1] + '/table.csv', 'w').write('a,b\\n1,2\\n')\n"
        "from azureml.core import Run\n"
        "Run.get_context().register_model('iris', sys.argv[1], tags={'kind': 'table'})\n"
        "print('prepared', end='')\n"
    )
    rows = Parameter("rows", 3)
    prepare = ScriptStep("prepare", "prepare.py", source="code", outputs=["clean"], arguments=[Output("clean"), rows])
    (folder / "code/table.py").write_text("def run(rows):\n    return rows\n")
    table = ParallelRunStep(
        "table",
        "table.py",
        source="code",
        inputs={"rows": prepare.outputs["clean"]},
        output=Output("out", format="csv", header=True),
    )
    pipeline = Pipeline("nightly", [prepare, table.replace(inputs={"rows": TabularDataset("data.csv")})])
    (folder / "data.csv").write_text("a,b\n1,2\n3,4\n")
    ws = Workspace.local()
    first = ws.submit(pipeline, parameters={"rows": 5}).wait(show=False, timeout=60)
    assert (first.name, dict(first.parameters), dict(first.metrics)) == ("nightly", {"rows": 5}, {"rows": 5})
    assert [each.status for each in first.steps.values()] == ["Succeeded", "Succeeded"]
    assert first.outputs["clean"].to_pandas().to_dict("list") == {"a": [1], "b": [2]}
    assert first.outputs["out"].to_pandas().to_dict("list") == {"a": [1, 3], "b": [2, 4]}
    assert str(first.logs("prepare")) == "prepared"
    assert [(each.kind, each.name, each.version) for each in first.steps["prepare"].registered] == [
        ("Model", "iris", 1)
    ]
    assert '<th scope="row">prepare</th><td>Succeeded</td>' in first._repr_html_()
    (model,) = ws.resources("Model")
    assert model.to_dict()["spec"]["tags"] == {"kind": "table"}
    second = ws.submit(pipeline, parameters={"rows": 6}).wait(show=False, timeout=60)
    reuse = second.explain_reuse()
    assert reuse["table"] == f"reused from {first.id}"
    assert "rows" in reuse["prepare"] or "argument" in reuse["prepare"]
    assert second.outputs["out"].to_pandas().equals(first.outputs["out"].to_pandas())
    assert second.steps["table"].progress.done == 1


@pytest.mark.usefixtures("folder")
def test_what_cannot_start_fails_with_the_commands_words():
    run = Workspace.local().submit(score().replace(entry_script="missing.py"))
    with pytest.raises(RunFailed, match=r"score: Failed\. .*spec\.entryScript is 'missing\.py'"):
        run.wait(show=False, timeout=60)
    with pytest.raises(RuntimeError, match="has not started"):
        run.retry()


@pytest.mark.usefixtures("folder")
def test_a_run_of_the_command_is_read_too():
    from longshore_runs.local import LocalRun, find_runs

    Path("step.yaml").write_text(score().to_yaml())
    subprocess.run([sys.executable, "-m", "longshore", "run", "-q", "step.yaml"], check=True, timeout=60)
    (path,) = find_runs("longshore-runs")
    state = LocalRun(path).state()
    assert (state.name, state.state, state.progress.total) == ("score", "Succeeded", 5)
    assert [each.mini_batch for each in LocalRun(path).folder(state.steps[0]).failures()] == [3]
    (Path(path) / "status.json").write_text(
        json.dumps(json.loads((Path(path) / "status.json").read_text()) | {"conditions": []})
    )
    assert LocalRun(path).state().state == "Suspended"  # no command carries it on


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: score(inputs={"numbers": "numbers"}),
            'ParallelRunStep "score": inputs["numbers"].dataset is \'numbers\': there is no such Dataset',
        ),
        (
            lambda: score(models=["mnist"]),
            'ParallelRunStep "score": models["mnist"].name is \'mnist\': there is no such Model',
        ),
        (
            lambda: Pipeline("nightly", [score(mini_batch_size=Parameter("size", type="integer"))]),
            'Pipeline "nightly": parameters["size"] has no value, but the parameter size is required',
        ),
        (
            lambda: Pipeline("nightly", [score(node_count=Parameter("nodes", "many"))]),
            'Pipeline "nightly": steps["score"].parallel_run.node_count is \'many\': must be a whole number, 1 or more',
        ),
    ],
)
def test_what_is_wrong_with_references_is_reported_before_anything_starts(make, message: str):
    with pytest.raises(InvalidArgument) as caught:
        Workspace.local().submit(make())
    assert str(caught.value).startswith(message)
    assert Workspace.local().runs() == []


def test_a_workspace_keeps_objects_that_steps_refer_to(folder: Path):
    ws = Workspace.local()
    ws.apply(FileDataset("data/*.txt", name="numbers"))
    assert [each.reference for each in ws.resources()] == ["numbers"]
    assert [each.kind for each in ws.resources("Model")] == []
    (folder / "elsewhere/code").mkdir(parents=True)
    os.chdir("elsewhere")  # the dataset's paths still start from where it was made
    (folder / "elsewhere/code/score.py").write_text("def run(batch):\n    return batch\n")
    run = Workspace.local("..").submit(score(inputs={"numbers": "numbers"})).wait(show=False, timeout=60)
    assert run.progress.done == 5
    ws.delete("Dataset", "numbers")
    with pytest.raises(KeyError, match="no Dataset 'numbers'"):
        ws.delete("Dataset", "numbers")
