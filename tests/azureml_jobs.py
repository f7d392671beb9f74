"""Azure ML's YAML for tests: jobs in a line, and what they become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from longshore_planner.azureml import check, plain, translate

AZUREML = Path(__file__).parent / "data" / "azureml"
FILES = ["parallel_job.yml", "pipeline_job.yml", "parallel_run_config.yml"]
ENTRY = {"code": "src", "entry_script": "score.py", "environment": "azureml:env:1"}


def parallel(task: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "type": "parallel",
        "inputs": {"files": {"type": "uri_folder", "path": "data"}},
        "outputs": {"rows": {"type": "uri_file"}},
        "input_data": "${{inputs.files}}",
        "compute": "azureml:cpu",
        "task": {**ENTRY, "append_row_to": "${{outputs.rows}}", **(task or {})},
        **fields,
    }


def config(**fields: Any) -> dict[str, Any]:
    return {"entry_script": "score.py", "output_action": "append_row", "compute_target": "cpu", **fields}


def command(line: str = "python x.py", **fields: Any) -> dict[str, Any]:
    return {"type": "command", "command": line, "code": "src", "environment": "azureml:env:1", **fields}


def pipeline(jobs: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "pipeline", "settings": {"default_compute": "azureml:cpu"}, "jobs": jobs, **fields}


def made(content: Any, files: dict[str, Any] | None = None) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The specs by "Kind/name", of documents that were checked, and the notes."""
    found = translate(content, name="a-job", read=(files or {}).get)
    check(found.documents, where="job.yml")
    specs = {f"{each['kind']}/{each['metadata']['name']}": plain(each["spec"]) for each in found.documents}
    return specs, found.notes


def step(content: Any, files: dict[str, Any] | None = None) -> tuple[dict[str, Any], list[str]]:
    """The spec of the first document, or of the first step where that is a pipeline; and the notes."""
    specs, notes = made(content, files)
    first = next(iter(specs.values()))
    if "steps" in first:
        ((of_step,),) = ([each for key, each in first["steps"][-1].items() if key in ("script", "parallelRun")],)
        return of_step, notes
    return first, notes


def cases(*table: tuple[Any, ...]) -> Any:
    """Parametrize by rows whose first cell is the case's name, a sentence."""
    width = len(table[0]) - 1
    names = ("content", "expected", "notes")[:width]
    return pytest.mark.parametrize(names, [row[1:] for row in table], ids=[row[0] for row in table])
