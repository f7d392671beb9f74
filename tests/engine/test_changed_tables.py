"""Tables that change while a run reads them, as the command's users see it."""

OLD = [f"{number},old" for number in range(400)]
SCRIPT = """
import os

def init():
    pass

def run(mini_batch):
    path = os.environ["TABLE"]
    if os.path.exists(path + ".new"):  # the first mini-batch of all
        os.replace(path + ".new", path)
    return mini_batch
"""


def replaced(longshore, **spec):
    """Run a step whose first mini-batch replaces the table; return the table and how the run ended."""
    table = longshore.folder / "data" / "rows.csv"
    table.parent.mkdir()
    table.write_text("\n".join(["id,x", *OLD]) + "\n")
    (table.parent / "rows.csv.new").write_text("\n".join(["id,x", *(f"{number},new" for number in range(304))]) + "\n")
    longshore.write("code/replaces.py", SCRIPT)
    longshore.manifest(
        longshore.step(
            "replaces.py",
            source={"uri": "code"},
            inputs=[{"name": "rows", "tabular": {"paths": ["data/rows.csv"]}}],
            output={"name": "out", "format": "csv"},
            miniBatchSize="500",
            processCountPerNode=1,
            nodeCount=1,
            runMaxTry=1,
            environmentVariables={"TABLE": str(table)},
            **spec,
        )
    )
    ended = longshore.run()
    assert ended.first_error["category"] == "DataError"
    assert f'The file "{table}" changed since the run was planned: it had ' in ended.first_error["message"]
    return table, ended


def test_a_table_that_is_replaced_during_a_run_gives_no_rows_of_the_new_one(longshore):
    _, ended = replaced(longshore)
    assert ended.rows
    assert set(ended.rows) < set(OLD)
    assert (ended.code, ended.reason) == (3, "SucceededWithFailures")


def test_a_run_whose_table_was_replaced_is_not_resumed(longshore):
    table, ended = replaced(longshore, errorThreshold=0)
    assert (ended.code, ended.reason) == (1, "ErrorThresholdExceeded")
    resumed = longshore.resume()
    assert resumed.code == 2, resumed.stderr
    assert "cannot be resumed: The files changed between mini-batch 0 and " in resumed.stderr
    assert f'The file "{table}" was modified last, at ' in resumed.stderr
