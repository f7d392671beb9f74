"""Partition keys: scripts written for Azure ML's partitioned datasets, run unmodified, over files and over rows."""

import pandas
import pytest
from azureml_texts import TOTALS_FILE_SIZES, TOTALS_INCOME

SONGS = {"amy/winter/rock": 1, "amy/summer/rock": 2, "amy/summer/jazz": 4, "bob/winter/rock": 8, "bob/summer/folk": 16}


@pytest.fixture
def partitioned(longshore):
    """Run one step of a script over inputs that are given."""

    def run(script, data, /, keys, **spec):
        longshore.write("code/entry.py", script)
        inputs = [{"name": "data", **data}]
        step = longshore.step("entry.py", source={"uri": "code"}, inputs=inputs, partitionKeys=keys, **spec)
        del step["spec"]["miniBatchSize"]
        longshore.manifest(step)
        return longshore.run()

    return run


def test_files_of_one_combination_are_one_mini_batch(longshore, partitioned):
    for name, size in SONGS.items():
        longshore.write(f"data/{name}.wav", "x" * size)
    data = {"file": {"paths": ["data"], "partitionFormat": "{user}/{season}/{genres}.wav"}}
    ended = partitioned(TOTALS_FILE_SIZES, data, ["user", "genres"], nodeCount=2, errorThreshold=0)
    assert ended.code == 0, ended.first_error
    assert sorted(set(ended.rows)) == ["amy:jazz:4", "amy:rock:3", "bob:folk:16", "bob:rock:8"]
    assert ended.mini_batches == {"total": 4, "scheduled": 4, "succeeded": 4}
    assert ended.items == {"total": 5, "succeeded": 5}
    assert "2 files of {'user': 'amy', 'genres': 'rock'}" in ended.logs("user/entry_script_log/*/*")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_rows_of_one_combination_are_one_mini_batch_wherever_they_are(longshore, partitioned, kind):
    table = pandas.DataFrame({"state": ["or", "wa", "ny"] * 40, "year": [2025, 2026] * 60, "income": range(120)})
    (longshore.folder / "data").mkdir()
    for number in range(3):
        part, path = table[number * 40 : (number + 1) * 40], longshore.folder / f"data/{number}"
        if kind == "csv":
            part.to_csv(path, index=False)
        elif kind == "jsonl":
            part.to_json(path, orient="records", lines=True)
        else:
            part.to_parquet(path, index=False, row_group_size=15)
    data = {"tabular": {"paths": ["data"], "format": kind}}
    spec = {"output": {"name": "out", "format": "csv"}, "processCountPerNode": 2, "failedItemsWarningPercent": 100}
    ended = partitioned(TOTALS_INCOME, data, ["state", "year"], **spec)  # one result for all rows of a combination
    assert ended.code == 0, ended.first_error
    sums = table.groupby(["state", "year"], sort=False, as_index=False)["income"].sum()
    expected = [f"{row.state},{row.year},{row.income},{index}" for index, row in enumerate(sums.itertuples())]
    assert ended.rows == expected


def test_a_parameter_of_a_pipeline_may_be_the_keys_and_a_steps_output_the_files(longshore):
    longshore.write("code/split.py", SPLIT)
    longshore.write("code/entry.py", TOTALS_FILE_SIZES)
    split = {
        "source": {"uri": "code"},
        "scriptName": "split.py",
        "arguments": ["$(outputs.songs)"],
        "outputs": [{"name": "songs"}],
    }
    size = {
        "source": {"uri": "code"},
        "entryScript": "entry.py",
        "inputs": [{"name": "songs", "from": "$(steps.split.outputs.songs)", "partitionFormat": "{user}/{genres}.wav"}],
        "partitionKeys": "$(parameters.keys)",
        "output": {"name": "sizes"},
        "outputAction": "append_row",
    }
    steps = [{"name": "split", "script": split}, {"name": "sizes", "parallelRun": size}]
    keys = {"name": "keys", "type": "string", "default": '["user", "genres"]'}
    longshore.manifest(longshore.document("Pipeline", "songs", parameters=[keys], steps=steps))
    ended = longshore.run()
    assert ended.code == 0, ended.stderr
    [rows] = longshore.folder.glob("run/**/parallel_run_step.txt")
    assert sorted(rows.read_text().splitlines()) == ["amy:rock:3", "bob:jazz:1"]


SPLIT = """
import os
import sys

for name, size in (("amy/rock", 3), ("bob/jazz", 1)):
    path = os.path.join(sys.argv[1], name + ".wav")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write("x" * size)
"""


def test_a_file_that_has_not_the_form_fails_the_run_before_anything_is_lost(longshore, partitioned):
    longshore.write("data/amy/rock.wav", "x")
    longshore.write("data/readme.txt", "x")
    data = {"file": {"paths": ["data"], "partitionFormat": "{user}/{genres}.wav"}}
    ended = partitioned(TOTALS_FILE_SIZES, data, ["user"])
    assert ended.code == 1
    assert ended.succeeded["message"].startswith(
        f'The path "{longshore.folder}/data/readme.txt" of input "data" does not match its partitionFormat'
    )


def test_small_files_are_read_together_where_the_step_asks_for_it(longshore):
    for number in range(50):
        longshore.write(f"data/2026-01-{number % 28 + 1:02}/{number:02}.csv", f"n\n{number}\n")
    tabular = {"paths": ["data"], "partitionFormat": "{day:yyyy-MM-dd}/*.csv"}
    longshore.write("code/entry.py", "def run(rows):\n    return [f'{d:%d}:{n}' for d, n in zip(rows.day, rows.n)]\n")
    step = longshore.step(
        "entry.py",
        source={"uri": "code"},
        inputs=[{"name": "data", "tabular": tabular}],
        miniBatchSize="1KB",
        coalesceSmallFiles=True,
    )
    longshore.manifest(step)
    ended = longshore.run()
    assert ended.code == 0, ended.first_error
    assert ended.mini_batches["total"] == 1
    assert sorted(ended.rows, key=lambda row: int(row[3:])) == [f"{n % 28 + 1:02}:{n}" for n in range(50)]
