"""Translation of what both kinds of steps share: arguments, code, variables and compute."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from longshore_api.errors import shown
from longshore_planner.azureml import expressions
from longshore_planner.azureml.locations import is_asset, local_url
from longshore_planner.azureml.notes import Notes
from longshore_planner.azureml.ports import Absent, Binding, Data, Output, Value, joined
from longshore_planner.azureml.resources import Resources
from longshore_planner.azureml.section import Section, SpecBuilder

MISSING_SCRIPT = "to_be_written.py"
SOURCE = "a folder of this machine; for a cluster, use a ConfigMap, a store or the image instead"
LOST = {
    "identity": "pods have the service account and the Secrets of the Datastores that the step uses",
    "services": "use kubectl port-forward to reach a pod",
    "queue_settings": "set priority, and vmPriority of the ComputeCluster",
    "distribution": "a ScriptStep is one process on one node; a ParallelRunStep has many, without communication",
    "parent_job_name": "",
    "creation_context": "",
    "id": "",
}
_RESOURCES_LOST = {
    "shm_size": "mount an emptyDir of medium Memory at /dev/shm in the ComputeCluster's podTemplate",
    "docker_args": "add what pods need to the ComputeCluster's podTemplate",
    "locations": "the cluster has one location",
    "max_instance_count": "set maxNodes of the ComputeCluster",
}


@dataclass
class Step:
    """One job of Azure ML during its translation into a step."""

    name: str
    job: Section
    resources: Resources
    inputs: Mapping[str, Binding]
    outputs: Mapping[str, Output]
    folder: str = ""  # of the YAML file that names the code, relative to the base folder
    default_compute: str = ""
    outer: Callable[[str], Binding | None] = lambda name: None  # returns an input of the enclosing pipeline
    used: set[str] = field(default_factory=set)  # inputs with at least one reference

    @property
    def notes(self) -> Notes:
        """Notes of the translation."""
        return self.resources.notes

    def value(self, given: Any) -> Any:
        """Return a value, or the value of the input that it refers to."""
        reference = expressions.whole(given)
        if reference is None or reference.kind != "inputs":
            return given
        bound = self._bound(reference)
        return bound.value if isinstance(bound, Value) else None

    def arguments(self, text: str, path_of: Callable[[str, Data], str | None], *, origin: str) -> list[str]:
        """Split a command line into arguments; `path_of` returns the reference to the path of an input."""
        line = expressions.with_optional(text, lambda name: not isinstance(self.inputs.get(name, Absent()), Absent))
        try:
            words = expressions.words(line)
        except ValueError as error:
            self.notes.add(origin, f"is not valid in a shell ({error}); it was split at spaces")
            words = line.split()
        return [expressions.replaced(each, lambda inner: self._filled(inner, path_of, origin=origin)) for each in words]

    def script(self, given: str, *, origin: str) -> str:
        """Return the path of a script below its source folder, or the name of a script that the user must write."""
        path = given.removeprefix("./")
        if path.endswith(".py") and not path.startswith("/") and ".." not in path.split("/"):
            return path
        self.notes.lost(origin, f"it is {shown(given)}, but must be a .py file below the source folder")
        return MISSING_SCRIPT

    def source(self, code: str, made: SpecBuilder, *, origin: str) -> None:
        """Set the step's source folder."""
        if is_asset(code) or "://" in code or code.startswith("git+"):
            self.notes.lost(origin, f"it is {shown(code)}; download it, and set source.uri to its folder")
            code = ""
        folder = posixpath.join(self.resources.base, self.folder)
        made.put("source", {"uri": local_url(folder, code.removeprefix("file:") or ".")}, remark=SOURCE)

    def environment(self, given: Any, made: SpecBuilder, *, origin: str) -> None:
        """Set the step's environment."""
        name = self.resources.environment(given, folder=self.folder, origin=origin)
        made.put("environment", None if name is None else {"name": name})

    def variables(self, made: SpecBuilder) -> None:
        """Set the step's environment variables."""
        given = self.job.section("environment_variables")
        variables = {key: self._plain_text(value, given.field_path(key)) for key, value in given.items()}
        made.put("environmentVariables", variables or None, origin=self.job.field_path("environment_variables"))

    def nodes(self) -> tuple[Any, str]:
        """Return the number of nodes, None if it is not set, and their size."""
        resources = self.job.section("resources")
        count = self.value(resources.take("instance_count"))
        if count is None:
            count = self.value(self.job.take("instance_count"))
        size = resources.text("instance_type")
        properties = resources.take("properties")
        if properties:
            self.notes.lost(
                resources.field_path("properties"), "add what pods need to the ComputeCluster's podTemplate"
            )
        resources.rest(_RESOURCES_LOST)
        return count, size

    def compute(self, made: SpecBuilder, count: Any, size: str, *, given: str, origin: str) -> None:
        """Set the step's ComputeCluster to the one that Azure ML's field `origin` names as `given`."""
        number = int(count) if isinstance(count, int | str) and str(count).isdigit() else 1
        name = self.resources.cluster(given, nodes=number, vm_size=size)
        if name is None:
            self.notes.add(origin, "names no nodes; for a cluster, set computeTarget to a ComputeCluster")
        made.put("computeTarget", name)

    def _plain_text(self, value: Any, origin: str) -> str:
        value = self.value(value)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return expressions.replaced(text, lambda inner: self._filled(inner, lambda name, data: None, origin=origin))

    def _filled(self, inner: str, path_of: Callable[[str, Data], str | None], *, origin: str) -> str:
        reference = expressions.read(inner)
        written = "${{" + inner + "}}"
        if reference is not None and not reference.job:
            if reference.kind == "outputs" and not reference.parent and reference.name in self.outputs:
                output = self.outputs[reference.name]
                return joined(f"$(outputs.{output.port})", output.below)
            bound = self._bound(reference) if reference.kind == "inputs" else None
            filled = _text(reference.name, bound, None if reference.parent else path_of)
            if filled is not None:
                return filled
        self.notes.add(origin, f"has {written}, which has no counterpart; it became empty")
        return ""

    def _bound(self, reference: expressions.Reference) -> Binding | None:
        if reference.parent:
            return self.outer(reference.name)
        self.used.add(reference.name)
        return self.inputs.get(reference.name)


def _text(name: str, bound: Binding | None, path_of: Callable[[str, Data], str | None] | None) -> str | None:
    """Return the text that replaces an input in an argument, or None."""
    match bound:
        case Value(value):
            return str(value)  # booleans become True and False, as in Azure ML
        case Data() if path_of is not None:
            return path_of(name, bound)
        case _:
            return None
