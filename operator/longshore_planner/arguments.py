"""Azure ML's settings among the script's arguments, and references in arguments.

Azure ML reads some settings from the script's own command line and leaves them there; scripts rely on both. Such a
setting takes precedence over the field of the spec.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from longshore_api.errors import InvalidDocuments
from longshore_api.parallel_run_step import ParallelRunStep, ParallelRunStepSpec
from longshore_api.validation import problems_of
from longshore_planner.catalogue import Document

SETTINGS = {  # flag -> field of the spec
    "--error_threshold": "errorThreshold",
    "--allowed_failed_count": "allowedFailedCount",
    "--allowed_failed_percent": "allowedFailedPercent",
    "--task_overhead_timeout": "taskOverheadTimeoutSeconds",
    "--progress_update_timeout": "progressUpdateTimeoutSeconds",
    "--first_task_creation_timeout": "firstTaskCreationTimeoutSeconds",
    "--resource_monitor_interval": "resourceMonitorIntervalSeconds",
    "--profiling_module": "profilingModule",
    "--metrics_name_prefix": "metricsNamePrefix",
    "--logging_level": "loggingLevel",
    "--append_row_dataframe_header": "output.header",
    "--amlbi_mini_batch_rows": "miniBatch.rows",
}
_FILE_FORMAT = "--amlbi_file_format"
_REFERENCE = re.compile(r"\$\((inputs|outputs|steps)\.([^()]*)\)")


def apply_settings(step: Document[ParallelRunStep]) -> ParallelRunStepSpec:
    """Move the settings among the step's arguments into their fields; return the spec.

    Raises:
        InvalidDocuments: if a setting has no value, or one that its field refuses; the path is the argument's.
    """
    spec, given = step.resource.spec, _given(step)
    found = {field: given[flag] for flag, field in SETTINGS.items() if flag in given}
    if not found:
        return spec
    raw: dict[str, Any] = spec.model_dump(by_alias=True, exclude_unset=True)
    for field, (_, value) in found.items():
        owner, _, name = field.rpartition(".")
        if owner == "miniBatch":  # replaces any other size
            raw.pop("miniBatchSize", None)
            raw[owner] = {}
        target = raw.get(owner) if owner else raw
        if target is not None:  # without an output, a header has no effect
            target[name] = value
    try:
        return ParallelRunStepSpec.model_validate(raw)
    except ValidationError as error:
        problems = problems_of(error, model=ParallelRunStepSpec, where=step.where)
    paths = {  # an inner field creates its outer field, which may be the refused one
        path: f"spec.arguments[{index}]" for field, (index, _) in found.items() for path in (field, field.split(".")[0])
    }
    raise InvalidDocuments(step.problem(paths.get(each.path, f"spec.{each.path}"), each.text) for each in problems)


def are_json_lines(step: Document[ParallelRunStep]) -> bool:
    """Return whether the arguments declare the files as JSON lines, whose mini-batches are lists of dicts.

    Raises:
        InvalidDocuments: for another format, and if the number of rows per mini-batch is missing.
    """
    given = _given(step)
    if _FILE_FORMAT not in given:
        return False
    index, value = given[_FILE_FORMAT]
    size = step.resource.spec.mini_batch
    if value != "jsonl":
        raise InvalidDocuments([step.wrong(f"spec.arguments[{index}]", value, f"must be jsonl after {_FILE_FORMAT}")])
    if "--amlbi_mini_batch_rows" not in given and (size is None or size.rows is None):
        rule = "needs the rows per mini-batch; add --amlbi_mini_batch_rows N, or set miniBatch.rows"
        raise InvalidDocuments([step.wrong(f"spec.arguments[{index}]", value, rule)])
    return True


def fill_references(step: Document[ParallelRunStep], locations: Mapping[str, str]) -> tuple[str, ...]:
    """Replace each reference in the step's arguments, such as `$(outputs.NAME)`, by its location; return them.

    Raises:
        InvalidDocuments: for each reference that is not in `locations`.
    """
    arguments = step.resource.spec.arguments
    problems = [
        step.problem(
            f"spec.arguments[{index}]", f"refers to {found[1]}.{found[2]}, which does not exist; {_known(locations)}"
        )
        for index, argument in enumerate(arguments)
        for found in _REFERENCE.finditer(argument)
        if f"{found[1]}.{found[2]}" not in locations
    ]
    if problems:
        raise InvalidDocuments(problems)
    return tuple(_REFERENCE.sub(lambda found: locations[f"{found[1]}.{found[2]}"], each) for each in arguments)


def _known(locations: Mapping[str, str]) -> str:
    known = "".join(f", and $({location})" for location in locations)
    return f"arguments of a standalone step can refer to $(parameters.NAME){known}"


def _given(step: Document[ParallelRunStep]) -> dict[str, tuple[int, str]]:
    """Return index and value of the argument that holds the value of each setting, by the setting's flag."""
    arguments: Sequence[str] = step.resource.spec.arguments
    found = {}
    for index, argument in enumerate(arguments):
        flag, assigned, value = argument.partition("=")
        if flag not in SETTINGS and flag != _FILE_FORMAT:
            continue
        if not assigned and index + 1 == len(arguments):
            raise InvalidDocuments([step.wrong(f"spec.arguments[{index}]", argument, "must be followed by a value")])
        found[flag] = (index, value) if assigned else (index + 1, arguments[index + 1])
    return found
