"""The widget of Azure ML's SDK: text on a console, an object that displays itself in a notebook."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from longshore_azureml.widgets import RunDetails

NATIVE = SimpleNamespace(_repr_html_=lambda: "<table>")
STEP = SimpleNamespace(name="Train model", get_status=lambda: "Running")
RUN = SimpleNamespace(id="run-1", get_status=lambda: "Running", get_steps=lambda: [STEP], native=NATIVE)


def ipython(kernel: Any, shown: list[Any]) -> SimpleNamespace:
    return SimpleNamespace(get_ipython=lambda: kernel, display=SimpleNamespace(display=shown.append))


@pytest.mark.parametrize("module", [None, ipython(None, [])])
def test_a_console_gets_text(module: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    if module is None:
        monkeypatch.delitem(sys.modules, "IPython", raising=False)
    else:
        monkeypatch.setitem(sys.modules, "IPython", module)
    RunDetails(RUN).show()
    assert capsys.readouterr().out == "run-1: Running\n  Train model: Running\n"


@pytest.mark.parametrize(("native", "expected"), [(NATIVE, NATIVE), (None, None)])
def test_a_notebook_gets_the_object_that_has_a_table(native: Any, expected: Any, monkeypatch: pytest.MonkeyPatch):
    shown: list[Any] = []
    monkeypatch.setitem(sys.modules, "IPython", ipython("kernel", shown))
    run = SimpleNamespace(**{**vars(RUN), "native": native})
    RunDetails(run).show()
    assert shown == [expected or run]


def test_the_widgets_data_is_the_status_of_the_run():
    assert RunDetails(RUN).get_widget_data() == {"status": "Running", "run_id": "run-1"}
