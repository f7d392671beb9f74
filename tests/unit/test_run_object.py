"""Scripts log metrics by a Run; what they log is read back as numbers, texts and lists, and bounded."""

import json
import math

import numpy as np
import pytest

from longshore_run import Run, metrics


@pytest.fixture
def path(tmp_path, monkeypatch):
    """The file of metrics of a run that this process is part of."""
    path = tmp_path / "metrics.jsonl"
    monkeypatch.setenv(metrics.VARIABLE, str(path))
    monkeypatch.setenv("AZUREML_RUN_ID", "run-1")
    return str(path)


def test_a_metric_logged_once_is_a_value_and_one_logged_again_a_list(path):
    run = Run.get_context()
    run.log("accuracy", 0.5)
    run.log("loss", 2)
    run.log("loss", 1, description="of the second epoch", step=2)
    run.log("name", "iris")
    run.log("good", value=True)
    assert metrics.read(path) == {"accuracy": 0.5, "loss": [2, 1], "name": "iris", "good": True}


def test_lists_and_rows_are_lists_even_of_one(path):
    run = Run.get_context()
    run.log_list("one", [1])
    run.log_list("more", (1, "b"))
    run.log_list("more", range(2))
    run.log_list("none", [])
    run.log_row("table", x=1, y="b")
    assert metrics.read(path) == {"one": [1], "more": [1, "b", 0, 1], "none": [], "table": [{"x": 1, "y": "b"}]}


def test_what_json_cannot_express_is_put_into_words(path):
    run = Run.get_context()
    run.log("numpy", np.float32(0.5))
    run.log("integer", np.int64(3))
    run.log("array", np.array([[1, 2], [3, 4]]))
    run.log("missing", None)
    run.log_list("odd", [math.nan, -math.inf])
    assert metrics.read(path) == {
        "numpy": 0.5,
        "integer": 3,
        "array": [[1, 2], [3, 4]],
        "missing": "None",
        "odd": ["nan", "-inf"],
    }


def test_what_is_read_is_bounded(path):
    run = Run.get_context()
    for number in range(metrics.NAMES + 5):
        run.log(f"metric-{number}", "x" * 10**4)
    run.log_list("metric-0", range(5000))
    found = metrics.read(path)
    assert len(found) == metrics.NAMES
    assert found["metric-0"] == list(range(4000, 5000))
    assert found["metric-1"] == "x" * metrics.CHARACTERS


@pytest.mark.parametrize("line", [b"\xff", b"1", b"null", b'{"name": 1, "value": 1}', b'{"value": 1}', b"[" * 10**5])
def test_a_line_that_is_no_metric_is_passed_over(path, line):
    metrics.append(path, line + b"\n")
    Run.get_context().log("a", 1)
    assert metrics.read(path) == {"a": 1}


def test_a_line_that_states_nan_as_python_does_becomes_a_text(path):
    metrics.append(path, b'{"name": "a", "value": NaN}\n')
    assert json.loads(json.dumps(metrics.read(path), allow_nan=False)) == {"a": "nan"}


def test_no_file_is_no_metrics(tmp_path):
    assert metrics.read(str(tmp_path / "absent")) == {}


@pytest.mark.usefixtures("path")
def test_the_context_knows_the_runs_id():
    assert Run.get_context(allow_offline=False).id == "run-1"


def test_outside_of_a_run_metrics_are_printed(monkeypatch, capsys):
    monkeypatch.delenv(metrics.VARIABLE, raising=False)
    monkeypatch.delenv("AZUREML_RUN_ID", raising=False)
    run = Run.get_context()
    run.log("accuracy", 0.5)
    run.log_list("l", (1, 2))
    run.log_row("r", x=1)
    run.flush()
    assert run.id == "offline"
    assert capsys.readouterr().out == "accuracy: 0.5\nl: [1, 2]\nr: {'x': 1}\n"
    with pytest.raises(RuntimeError, match="not part of a run"):
        Run.get_context(allow_offline=False)


def test_a_metric_that_cannot_be_written_does_not_end_the_script(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(metrics.VARIABLE, str(tmp_path / "absent" / "metrics.jsonl"))
    Run.get_context().log("accuracy", 0.5)
    assert "metric accuracy: 0.5 could not be written: [Errno 2]" in capsys.readouterr().err


def test_a_number_that_json_has_no_room_for_becomes_a_text(path):
    run = Run.get_context()
    run.log("large", 2**63 - 1)
    run.log("too large", 2**63)
    assert metrics.read(path) == {"large": 2**63 - 1, "too large": "9223372036854775808"}
