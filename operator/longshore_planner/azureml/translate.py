"""Detection of the kind of an Azure ML file, and its translation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from longshore_planner.azureml.config import config_step
from longshore_planner.azureml.names import step_name
from longshore_planner.azureml.notes import Notes
from longshore_planner.azureml.parallel import append_row_to, parallel_spec, plan_outputs
from longshore_planner.azureml.pipeline import pipeline_documents
from longshore_planner.azureml.ports import Binding, bound, output_fields
from longshore_planner.azureml.resources import Resources, document
from longshore_planner.azureml.section import Section
from longshore_planner.azureml.step import Step

_KINDS = "a parallel job or a pipeline job of Azure ML v2, nor a ParallelRunConfig of v1 as save_to_yaml() writes it"


class UnsupportedDocument(Exception):
    """The YAML is no job or config that can be imported; the message lists the supported ones."""


@dataclass(frozen=True)
class Translation:
    """Longshore's documents, with remarks in them, and notes on what was not translated."""

    documents: list[dict[str, Any]]
    notes: list[str]


def translate(content: Any, *, name: str, base: str = ".", read: Callable[[str], Any] | None = None) -> Translation:
    """Translate the parsed content of an Azure ML file into Longshore's documents.

    Args:
        content: The parsed YAML.
        name: Name of a step whose job has none.
        base: Folder of the YAML file as the resulting documents see it, as in `Resources`.
        read: Function that returns the parsed content of a file, as in `Resources`; without one, no file is read.

    Raises:
        UnsupportedDocument: if the file is neither a parallel job, a pipeline job nor a ParallelRunConfig.
    """
    notes = Notes()
    resources = Resources(notes, base=base, read=read or (lambda path: None))
    match _kind(content):
        case "parallel":
            main = [_parallel_job(content, resources, name=name)]
        case "pipeline":
            main = pipeline_documents(content, resources, name=name)
        case "config":
            main = [config_step(content, resources, name=name)]
        case _:
            raise UnsupportedDocument(f"is neither {_KINDS}")
    notes.close()
    return Translation([*main, *resources.documents(main)], notes.lines)


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


def _parallel_job(content: Mapping[str, Any], resources: Resources, *, name: str) -> dict[str, Any]:
    job = Section(content, "", resources.notes)
    given = job.section("inputs")
    inputs: dict[str, Binding] = {
        key: bound(key, value, resources, type_="", folder="", origin=given.field_path(key))
        for key, value in given.items()
    }
    described = job.section("outputs")
    declared = {
        key: output_fields(value, resources, origin=described.field_path(key)) for key, value in described.items()
    }
    task = content.get("task")
    outputs = plan_outputs(declared, append_row_to(task), inputs)
    name = step_name(job.text("name") or name)
    step = Step(name, job, resources, inputs, outputs)
    return document("ParallelRunStep", name, parallel_spec(step))
