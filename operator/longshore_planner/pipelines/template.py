"""A pipeline as its document has it."""

from __future__ import annotations

from dataclasses import dataclass

from longshore_api.base import Resource
from longshore_api.pipeline import PipelineSpec
from longshore_api.tasks import ScriptStep, TransferStep
from longshore_api.validation import Loc, field_path
from longshore_planner.catalogue import Document
from longshore_planner.pipelines.frozen import SCRIPT, TRANSFER


@dataclass(frozen=True)
class Template:
    """A pipeline, and the document that it stands in."""

    name: str
    document: Document[Resource]  # a Pipeline, or a PipelineRun with its pipeline in place
    loc: Loc  # of the pipeline's spec in it: ("spec",)
    spec: PipelineSpec

    @property
    def where(self) -> str:
        """The document, as problems name it."""
        return self.document.where

    def path(self, step: str, field: str = "") -> str:
        """Return the path of a field of a step in the document: "spec.steps[1].script.scriptName"."""
        index = next(index for index, each in enumerate(self.spec.steps) if each.name == step)
        return self.said(f"{field_path((*self.loc, 'steps', index))}.{field}".rstrip("."))

    def said(self, path: str) -> str:
        """Return a path as the document has it: a task has the fields of the one step that it is."""
        kind = {ScriptStep: SCRIPT, TransferStep: TRANSFER}.get(type(self.document.resource))
        return path.replace(f"spec.steps[0].{kind}", "spec", 1) if kind else path
