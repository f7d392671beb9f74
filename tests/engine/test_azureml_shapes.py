"""Shapes of public scripts for Azure ML's SDK, run in a local workspace."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from azureml_sdk import sdk, write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with sdk(tmp_path, monkeypatch):
        yield tmp_path


def rows_of(run: Any, step: Any, output: str, file: str, **options: Any) -> pd.DataFrame:
    step_run = run.find_step_run(step.name)[0]
    data = step_run.get_output_data(output)
    data.download("results", show_progress=True, overwrite=True)
    return pd.read_csv(os.path.join("results", data.path_on_datastore, file), header=None, **options)


def test_a_table_is_partitioned_by_columns_and_scored_by_its_keys(folder: Path):
    from azureml.core import Dataset, Environment, Experiment, Workspace
    from azureml.pipeline.core import Pipeline, PipelineData
    from azureml.pipeline.steps import ParallelRunConfig, ParallelRunStep

    rows = "".join(f"{store},{brand},{number}\n" for number, (store, brand) in enumerate(["1x", "1y", "2x", "2x"]))
    write(folder, {"sales.csv": f"store,brand,n\n{rows}"})
    write(
        folder,
        {
            "by_key.py": "import pandas\n"
            "def run(mini_batch):\n"
            "    assert isinstance(mini_batch, pandas.DataFrame)\n"
            "    first = mini_batch.iloc[0]\n"
            "    return pandas.DataFrame([[first['store'], first['brand'], mini_batch['n'].sum()]])\n"
        },
    )
    ws = Workspace.from_config()
    store = ws.get_default_datastore()
    store.upload_files(["sales.csv"], ".", "sales", overwrite=True, show_progress=False)
    table = Dataset.Tabular.from_delimited_files(path=(store, "sales/*.csv"))
    assert table.take(2).to_pandas_dataframe().shape == (2, 3)
    partitioned = table.partition_by(partition_keys=["store", "brand"], target=(store, "by-key"), name="by-key")
    assert partitioned.partition_keys == ["store", "brand"]
    config = ParallelRunConfig(
        source_directory=".",
        entry_script="by_key.py",
        partition_keys=["store", "brand"],
        error_threshold=-1,  # of two rows with one key, one has a result
        output_action="append_row",
        environment=Environment("env"),
        compute_target="local",
        node_count=1,
    )
    out = PipelineData("sums", store)
    step = ParallelRunStep("Sum by key", config, inputs=[partitioned.as_named_input("sales")], output=out)
    run = Experiment(ws, "by key").submit(Pipeline(ws, [step]))
    assert run.wait_for_completion() == "Finished"
    found = rows_of(run, step, "sums", config.append_row_file_name, delimiter=" ")
    assert sorted(map(tuple, found.to_numpy().tolist())) == [(1, "x", 0), (1, "y", 1), (2, "x", 5)]


def test_steps_in_a_sequence_read_fixed_folders_of_earlier_ones(folder: Path):
    from azureml.core import Dataset, Environment, Experiment, Workspace
    from azureml.data import OutputFileDatasetConfig
    from azureml.pipeline.core import Pipeline, StepSequence
    from azureml.pipeline.steps import ParallelRunConfig, ParallelRunStep

    write(folder, {f"in/{name}.txt": name for name in "ab"})
    write(
        folder,
        {
            "src/copy.py": "import argparse, os\n"
            "def init():\n"
            "    global args\n"
            "    parser = argparse.ArgumentParser()\n"
            "    parser.add_argument('--out')\n"
            "    parser.add_argument('--suffix', type=int)\n"
            "    args, _ = parser.parse_known_args()\n"
            "    os.makedirs(args.out, exist_ok=True)\n"
            "def run(mini_batch):\n"
            "    for path in mini_batch:\n"
            "        with open(path) as file, open(os.path.join(args.out, os.path.basename(path)), 'w') as copy:\n"
            "            copy.write(file.read() + str(args.suffix))\n"
            "    return mini_batch\n"
        },
    )
    ws = Workspace.from_config()
    store = ws.get_default_datastore()
    store.upload("in", "step0", overwrite=True, show_progress=False)
    config = ParallelRunConfig(
        source_directory="src",
        entry_script="copy.py",
        error_threshold=-1,
        output_action="summary_only",
        environment=Environment("env"),
        compute_target="local",
        node_count=1,
        mini_batch_size=1,
    )

    def copy(number: int) -> ParallelRunStep:
        given = Dataset.File.from_files((store, f"step{number - 1}"), validate=False)
        out = OutputFileDatasetConfig(f"step {number}", (store, f"step{number}"))
        if number == 2:
            out = out.register_on_complete(name="copies")
        arguments = ["--out", out, "--suffix", number]
        return ParallelRunStep(
            f"Copy_{number}", config, [given.as_named_input("files")], output=out, side_inputs=None, arguments=arguments
        )

    steps = StepSequence(steps=[copy(1), copy(2)])
    run = Experiment(ws, "sequence").submit(Pipeline(ws, steps=steps), tags={"of": "a test"})
    assert run.wait_for_completion(show_output=False, raise_on_error=True) == "Finished"
    assert run.tags == {"of": "a test"}
    store.download("got", prefix="step2", show_progress=False)
    assert {path.name: path.read_text() for path in Path("got/step2").glob("*.txt")} == {"a.txt": "a12", "b.txt": "b12"}
    assert run.find_step_run("Copy_2")[0].get_output_data("step 2").path_on_datastore == "step2"
    assert Dataset.get_by_name(ws, "copies").to_path() == ["/a.txt", "/b.txt"]


def test_files_and_rows_of_one_step_are_read_by_the_next(folder: Path):
    from azureml.core import Dataset, Environment, Experiment, Workspace
    from azureml.pipeline.core import Pipeline, PipelineData
    from azureml.pipeline.steps import ParallelRunConfig, ParallelRunStep

    write(folder, {f"in/{number}.txt": str(number) for number in range(3)})
    write(
        folder,
        {
            "src/square.py": "import os, sys\n"
            "name = os.path.basename\n"
            "folder = sys.argv[sys.argv.index('--out') + 1]\n"
            "def run(mini_batch):\n"
            "    for path in mini_batch:\n"
            "        os.makedirs(os.path.join(folder, 'files'), exist_ok=True)\n"
            "        with open(path) as file, open(os.path.join(folder, 'files', name(path)), 'w') as out:\n"
            "            out.write(str(int(file.read()) ** 2))\n"
            "    return [os.path.basename(path) for path in mini_batch]\n",
            "src/show.py": "def run(mini_batch):\n"
            "    texts = [open(path).read().strip() for path in mini_batch if 'names.txt' not in path]\n"
            "    return [f'value:{text}' for text in texts] or ['none:0'] * len(mini_batch)\n",
        },
    )
    ws = Workspace.from_config()
    store = ws.get_default_datastore()
    store.upload("in", "numbers", overwrite=True, show_progress=False)

    def config(script: str, **more: Any) -> ParallelRunConfig:
        return ParallelRunConfig(
            source_directory="src",
            entry_script=script,
            error_threshold=10,
            output_action="append_row",
            environment=Environment("env"),
            compute_target="local",
            node_count=1,
            mini_batch_size="1",
            **more,
        )

    squares, values = PipelineData("squares", store), PipelineData("values", store)
    numbers = Dataset.File.from_files((store, "numbers")).as_named_input("numbers").as_mount()
    first = ParallelRunStep(
        "Square",
        config("square.py", append_row_file_name="names.txt"),
        [numbers],
        squares,
        arguments=["--out", squares],
    )
    of_squares = squares.as_dataset().as_named_input("squares")
    second = ParallelRunStep("Show", config("show.py"), inputs=[of_squares], output=values)
    pipeline = Pipeline(ws, steps=[second])  # the other step follows from the data
    run = Experiment(ws, "squares").submit(pipeline)
    assert run.wait_for_completion() == "Finished"
    names = rows_of(run, first, "squares", "names.txt")
    assert sorted(names[0]) == ["0.txt", "1.txt", "2.txt"]
    found = rows_of(run, second, "values", "parallel_run_step.txt", delimiter=":")
    assert sorted(found[found[0] == "value"][1]) == [0, 1, 4]

    again = Experiment(ws, "squares").submit(pipeline)
    assert again.wait_for_completion() == "Finished"
    for each in again.get_children():
        assert "azureml.reusedrunid" in each.get_details()["properties"]
    assert sorted(rows_of(again, second, "values", "parallel_run_step.txt", delimiter=":")[1]) == sorted(found[1])


def test_the_first_error_of_a_script_is_raised(folder: Path, capsys: pytest.CaptureFixture[str]):
    from azureml.core import Experiment, Workspace
    from azureml.exceptions import ActivityFailedException
    from azureml.pipeline.core import Pipeline
    from azureml.pipeline.steps import PythonScriptStep

    write(folder, {"src/train.py": "raise ValueError('no data')\n"})
    ws = Workspace.from_config()
    step = PythonScriptStep("train.py", source_directory="src", allow_reuse=False)
    run = Experiment(ws, "fails").submit(Pipeline(ws, step))
    with pytest.raises(ActivityFailedException, match="ValueError: no data"):
        run.wait_for_completion(show_output=True)
    assert run.get_status() == "Failed"
    assert run.wait_for_completion(raise_on_error=False) == "Failed"
    assert run.find_step_run("train.py")[0].get_status() == "Failed"
    assert run.find_step_run("other") == []
    assert "train-py: Failed" in capsys.readouterr().out
