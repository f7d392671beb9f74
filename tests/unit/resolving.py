"""Documents of a step and of what it refers to."""

from collections.abc import Callable
from typing import Any

from manifests import resource

from longshore_planner.resolve import Resolved

Resolve = Callable[..., Resolved]

STEP: dict[str, Any] = {
    "inputs": [{"name": "mnist", "dataset": "mnist"}],
    "output": {"name": "inferences"},
    "entryScript": "digits.py",
    "outputAction": "append_row",
}
FILES = {"file": {"paths": ["images/**/*.png"]}}
ROWS = {"tabular": {"paths": ["rows/*.csv"], "columnTypes": {"id": "int64"}}}


MNIST = resource("Dataset", "mnist", FILES)
