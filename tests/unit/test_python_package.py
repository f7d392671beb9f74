"""The public package: its names, what an import of it loads, and what a type checker finds in a user's script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from manifests import ROOT

import longshore


def test_public_names_are_listed_and_exist():
    assert set(longshore.__all__) <= set(dir(longshore))
    for name in longshore.__all__:
        assert getattr(longshore, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'Workspce'"):
        longshore.Workspce  # noqa: B018


@pytest.mark.parametrize("code", ["import longshore", "import longshore; dir(longshore); longshore.__version__"])
def test_an_import_loads_no_other_module_of_ours_and_no_dependency(code: str):
    command = [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    ours = [each for each in loaded if each.split(".")[0].startswith("longshore") and each != "longshore"]
    assert (ours, {"pydantic", "yaml", "pandas", "asyncio", "fsspec"} & set(loaded)) == ([], set())


USER_SCRIPT = """
import longshore
from longshore import FileDataset, Input, Output, ParallelRunStep, Parameter, Pipeline, ScriptStep

prepare = ScriptStep("prepare", "prepare.py", outputs=["clean", Output("report", mode="upload")])
size = Parameter("size", 5)
score = ParallelRunStep(
    "score",
    "score.py",
    inputs={"images": prepare.outputs["clean"]},
    side_inputs=[Input("labels", FileDataset("labels.txt"), mode="download")],
    output="scores",
    mini_batch_size=size,
    node_count=2,
    arguments=["--top", 3, size],
)
pipeline: Pipeline = Pipeline("nightly", [prepare, score.replace(run_max_try=1)])
text: str = pipeline.to_yaml()
first: longshore.Resource = longshore.load("folder")["nightly"]
run: longshore.Run = longshore.Workspace.local().submit(pipeline, parameters={"size": 10}, tags={"a": "b"})
names: list[str] = [step.name for step in run.wait(show=False, timeout=60).steps.values()]
done: int = run.progress.done if run.progress is not None else 0
rows: int = len(run.outputs["scores"].to_pandas(sep=":"))
failed: list[int] = [failure.mini_batch for failure in run.failures()]
lines: list[str] = list(run.logs("score", mini_batch=3))
cluster = longshore.Workspace.kubernetes("science")
longshore.debug(score, mini_batches=2)
"""


def test_mypy_accepts_a_users_script_and_finds_its_mistakes(tmp_path: Path):
    wrong = 'ScriptStep("a", script_name=5)\nParallelRunStep("b", "b.py", inputs={}, node_cout=1)\n'
    (tmp_path / "good.py").write_text(USER_SCRIPT)
    (tmp_path / "wrong.py").write_text(USER_SCRIPT + wrong)
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nstrict = True\nmypy_path = {ROOT}/operator:{ROOT}/worker\n")
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "good.py", "wrong.py"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600)
    errors = [line for line in ended.stdout.splitlines() if ": error: " in line]
    assert [line.split(":")[0] for line in errors] == ["wrong.py", "wrong.py"]
    assert "node_cout" in errors[1]


def test_authoring_loads_neither_the_engine_nor_tables_nor_stores():
    code = "import longshore, sys; longshore.ParallelRunStep; longshore.Pipeline; longshore.load; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    unneeded = {
        "asyncio",
        "aiohttp",
        "fsspec",
        "kubernetes",
        "longshore_cli",
        "longshore_coordinator",
        "pandas",
        "rich",
    }
    assert unneeded & set(loaded) == set()
