"""Translation of a v2 pipeline job into a Pipeline: its inputs become parameters, its jobs become steps."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from longshore_api.errors import shown
from longshore_api.pipeline import PipelineStep
from longshore_planner.azureml import command, expressions, parallel
from longshore_planner.azureml.locations import is_asset
from longshore_planner.azureml.names import Names, port_name, resource_name, step_name
from longshore_planner.azureml.notes import plain
from longshore_planner.azureml.ports import (
    DATA_TYPES,
    INPUT_LOST,
    Absent,
    Binding,
    Data,
    Output,
    Value,
    bound,
    output_fields,
)
from longshore_planner.azureml.resources import Resources, document
from longshore_planner.azureml.section import Section, SpecBuilder, truth
from longshore_planner.azureml.step import Step

_LOST = {
    "identity": "the Datastores that a step uses determine the service account of its pods",
    "schedule": "use a CronJob that creates PipelineRuns",
    "compute": "",
}
_SETTINGS_LOST = {
    "on_init": "make it a step that the others depend on",
    "on_finalize": "make it a step with runAfter, which runs once those steps have succeeded",
}
_TYPES = {"string": "string", "integer": "integer", "number": "number", "boolean": "boolean"}
_COMPONENT_ONLY = ("name", "version", "display_name", "tags", "$schema", "description", "is_deterministic", "type")


@dataclass(frozen=True)
class _Job:
    """A job whose own fields take precedence over its component's."""

    key: str  # name of Azure ML's job
    name: str  # name of the step
    kind: str  # "command", "parallel", or a kind without a corresponding step
    fields: Mapping[str, Any]
    declared_inputs: Mapping[str, Any]
    declared_outputs: Mapping[str, Any]
    folder: str  # of the file that its code is relative to

    @property
    def path(self) -> str:
        return f"jobs.{self.key}"


def pipeline_documents(content: Mapping[str, Any], resources: Resources, *, name: str) -> list[dict[str, Any]]:
    """Translate a pipeline job into a Pipeline, and a PipelineRun if the job has settings of its run."""
    return _Pipeline(content, resources, name=name).documents()


class _Pipeline:
    def __init__(self, content: Mapping[str, Any], resources: Resources, *, name: str) -> None:
        self.section, self.resources, self.notes = Section(content, "", resources.notes), resources, resources.notes
        self.name = resource_name(self.section.text("name") or self.section.text("display_name") or name)
        self.parameters: dict[str, dict[str, Any]] = {}  # by their name
        self.bound: dict[str, Binding] = {}  # inputs of the pipeline
        self.described: dict[str, Mapping[str, Any]] = {}  # outputs of the pipeline
        self.used: set[str] = set()
        self.default_compute = ""

    def documents(self) -> list[dict[str, Any]]:
        options = self._settings()
        self._inputs()
        described = self.section.section("outputs")
        self.described = {key: each if isinstance(each, Mapping) else {} for key, each in described.items()}
        given = self.section.section("jobs")
        names = Names(step_name)
        self.jobs = {key: self._job(key, raw, names.of(key)) for key, raw in given.items()}
        self.outputs = {key: self._outputs(job) for key, job in self.jobs.items()}
        steps = [self._step(job) for job in self.jobs.values()]
        description = self.section.text("description")
        self.section.rest(_LOST)
        for key in self.parameters:
            if key not in self.used:
                self.notes.lost(f"inputs.{key}", "no job refers to this input")
        # An input that became a Model is no parameter, because the location of a Model is fixed.
        text = repr(plain(steps))
        parameters = [each for each in self.parameters.values() if f"$(parameters.{each['name']})" in text]
        spec = {
            **({"description": description} if description else {}),
            **({"parameters": parameters} if parameters else {}),
            "steps": steps,
        }
        documents = [document("Pipeline", self.name, spec)]
        if options:
            run = {"pipelineRef": {"name": self.name}, **options}
            documents.append(document("PipelineRun", resource_name(f"{self.name}-run"), run))
        return documents

    # --- what concerns all jobs -----------------------------------------------------------------------------------

    def _settings(self) -> dict[str, bool]:
        settings = self.section.section("settings")
        compute = settings.text("default_compute") or self.section.text("compute")
        self.default_compute = compute
        store = settings.text("default_datastore")
        if store:
            self.resources.default_store = store.removeprefix("azureml:")
            self.resources.datastore(self.resources.default_store, default=True)
        flags = {"continue_on_step_failure": "continueOnStepFailure", "force_rerun": "regenerateOutputs"}
        options = {ours: True for theirs, ours in flags.items() if settings.flag(theirs)}
        settings.rest(_SETTINGS_LOST)
        return options

    def _inputs(self) -> None:
        given = self.section.section("inputs")
        for key, value in given.items():
            origin = given.field_path(key)
            type_ = str(value.get("type", "")) if isinstance(value, Mapping) else ""
            is_open = isinstance(value, Mapping) and not {"path", "default", "value"} & value.keys()
            if is_open and truth(value.get("optional")) is not True and type_ in (*_TYPES, *DATA_TYPES):
                self._required(key, type_, origin=origin)
                continue
            binding = bound(key, value, self.resources, type_="", folder="", origin=origin)
            match binding:
                case Data(source={"dataset": name}):
                    self._parameter(key, "dataset", name)
                    self.bound[key] = _replaced(binding, {"dataset": f"$(parameters.{port_name(key)})"})
                case Value(value):
                    self._parameter(key, _TYPES.get(type_) or _type_of(value), value)
                case _:
                    self.bound[key] = binding

    def _required(self, key: str, type_: str, *, origin: str) -> None:
        self._parameter(key, _TYPES.get(type_, "dataset"), None)
        text = f"has no value; pass -p {port_name(key)}=VALUE to longshore run"
        if type_ in DATA_TYPES:
            text += ", the name of a Dataset"
            source = {"dataset": f"$(parameters.{port_name(key)})"}
            self.bound[key] = Data(source, tabular=type_ == "mltable")
        self.notes.add(origin, text)

    def _parameter(self, key: str, type_: str, default: Any) -> None:
        name = port_name(key)
        self.parameters[key] = {
            "name": name,
            "type": type_,
            **({"default": default} if default is not None else {}),
        }
        self.bound[key] = Value(f"$(parameters.{name})")

    # --- one job --------------------------------------------------------------------------------------------------

    def _job(self, key: str, raw: Any, name: str) -> _Job:
        fields = _fields(raw)
        if not isinstance(raw, Mapping):
            self.notes.lost(f"jobs.{key}", f"it is {shown(raw)}, but must be a mapping of fields")
        component, folder = self._component(fields.get("component"), origin=f"jobs.{key}.component")
        kind = str(component.get("type") or fields.get("type") or ("command" if "command" in fields else ""))
        of_component = {each: value for each, value in component.items() if each not in _COMPONENT_ONLY}
        reuse = {each: component[each] for each in ("is_deterministic",) if each in component}
        merged = {**of_component, **reuse, **{each: fields[each] for each in fields if each != "component"}}
        own = {each: fields.get(each) or {} for each in ("inputs", "outputs")}
        declared = {each: _fields(component.get(each)) for each in ("inputs", "outputs")}
        merged.update(own)
        return _Job(key, name, kind, merged, declared["inputs"], declared["outputs"], folder)

    def _component(self, given: Any, *, origin: str) -> tuple[Mapping[str, Any], str]:
        """Return the fields of a component and the folder of its file; no fields if the component is not available."""
        if given is None:
            return {}, ""
        if isinstance(given, Mapping):
            return given, ""
        path = str(given).strip().removeprefix("file:")
        content = None if is_asset(path) else self.resources.read(posixpath.normpath(path))
        if isinstance(content, Mapping):
            return content, posixpath.dirname(posixpath.normpath(path))
        what = "which only the workspace has" if is_asset(path) else "a YAML file that does not exist"
        self.notes.lost(origin, f"it is {path}, {what}; fill in the step's script, or add the file and import again")
        return {}, ""

    def _outputs(self, job: _Job) -> dict[str, Output]:
        declared: dict[str, dict[str, str]] = {}
        own = _fields(job.fields["outputs"])
        for key in dict.fromkeys([*job.declared_outputs, *own]):
            origin = f"{job.path}.outputs.{key}"
            fields = output_fields(job.declared_outputs.get(key), self.resources, origin=origin)
            given = own.get(key)
            reference = expressions.whole(given.get("path") if isinstance(given, Mapping) else given)
            if reference is not None and reference.parent:
                outer = self.described.get(reference.name, {})
                given = {
                    **outer,
                    **({k: v for k, v in given.items() if k != "path"} if isinstance(given, Mapping) else {}),
                }
                origin = f"outputs.{reference.name}"
            elif isinstance(given, str):
                given = {"path": given}
            of_job = output_fields(given, self.resources, origin=origin)
            declared[key] = {**fields, **{name: each for name, each in of_job.items() if each}}
        if job.kind == "parallel":
            row_output = parallel.append_row_to(job.fields.get("task"))
            return parallel.plan_outputs(declared, row_output, [*job.declared_inputs, *_fields(job.fields["inputs"])])
        return command.plan_outputs(declared)

    def _step(self, job: _Job) -> dict[str, Any]:
        section = Section(job.fields, job.path, self.notes)
        step = Step(
            job.name,
            section,
            self.resources,
            self._bindings(job),
            self.outputs[job.key],
            folder=job.folder,
            default_compute=self.default_compute,
            outer=self._outer,
        )
        for name in ("inputs", "outputs"):  # they are bound already
            section.take(name)
        made = SpecBuilder(PipelineStep, self.notes)
        made.put("allowReuse", False if section.flag("is_deterministic") is False else None)
        limits = section.section("limits")
        made.put("timeoutSeconds", limits.take("timeout"), origin=limits.field_path("timeout"))
        limits.rest({})
        extras = made.spec()
        if job.kind == "parallel":
            return {"name": job.name, **extras, "parallelRun": parallel.parallel_spec(step)}
        if job.kind not in ("command", ""):
            self.notes.lost(job.path, f"jobs of type {job.kind} have no corresponding step; write a script for it")
        return {"name": job.name, **extras, "script": command.command_spec(step)}

    # --- what its inputs are --------------------------------------------------------------------------------------

    def _bindings(self, job: _Job) -> dict[str, Binding]:
        own = _fields(job.fields["inputs"])
        return {key: self._binding(job, key, own.get(key)) for key in dict.fromkeys([*job.declared_inputs, *own])}

    def _binding(self, job: _Job, key: str, given: Any) -> Binding:
        origin = f"{job.path}.inputs.{key}"
        if given is None:
            declared = _fields(job.declared_inputs.get(key))
            return bound(key, declared, self.resources, type_="", folder=job.folder, origin=origin)
        declaration = self._input_section(job.declared_inputs.get(key), origin=origin)
        type_, mode, text = declaration.text("type"), declaration.text("mode"), given
        if isinstance(given, Mapping):
            text = next((given[name] for name in ("path", "value", "default") if name in given), None)
        reference = expressions.whole(text)
        if reference is not None and isinstance(given, Mapping):
            own = self._input_section(given, origin=origin)
            type_, mode = own.text("type") or type_, own.text("mode") or mode
        elif isinstance(given, Mapping):
            type_, mode = str(given.get("type", "")) or type_, str(given.get("mode", "")) or mode
        if reference is None:
            binding = bound(key, given, self.resources, type_=type_, folder="", origin=origin)
            if isinstance(binding, Value) and isinstance(binding.value, str):
                return Value(expressions.replaced(binding.value, lambda inner: self._text(inner, origin=origin)))
            return binding
        if reference.job:
            return self._of_job(reference, type_, mode, origin=origin)
        if reference.name not in self.bound:
            self.notes.add(
                origin, f"refers to the pipeline's input {reference.name}, which does not exist; it is left empty"
            )
            return Absent()
        self.used.add(reference.name)
        binding = self.bound[reference.name]
        return _replaced(binding, binding.source, mode=mode or binding.mode) if isinstance(binding, Data) else binding

    def _input_section(self, fields: Any, *, origin: str) -> Section:
        """Return the fields of an input whose value is known; note all except type and mode."""
        section = Section(fields if isinstance(fields, Mapping) else None, origin, self.notes)
        for name in ("type", "mode", "path", "value", "default", "optional"):
            section.take(name)
        section.rest(INPUT_LOST)
        return section

    def _of_job(self, reference: expressions.Reference, type_: str, mode: str, *, origin: str) -> Binding:
        output = self.outputs.get(reference.job, {}).get(reference.name)
        if output is None:
            self.notes.add(
                origin, f"refers to {reference.job}.{reference.name}, which does not exist; it is left empty"
            )
            return Absent()
        source = {"from": f"$(steps.{self.jobs[reference.job].name}.outputs.{output.port})"}
        return Data(source, mode, type_ == "mltable", output.below)

    def _outer(self, name: str) -> Binding | None:
        self.used.add(name)
        return self.bound.get(name)

    def _text(self, inner: str, *, origin: str) -> str:
        reference = expressions.read(inner)
        binding = self.bound.get(reference.name) if reference is not None and not reference.job else None
        if reference is not None and isinstance(binding, Value):
            self.used.add(reference.name)
            return str(binding.value)
        self.notes.add(origin, f"has ${{{{{inner}}}}}, which has no counterpart; it became empty")
        return ""


def _replaced(data: Data, source: dict[str, str], *, mode: str = "") -> Data:
    return Data(source, mode or data.mode, data.tabular, data.below)


def _fields(value: Any) -> Mapping[str, Any]:
    return {str(key): each for key, each in value.items()} if isinstance(value, Mapping) else {}


def _type_of(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case _:
            return "string"
