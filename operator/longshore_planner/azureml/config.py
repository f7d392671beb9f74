"""Translation of a v1 ParallelRunConfig, saved by save_to_yaml(), into a ParallelRunStep.

Such a file is half a step: inputs, output, arguments and name are in the Python code that creates the ParallelRunStep.
The user fills them in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from longshore_api.parallel_run_step import ParallelRunStepSpec
from longshore_api.values import parse_size
from longshore_planner.azureml.names import step_name
from longshore_planner.azureml.resources import Resources, document
from longshore_planner.azureml.section import Section, SpecBuilder
from longshore_planner.azureml.step import Step

_FIELDS = {
    "error_threshold": "errorThreshold",
    "allowed_failed_count": "allowedFailedCount",
    "allowed_failed_percent": "allowedFailedPercent",
    "append_row_file_name": "appendRowFileName",
    "mini_batch_size": "miniBatchSize",
    "node_count": "nodeCount",
    "partition_keys": "partitionKeys",
    "process_count_per_node": "processCountPerNode",
    "run_invocation_timeout": "runInvocationTimeoutSeconds",
    "run_max_try": "runMaxTry",
}
_ACTION = "outputAction"
_LOST = {
    "input_format": "",
    "environment_file": "name the image in the Environment",
}
_INPUT = "the data is in the Python code that creates the ParallelRunStep; fill in the Dataset"
_PARTITIONED = "the partition_format of the dataset is in the Python code; fill in the input's partitionFormat"
_IN_CODE = "are in the Python code that creates the ParallelRunStep; fill them in"


def config_step(content: Mapping[str, Any], resources: Resources, *, name: str) -> dict[str, Any]:
    """Translate a ParallelRunConfig into a ParallelRunStep; note what the user must fill in."""
    config, notes = Section(content, "", resources.notes), resources.notes
    made = SpecBuilder(ParallelRunStepSpec, notes)
    step = Step(step_name(name), config, resources, {}, {})
    made.put("description", config.text("description") or None)
    tabular = _is_size(config.take("mini_batch_size"))
    source = {"dataset": resources.unknown_dataset("input", tabular=tabular)}
    partition = {} if tabular else resources.guessed_partition(config.take("partition_keys"), source)
    made.put("inputs", [{"name": "input", **source, **partition}], remark=_INPUT)
    notes.add("inputs and output", _IN_CODE)
    notes.add("arguments and side_inputs", _IN_CODE)
    # With partition keys, Azure ML ignores the size.
    unused = "mini_batch_size" if config.take("partition_keys") else "partition_keys"
    if partition:
        notes.add("partition_keys", _PARTITIONED)
    for theirs, ours in _FIELDS.items():
        if theirs != unused:
            made.put(ours, config.take(theirs), origin=config.field_path(theirs))
    level = config.text("logging_level")
    made.put("loggingLevel", level.upper() or None, origin="logging_level")
    action = config.text("output_action").lower().rpartition(".")[2]
    made.put(_ACTION, "summary_only", remark="" if action else "a guess: the config does not set it")
    made.put(_ACTION, action or None, origin="output_action")
    if action == "append_row":
        made.put("output", {"name": "output"}, remark="the name of the output is in the Python code, too")
    step.source(config.text("source_directory"), made, origin="source_directory")
    made.put("entryScript", step.script(config.text("entry_script"), origin="entry_script"))
    step.environment(config.take("environment"), made, origin="environment")
    step.variables(made)
    target = config.take("compute_target")
    if isinstance(target, Mapping):
        target = target.get("name", "")
    nodes = config.take("node_count")
    step.compute(made, nodes, "", given=str(target or ""), origin="compute_target")
    config.rest(_LOST)
    return document("ParallelRunStep", step.name, made.spec())


def _is_size(value: Any) -> bool:
    """Return whether a mini-batch size is in bytes, so that the input is tabular."""
    try:
        return parse_size(value)[1]
    except (TypeError, ValueError):
        return False
