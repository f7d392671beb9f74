"""What a run leaves in its output folder, from every kind of input: the oracle's rows, in the order of the plan."""

import io
import json
import os

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

NAMES = ("a.txt", "b.txt", "c.txt")

# Returns, by the --shape argument, the same three columns in each of the shapes that run() may return rows in.
SHAPES = """
import os
import sys

SHAPE = sys.argv[sys.argv.index("--shape") + 1]


def run(mini_batch):
    names = [os.path.basename(path) for path in mini_batch]
    records = [{"name": name, "number": ord(name[0]) - 96, "note": 'a "b", c'} for name in names]
    if SHAPE == "dicts":
        return records
    if SHAPE == "tuples":
        return [tuple(record.values()) for record in records]
    import pandas as pd

    return pd.DataFrame(records, index=range(7, 7 + len(records)))
"""

RECORDS = [{"name": name, "number": number, "note": 'a "b", c'} for number, name in enumerate(NAMES, start=1)]
QUOTED = '"a ""b"", c"'
CSV = [f"a.txt,1,{QUOTED}", f"b.txt,2,{QUOTED}", f"c.txt,3,{QUOTED}"]
TSV = ['a.txt\t1\t"a ""b"", c"', 'b.txt\t2\t"a ""b"", c"', 'c.txt\t3\t"a ""b"", c"']
SPACED = ['a.txt 1 "a ""b"", c"', 'b.txt 2 "a ""b"", c"', 'c.txt 3 "a ""b"", c"']
DICTS = [str(record) for record in RECORDS]
TUPLES = [str(tuple(record.values())) for record in RECORDS]

# shape, format, fields of the output, the rows
TEXTS = {
    "text of dicts": ("dicts", "text", {}, DICTS),
    "text of tuples": ("tuples", "text", {}, TUPLES),
    "text of a table": ("table", "text", {}, SPACED),
    "text of a table with header": ("table", "text", {"header": True}, ["name number note", *SPACED]),
    "text of a table with separator": (
        "table",
        "text",
        {"separator": "|"},
        [f"{n}.txt|{i}|{QUOTED}" for i, n in enumerate("abc", 1)],
    ),
    "csv of dicts with header": ("dicts", "csv", {"header": True}, ["name,number,note", *CSV]),
    "csv of tuples": ("tuples", "csv", {}, CSV),
    "csv of a table with header": ("table", "csv", {"header": True}, ["name,number,note", *CSV]),
    "tsv of dicts": ("dicts", "tsv", {}, TSV),
    "tsv of a table with header": ("table", "tsv", {"header": True}, ["name\tnumber\tnote", *TSV]),
}


def shapes(longshore, shape, **output):
    """Run SHAPES over three files in mini-batches of one, by two workers, and return how it ended."""
    longshore.data(*NAMES)
    longshore.write("code/shapes.py", SHAPES)
    longshore.manifest(
        longshore.step(
            "shapes.py",
            source={"uri": "code"},
            arguments=["--shape", shape],
            output={"name": "out", **output},
            appendRowFileName="rows.out",
            miniBatchSize=1,
        )
    )
    ended = longshore.run()
    assert ended.code == 0, ended.succeeded
    assert ended.status["output"] == {"uri": str(ended.run_dir / "out"), "file": "rows.out", "rows": 3}
    return ended


@pytest.mark.parametrize(("shape", "format", "output", "rows"), TEXTS.values(), ids=TEXTS.keys())
def test_rows_are_written_in_the_format_that_the_output_asks_for(longshore, shape, format, output, rows):
    assert shapes(longshore, shape, format=format, **output).output.decode() == "".join(f"{row}\n" for row in rows)


@pytest.mark.parametrize("shape", ["dicts", "table"])
def test_rows_as_json_lines_are_the_records(longshore, shape):
    assert list(map(json.loads, shapes(longshore, shape, format="jsonl").rows)) == RECORDS


@pytest.mark.parametrize("shape", ["dicts", "table"])
def test_rows_as_parquet_are_one_table(longshore, shape):
    table = pq.read_table(io.BytesIO(shapes(longshore, shape, format="parquet").output))
    assert table.to_pylist() == RECORDS


def test_the_settings_file_beside_the_script_states_how_tables_are_written(longshore):
    settings = {"append_row": {"pandas.DataFrame.to_csv": {"sep": ";", "header": True, "float_format": "%.1f"}}}
    longshore.write("code/parallel_run_step.settings.json", json.dumps(settings))
    assert shapes(longshore, "table").rows == ["name;number;note", *(row.replace(" ", ";", 2) for row in SPACED)]


def test_a_settings_file_that_cannot_be_read_fails_the_step_with_a_sentence(longshore):
    longshore.data("a.txt")
    longshore.write("code/parallel_run_step.settings.json", "{append_row: ")
    longshore.write("code/entry.py", "def run(mini_batch):\n    return mini_batch\n")
    longshore.manifest(longshore.step("entry.py", source={"uri": "code"}))

    ended = longshore.run()

    assert (ended.code, ended.reason) == (1, "InitFailed")
    assert "parallel_run_step.settings.json" in ended.first_error["message"]
    assert ended.first_error["category"] == "UserError"


ROWS = "def run(mini_batch):\n    return mini_batch\n"


def tables(longshore, *texts, **output):
    """Run a script that returns its rows over csv files, one a mini-batch."""
    for name, text in zip("abc", texts, strict=False):
        longshore.write(f"data/{name}.csv", text)
    longshore.write("code/entry.py", ROWS)
    longshore.manifest(
        longshore.step(
            "entry.py",
            source={"uri": "code"},
            inputs=[{"name": "rows", "tabular": {"paths": ["data"]}}],
            output={"name": "out", **output},
            miniBatchSize="1MB",
        )
    )
    return longshore.run()


def test_a_column_without_a_value_in_one_mini_batch_has_the_type_of_the_others(longshore):
    ended = tables(longshore, "id,x\n1,\n", "id,x\n2,abc\n", "id,x\n3,\n", format="parquet")
    assert ended.code == 0, ended.succeeded
    table = pq.read_table(io.BytesIO(ended.output))
    assert table.to_pydict() == {"id": [1, 2, 3], "x": [None, "abc", None]}


def test_columns_in_another_order_are_not_joined_by_position(longshore):
    ended = tables(longshore, "id,x\n1,2\n", "x,id\n3,4\n", "id,x\n5,6\n", format="csv")
    assert (ended.code, ended.reason) == (1, "OutputError")
    assert "mini-batch 0 has the header 'id,x', mini-batch 1 has 'x,id'" in ended.succeeded["message"]
    parts = ended.run_dir / "out" / "parallel_run_step.txt.parts"
    assert str(parts) in ended.succeeded["message"]
    assert {path.name: path.read_text() for path in parts.iterdir()} == {
        "1.txt": "id,x\n1,2\n5,6\n",
        "2.txt": "x,id\n3,4\n",
    }


def test_mini_batches_that_disagree_on_the_header_fail_the_step_by_name(longshore):
    longshore.data(*NAMES)
    script = "def run(mini_batch):\n    return [{mini_batch[0][-5:]: 1}]\n"
    longshore.write("code/entry.py", script)
    longshore.manifest(
        longshore.step(
            "entry.py", source={"uri": "code"}, output={"name": "out", "format": "csv", "header": True}, miniBatchSize=1
        )
    )

    ended = longshore.run()

    assert (ended.code, ended.reason) == (1, "OutputError")
    assert "mini-batch 0" in ended.succeeded["message"]
    assert "mini-batch 1" in ended.succeeded["message"]
    assert "file" not in ended.status["output"]
    assert [path.name for path in (ended.run_dir / "out").iterdir()] == ["parallel_run_step.txt.parts"]


def test_summary_only_counts_results_and_keeps_the_scripts_own_files(longshore):
    longshore.data(*NAMES)
    longshore.manifest(longshore.step("writes_own_files.py", outputAction="summary_only"))

    ended = longshore.run()

    assert (ended.code, ended.items) == (0, {"total": 3, "succeeded": 3})
    assert ended.status["output"] == {"uri": str(ended.run_dir / "out")}
    assert {each.name: each.read_text() for each in (ended.run_dir / "out").iterdir()} == {
        f"{n}.seen": n for n in NAMES
    }


def test_the_scripts_own_files_are_beside_the_one_output_file(longshore):
    longshore.data(*NAMES)
    longshore.manifest(longshore.step("writes_own_files.py"))

    ended = longshore.run()

    assert ended.rows == list(NAMES)
    assert sorted(os.listdir(ended.run_dir / "out")) == [*(f"{n}.seen" for n in NAMES), "parallel_run_step.txt"]


def test_summary_only_needs_no_output(longshore):
    longshore.data(*NAMES)
    longshore.manifest(longshore.step(output=None, outputAction="summary_only"))
    ended = longshore.run()
    assert (ended.code, ended.items) == (0, {"total": 3, "succeeded": 3})


@pytest.mark.parametrize(
    ("action", "code", "reason"), [("append_row", 1, "NoResultToAppend"), ("summary_only", 0, "Succeeded")]
)
def test_no_result_at_all_fails_append_row_and_not_summary_only(longshore, action, code, reason):
    longshore.data(*NAMES)
    longshore.manifest(longshore.step("returns_nothing.py", outputAction=action))

    ended = longshore.run()

    assert (ended.code, ended.reason) == (code, reason)
    if code:
        assert ended.items == {"total": 3, "failed": 3}
        assert [each["itemsFailed"] for each in ended.failed] == [2, 1]
        assert "no succeeded mini-batch item was returned from run()" in ended.succeeded["message"]
    else:  # a script that writes its own files returns nothing
        assert ended.items == {"total": 3}
        assert ended.failed == []


def test_the_output_goes_to_the_datastore_where_there_is_one(longshore):
    longshore.data(*NAMES)
    longshore.manifest(
        longshore.document("Datastore", "lake", uri="lake", default=True),
        longshore.step(inputs=[{"name": "files", "file": {"paths": [str(longshore.folder / "data")]}}]),
    )

    ended = longshore.run()

    assert ended.code == 0, ended.succeeded
    folder = longshore.folder / "lake" / "longshore" / ended.status["runId"] / "out"
    assert ended.status["output"]["uri"] == str(folder)
    assert (folder / "parallel_run_step.txt").read_text().split() == list(NAMES)


TABLE = pd.DataFrame({"key": range(600), "name": [f"n {i},\n" if i % 50 == 0 else f"n{i}" for i in range(600)]})
PLAIN = TABLE.assign(name=[f"n{i}" for i in range(600)])


def _csv(table, **options):
    return table.to_csv(index=False, **options).encode()


def _jsonl(table):
    return table.to_json(orient="records", lines=True).encode()


def _parquet(table):
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), sink, row_group_size=100)
    return sink.getvalue()


# what the file holds, the Dataset, the size of a mini-batch
TABLES = {
    "csv by bytes": (PLAIN, _csv, {}, {"miniBatchSize": "1KB"}),
    "csv by rows": (PLAIN, _csv, {}, {"miniBatch": {"rows": 70}}),
    "csv with quoted line ends by bytes": (TABLE, _csv, {"supportMultiLine": True}, {"miniBatchSize": "1KB"}),
    "csv with quoted line ends by rows": (TABLE, _csv, {"supportMultiLine": True}, {"miniBatch": {"rows": 70}}),
    "csv with another separator": (
        PLAIN,
        lambda table: _csv(table, sep=";"),
        {"separator": ";"},
        {"miniBatchSize": "1KB"},
    ),
    "csv in UTF-16": (PLAIN, lambda table: _csv(table).decode().encode("utf-16"), {"encoding": "utf-16"}, {}),
    "jsonl by bytes": (TABLE, _jsonl, {"format": "jsonl"}, {"miniBatchSize": "1KB"}),
    "jsonl by rows": (TABLE, _jsonl, {"format": "jsonl"}, {"miniBatch": {"rows": 70}}),
    "parquet by bytes": (TABLE, _parquet, {"format": "parquet"}, {"miniBatchSize": "1KB"}),
    "parquet by rows": (TABLE, _parquet, {"format": "parquet"}, {"miniBatch": {"rows": 70}}),
}


@pytest.mark.parametrize(("table", "write", "dataset", "size"), TABLES.values(), ids=TABLES.keys())
def test_the_rows_of_a_table_are_all_there_once_and_in_order_however_it_is_cut(longshore, table, write, dataset, size):
    longshore.write("data/1.table", write(table[:400]))
    longshore.write("data/2.table", write(table[400:]))
    longshore.manifest(
        longshore.step(
            "table_echo.py",
            inputs=[{"name": "rows", "tabular": {"paths": ["data/*.table"], **dataset}}],
            output={"name": "out", "format": "csv", "header": True},
            errorThreshold=0,
            processCountPerNode=2,
            **{"miniBatchSize": None, **size},
        )
    )

    ended = longshore.run()

    assert ended.code == 0, ended.first_error
    assert ended.output == _csv(table)
    assert ended.items == {"total": 600, "succeeded": 600}
    assert ended.mini_batches["total"] > 4 or not size


def test_a_csv_without_header_has_azure_mls_column_names_and_the_declared_types(longshore):
    longshore.write("data/a.csv", "007,1.5,2026-01-31\n008,2,2026-02-01\n")
    script = """
def run(mini_batch):
    return [f"{column} {kind}" for column, kind in mini_batch.dtypes.items()] + [" ".join(map(str, mini_batch.iloc[0]))]
"""
    longshore.write("code/entry.py", script)
    types = {"Column1": "string", "Column2": "float32", "Column3": "datetime64[ns]"}
    longshore.manifest(
        longshore.step(
            "entry.py",
            source={"uri": "code"},
            inputs=[{"name": "rows", "tabular": {"paths": ["data/a.csv"], "header": False, "columnTypes": types}}],
            miniBatchSize="1MB",
        )
    )

    ended = longshore.run()

    assert ended.code == 0, ended.first_error
    assert [row.split()[1].partition("[")[0] for row in ended.rows[:3]] == ["string", "float32", "datetime64"]
    assert [row.split()[0] for row in ended.rows[:3]] == ["Column1", "Column2", "Column3"]
    assert ended.rows[3] == "007 1.5 2026-01-31 00:00:00"


def test_inputs_are_worked_off_one_after_another_and_no_mini_batch_mixes_them(longshore):
    longshore.data("a.txt", "b.txt", "c.txt", under="second")
    longshore.data("d.txt", "e.txt", "deep/f.txt", under="first")
    script = """
def run(mini_batch, context):
    return [f"{context.input_name} {len(mini_batch)} {path[-5:]}" for path in mini_batch]
"""
    longshore.write("code/entry.py", script)
    longshore.manifest(
        longshore.document("Dataset", "later", file={"paths": ["second"]}),
        longshore.step(
            "entry.py",
            source={"uri": "code"},
            inputs=[{"name": "one", "file": {"paths": ["first/**"]}}, {"name": "two", "dataset": "later"}],
        ),
    )

    ended = longshore.run()

    assert ended.rows == ["one 2 d.txt", "one 2 f.txt", "one 1 e.txt", "two 2 a.txt", "two 2 b.txt", "two 1 c.txt"]


def test_the_output_is_in_the_order_of_the_plan_whatever_order_the_work_was_done_in(longshore):
    names = [f"{number:03}.txt" for number in range(120)]
    longshore.data(*names)
    script = """
import os
import time


def run(mini_batch):
    (name,) = map(os.path.basename, mini_batch)
    time.sleep(7 * int(name[:3]) % 5 / 1000)
    return [name]
"""
    longshore.write("code/entry.py", script)
    longshore.manifest(
        longshore.step("entry.py", source={"uri": "code"}, miniBatchSize=1, nodeCount=2, processCountPerNode=2)
    )

    ended = longshore.run()

    assert ended.rows == names
    processed = ended.log("sys/job_report/processed_mini-batches.csv")
    assert processed.count("RUN_DONE") == 120
    assert not (ended.run_dir / "state" / "segments").exists()
