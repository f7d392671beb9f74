"""Which of the kinds of YAML a file is, and its documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from longshore_planner.azureml.around import Around, document
from longshore_planner.azureml.config import config_step
from longshore_planner.azureml.names import step_name
from longshore_planner.azureml.notes import Notes
from longshore_planner.azureml.parallel import append_row_to, parallel_spec, plan_outputs
from longshore_planner.azureml.pipeline import pipeline_documents
from longshore_planner.azureml.ports import Binding, bound, output_fields
from longshore_planner.azureml.section import Section
from longshore_planner.azureml.step import Step

_KINDS = "a parallel job or a pipeline job of Azure ML v2, nor a ParallelRunConfig of v1 as save_to_yaml() writes it"


class NotOfAzureML(Exception):
    """The YAML is none of what can be imported; the message says what it is."""


@dataclass(frozen=True)
class Translation:
    """Documents of ours, with remarks in them, and what could not be carried over."""

    documents: list[dict[str, Any]]
    notes: list[str]


def translate(content: Any, *, name: str, base: str = ".", read: Callable[[str], Any] | None = None) -> Translation:
    """Return the documents that a file's parsed content becomes.

    `name` is what to call a step whose job has no name; `base` and `read` are those of `Around`. Raises NotOfAzureML.
    """
    notes = Notes()
    around = Around(notes, base=base, read=read or (lambda path: None))
    match _kind(content):
        case "parallel":
            main = [_parallel_job(content, around, name=name)]
        case "pipeline":
            main = pipeline_documents(content, around, name=name)
        case "config":
            main = [config_step(content, around, name=name)]
        case _:
            raise NotOfAzureML(f"is neither {_KINDS}")
    notes.close()
    return Translation([*main, *around.documents(main)], notes.lines)


def _kind(content: Any) -> str:
    if not isinstance(content, Mapping):
        return ""
    schema, type_ = str(content.get("$schema", "")).lower(), content.get("type")
    if type_ == "pipeline" or "pipelinejob" in schema or "pipelinecomponent" in schema:
        return "pipeline"
    if type_ == "parallel" or "paralleljob" in schema or "parallelcomponent" in schema:
        return "parallel"
    if type_ is None and "entry_script" in content:
        return "config"
    return ""


def _parallel_job(content: Mapping[str, Any], around: Around, *, name: str) -> dict[str, Any]:
    job = Section(content, "", around.notes)
    given = job.section("inputs")
    inputs: dict[str, Binding] = {
        key: bound(key, value, around, type_="", folder="", said=given.said(key)) for key, value in given.items()
    }
    described = job.section("outputs")
    declared = {key: output_fields(value, around, said=described.said(key)) for key, value in described.items()}
    task = content.get("task")
    outputs = plan_outputs(declared, append_row_to(task), inputs)
    name = step_name(job.text("name") or name)
    step = Step(name, job, around, inputs, outputs)
    return document("ParallelRunStep", name, parallel_spec(step))
