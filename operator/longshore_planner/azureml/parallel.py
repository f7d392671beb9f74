"""Translation of a v2 parallel job into the spec of a ParallelRunStep.

Where the defaults differ, the spec contains Azure ML's: one file per mini-batch, and one process per core of a node.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from typing import Any

from longshore_api.parallel_run_step import ParallelRunStepSpec
from longshore_planner.azureml import expressions
from longshore_planner.azureml.names import port_name
from longshore_planner.azureml.ports import FILE_TYPES, Data, Output, joined, our_mode
from longshore_planner.azureml.section import SpecBuilder
from longshore_planner.azureml.step import LOST, Step

ROWS_FILE = "parallel_run_step.txt"  # the default file name

_AUTO = "one process per core, or per GPU, which is Azure ML's default"
_NO_EFFECT = ("--copy_logs_to_parent", "--push_metrics_to_parent")
_LOST = {
    **LOST,
    "is_deterministic": "only steps of pipelines support reuse",
    "input_data": "",
    "limits": "set timeoutSeconds beside parallelRun in a pipeline, or runInvocationTimeoutSeconds for a mini-batch",
}
_TASK_LOST = {"type": "", "model": "name it as an input, or as a Model in models"}
_RETRY_LOST: dict[str, str] = {}


def output_file(path: str) -> str:
    """Return the file name at the end of an output's path, or Azure ML's default."""
    name = posixpath.basename(path.rstrip("/"))
    return name if "." in name.strip(".") and "{" not in name else ROWS_FILE


def append_row_to(task: Any) -> str:
    """Return the name of the output that rows are appended to, "" if there is none."""
    reference = expressions.whole(task.get("append_row_to")) if isinstance(task, dict) else None
    return reference.name if reference is not None and reference.kind == "outputs" else ""


def parallel_spec(step: Step) -> dict[str, Any]:
    """Translate a parallel job into the spec of a ParallelRunStep."""
    job, notes = step.job, step.notes
    made = SpecBuilder(ParallelRunStepSpec, notes)
    task = job.section("task")
    made.put("description", job.text("description") or None)
    partitioned, tabular = _partitioned(step, made)
    _output(step, made, task.take("append_row_to"), task.field_path("append_row_to"))
    step.source(task.text("code"), made, origin=task.field_path("code"))
    made.put("entryScript", step.script(task.text("entry_script"), origin=task.field_path("entry_script")))
    step.environment(task.take("environment"), made, origin=task.field_path("environment"))
    step.variables(made)
    count, size = step.nodes()
    step.compute(made, count, size, given=job.text("compute") or step.default_compute, origin=job.field_path("compute"))
    made.put("nodeCount", count, origin=job.field_path("resources.instance_count"))
    _sizes(step, made, tabular=tabular)
    _tolerance(step, made)
    text = task.text("program_arguments")
    side = _SideInputs(step, partitioned)
    arguments = step.arguments(text, side.path, origin=task.field_path("program_arguments"))
    for each in arguments:
        flag = each.partition("=")[0]
        if flag in _NO_EFFECT:
            notes.add(
                task.field_path("program_arguments"), f"{flag} has no effect in Longshore; the script still receives it"
            )
    made.put("arguments", arguments or None)
    made.put("sideInputs", list(side.made.values()) or None)
    side.unused()
    task.rest(_TASK_LOST)
    job.rest(_LOST)
    return made.spec()


def _partitioned(step: Step, made: SpecBuilder) -> tuple[str, bool]:
    """Set the step's input of mini-batches; return its name, and whether it is tabular."""
    origin = step.job.field_path("input_data")
    reference = expressions.whole(step.job.take("input_data"))
    name = reference.name if reference else ""
    data = step.inputs.get(name)
    if not isinstance(data, Data):
        first = next((key for key, each in step.inputs.items() if isinstance(each, Data)), "")
        step.notes.add(origin, f"is no reference to an input of data; {first or 'a Dataset to fill in'} is used")
        name, data = first, step.inputs.get(first)
    if not isinstance(data, Data):
        made.put("inputs", [{"name": "input", "dataset": step.resources.unknown_dataset("input", tabular=False)}])
        return name, False
    step.used.add(name)
    source = {key: joined(value, data.below) if key == "from" else value for key, value in data.source.items()}
    table = {"tabular": {"format": "csv"}} if data.tabular and "from" in source else {}
    if table:
        step.notes.add(origin, "is a table that another step writes; CSV is a guess")
    mode = {} if data.tabular else {"mode": _mode(step, name, data)}
    partition = {} if data.tabular else step.resources.guessed_partition(step.job.take("partition_keys"), source)
    made.put("inputs", [{"name": port_name(name), **source, **table, **mode, **partition}])
    return name, data.tabular


def _mode(step: Step, name: str, data: Data) -> str:
    mode = our_mode(data.mode or "ro_mount")
    if mode is None:
        step.notes.add(
            step.job.field_path(f"inputs.{name}.mode"), f"{data.mode} became mount; the script receives paths of files"
        )
    return mode or "mount"


def _output(step: Step, made: SpecBuilder, row_output: Any, origin: str) -> None:
    reference = expressions.whole(row_output)
    output = step.outputs.get(reference.name) if reference else None
    made.put("outputAction", "summary_only" if output is None else "append_row")
    if row_output is not None and output is None:
        step.notes.lost(origin, "it is not a reference to an output of the job")
    if output is not None:
        made.put("appendRowFileName", output.below or None)
    main = output or next(iter(step.outputs.values()), None)
    if main is None:
        return
    store = {"datastore": main.datastore} if main.datastore else {}
    registration = main.registration()
    registered = {} if registration is None else {"registerOnComplete": registration}
    made.put("output", {"name": main.port, **store, **registered})
    for theirs, each in step.outputs.items():
        if each is not main and each.below:
            text = f"became the folder {each.below} in {main.port}: a step has one output; the script must create it"
            step.notes.add(step.job.field_path(f"outputs.{theirs}"), text)


def _sizes(step: Step, made: SpecBuilder, *, tabular: bool) -> None:
    job = step.job
    processes = step.value(job.take("max_concurrency_per_instance"))
    if processes is None:
        made.put("processCountPerNode", "auto", remark=_AUTO)
    else:
        made.put("processCountPerNode", processes, origin=job.field_path("max_concurrency_per_instance"))
    size, keys = step.value(job.take("mini_batch_size")), step.value(job.take("partition_keys"))
    if keys is not None:  # Azure ML then ignores the size
        made.put("partitionKeys", keys, origin=job.field_path("partition_keys"))
    elif size is None and not tabular:
        made.put("miniBatchSize", 1, remark="one file, which is Azure ML's default")
    else:
        made.put("miniBatchSize", size, origin=job.field_path("mini_batch_size"))


def _tolerance(step: Step, made: SpecBuilder) -> None:
    job = step.job
    made.put("errorThreshold", step.value(job.take("error_threshold")), origin=job.field_path("error_threshold"))
    failed = step.value(job.take("mini_batch_error_threshold"))
    made.put("allowedFailedCount", failed, origin=job.field_path("mini_batch_error_threshold"))
    retry = job.section("retry_settings")
    retries = step.value(retry.take("max_retries"))
    if isinstance(retries, str) and retries.strip().isdigit():
        retries = int(retries)
    if isinstance(retries, int) and not isinstance(retries, bool):
        made.put(
            "runMaxTry", 1 + retries, origin=retry.field_path("max_retries"), remark="the first try and the retries"
        )
    elif retries is not None:
        notes = step.notes
        notes.lost(retry.field_path("max_retries"), f"it is {retries}; set runMaxTry, which counts the first try, too")
    made.put("runInvocationTimeoutSeconds", step.value(retry.take("timeout")), origin=retry.field_path("timeout"))
    retry.rest(_RETRY_LOST)
    level = step.value(job.take("logging_level"))
    made.put(
        "loggingLevel", level.upper() if isinstance(level, str) and "$(" not in level else level,
        origin=job.field_path("logging_level"),
    )  # fmt: skip


class _SideInputs:
    """Inputs that the script reads as a whole."""

    def __init__(self, step: Step, partitioned: str) -> None:
        self.step, self.partitioned = step, partitioned
        self.made: dict[str, dict[str, Any]] = {}  # by their names

    def path(self, name: str, data: Data) -> str:
        """Return the reference to the path of an input, for an argument."""
        port = port_name(name)
        if name == self.partitioned:
            port = f"{port}_whole"
            text = f"is also a side input, {port}; remove the argument if run() does not need it"
            self.step.notes.add(self.step.job.field_path(f"inputs.{name}"), text)
        mode = {"mode": "download"} if data.mode == "download" else {}
        self.made[port] = {"name": port, **data.source, **mode}
        return joined(f"$(inputs.{port})", data.below)

    def unused(self) -> None:
        """Note each input of data without a reference."""
        for name, bound in self.step.inputs.items():
            if isinstance(bound, Data) and name not in self.step.used:
                self.step.notes.lost(self.step.job.field_path(f"inputs.{name}"), "nothing refers to this input")


def plan_outputs(
    declared: Mapping[str, Mapping[str, str]], row_output: str, inputs: Iterable[str]
) -> dict[str, Output]:
    """Map the outputs of a parallel job, declared with type and path, to one folder and folders in it."""
    main = row_output if row_output in declared else next(iter(declared), "")
    port = port_name(main)
    port = f"{port}_folder" if port in ("state", "logs", *map(port_name, inputs)) else port
    planned = {}
    for name, each in declared.items():
        below = "" if name == main else port_name(name)
        if name == row_output and each.get("type") in FILE_TYPES:
            below = output_file(each.get("path", ""))
        planned[name] = Output(
            port,
            below,
            each.get("mode", ""),
            each.get("datastore") or None,
            type=each.get("type", ""),
            registered=each.get("name", ""),
        )
    return planned
