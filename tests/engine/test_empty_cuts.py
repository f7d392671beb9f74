"""A cut in which no record begins is done without a call of the script: where a cut falls is no concern of scripts."""

import json

import pytest

LONG = "x" * 3000  # a record is longer than several cuts
ROWS = [{"id": 1, "text": LONG}, {"id": 2, "text": "short"}, {"id": 3, "text": LONG}]
CSV = "id,text\n" + "".join(f"{row['id']},{row['text']}\n" for row in ROWS)
JSON_LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
DICTS = {"format": "jsonl", "rowsAs": "dicts"}
IN_ORDER = "def run(mini_batch):\n    assert len(mini_batch)\n    return [f'{each}' for each in {ids}]\n"
COROUTINES = "async " + IN_ORDER
QUEUE = """
finished = {{}}
def enqueue(mini_batch, context):
    assert len(mini_batch)
    finished[context.minibatch_index] = {{"ret": [f'{each}' for each in {ids}], "exception": None}}
def get_finished_batch_result():
    ended, finished_now = dict(finished), finished.clear()
    return ended
"""
FRAME_IDS, DICT_IDS = "mini_batch['id']", "[row['id'] for row in mini_batch]"
CASES = {
    "csv": (CSV, {"format": "csv"}, IN_ORDER, FRAME_IDS),
    "csv with quoted line ends": (CSV, {"format": "csv", "supportMultiLine": True}, IN_ORDER, FRAME_IDS),
    "JSON lines": (JSON_LINES, {"format": "jsonl"}, IN_ORDER, FRAME_IDS),
    "JSON lines as dicts": (JSON_LINES, DICTS, IN_ORDER, DICT_IDS),
    "coroutines": (JSON_LINES, {"format": "jsonl"}, COROUTINES, FRAME_IDS),
    "a queue": (JSON_LINES, {"format": "jsonl"}, QUEUE, FRAME_IDS),
}


@pytest.mark.parametrize(("content", "tabular", "script", "ids"), CASES.values(), ids=CASES.keys())
def test_a_script_is_not_called_without_rows(longshore, content, tabular, script, ids):
    longshore.write("rows.dat", content)
    longshore.write("code/score.py", script.replace("{ids}", ids).replace("{{", "{").replace("}}", "}"))
    given = [{"name": "rows", "tabular": {"paths": ["rows.dat"], **tabular}}]
    longshore.manifest(
        longshore.step("score.py", source={"uri": "code"}, inputs=given, miniBatchSize="1KB", errorThreshold=0)
    )

    ended = longshore.run()

    assert (ended.code, ended.rows) == (0, ["1", "2", "3"]), ended.first_error
    assert ended.items == {"total": 3, "succeeded": 3}
