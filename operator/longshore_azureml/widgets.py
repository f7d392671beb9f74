"""The widget of `azureml.widgets`."""

from __future__ import annotations

import sys
from typing import Any

from longshore_azureml.keywords import checked
from longshore_azureml.unsupported import Supported


@checked
class RunDetails(Supported):
    """Shows a run: in a notebook a table, on a console text."""

    def __init__(self, run_instance: Any) -> None:
        self.run = run_instance

    def show(self, render_lib: Any = None, widget_settings: Any = None) -> None:
        """Show the run."""
        native = getattr(self.run, "native", None)
        ipython = sys.modules.get("IPython")  # a kernel has imported it
        if ipython is None or ipython.get_ipython() is None:
            print(self._text())
        else:
            ipython.display.display(native if hasattr(native, "_repr_html_") else self.run)

    def get_widget_data(self) -> dict[str, Any]:
        """Return the status of the run and of its steps."""
        return {"status": self.run.get_status(), "run_id": self.run.id}

    def _text(self) -> str:
        steps = getattr(self.run, "get_steps", lambda: ())()
        lines = [f"{self.run.id}: {self.run.get_status()}"]
        return "\n".join([*lines, *(f"  {each.name}: {each.get_status()}" for each in steps)])
