"""Translation of a v2 command, which is a shell command line, into a ScriptStep, which runs one Python script."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from longshore_api.tasks import ScriptStepSpec
from longshore_planner.azureml.names import port_name
from longshore_planner.azureml.parallel import ROWS_FILE, output_file
from longshore_planner.azureml.ports import FILE_TYPES, Data, Output, joined, our_mode
from longshore_planner.azureml.section import SpecBuilder
from longshore_planner.azureml.step import LOST, MISSING_SCRIPT, Step

_PYTHON = re.compile(r"(?:\S*/)?python[0-9.]*")
_SHELL = re.compile(r"^(?:[0-9]?[<>]|\|)")
_NEXT = re.compile(r"&&|;|\n")
_RESERVED = ("logs", "outputs", "state")
_LOST = {**LOST, "is_deterministic": ""}


def command_spec(step: Step) -> dict[str, Any]:
    """Return the spec of the ScriptStep that a command becomes."""
    job, notes = step.job, step.notes
    made = SpecBuilder(ScriptStepSpec, notes)
    made.put("description", job.text("description") or None)
    step.source(job.text("code"), made, origin=job.field_path("code"))
    origin = job.field_path("command")
    script, line = _script(job.text("command"), step, origin=origin)
    remark = (
        "" if script != MISSING_SCRIPT else f"write a script that does what {job.text('command') or 'the job'} does"
    )
    made.put("scriptName", step.script(script, origin=origin), remark=remark)
    arguments = _without_shell(step.arguments(line, _path, origin=origin), step, origin=origin)
    made.put("arguments", arguments or None)
    made.put(
        "inputs", [_input(step, name, each) for name, each in step.inputs.items() if isinstance(each, Data)] or None
    )
    made.put("outputs", [_output(each) for each in step.outputs.values()] or None)
    step.environment(job.take("environment"), made, origin=job.field_path("environment"))
    step.variables(made)
    count, size = step.nodes()
    if count not in (None, 1, "1"):
        notes.lost(job.field_path("resources.instance_count"), "a ScriptStep is one process on one node")
    step.compute(made, 1, size, given=job.text("compute") or step.default_compute, origin=job.field_path("compute"))
    job.rest(_LOST)
    return made.spec()


def plan_outputs(declared: Mapping[str, Mapping[str, str]]) -> dict[str, Output]:
    """Map each output of a command to a folder, and to a file in it if Azure ML's output is a file."""
    planned = {}
    for name, each in declared.items():
        port = port_name(name)
        below = ""
        if each.get("type") in FILE_TYPES:
            below = output_file(each.get("path", ""))
            below = port if below == ROWS_FILE else below
        port = f"{port}_folder" if port in _RESERVED else port
        planned[name] = Output(
            port,
            below,
            each.get("mode", ""),
            each.get("datastore") or None,
            type=each.get("type", ""),
            registered=each.get("name", ""),
        )
    return planned


def _script(command: str, step: Step, *, origin: str) -> tuple[str, str]:
    """Return the script of a command, and its arguments as one line."""
    whole = command.replace("\\\n", " ")
    parts = [part.strip() for part in _NEXT.split(whole) if part.strip()]
    found = [(part, *scripted) for part in parts if (scripted := _python_script(part)) is not None]
    if not parts:
        return MISSING_SCRIPT, ""  # an unavailable component or another kind of job, which is noted already
    if len(found) != 1:
        many = "several scripts; make each a step" if found else "no Python script; write one"
        step.notes.lost(origin, f"a step runs one Python script, but this command has {many}")
        return MISSING_SCRIPT, ""
    part, script, line, flags = found[0]
    for other in parts:
        if other != part:
            step.notes.lost(
                f"{origin} ({other})", "a step runs one Python script; do this in the script, or in the image"
            )
    if flags:
        step.notes.add(
            origin, f"{flags} became the script {script}, which is a guess" if "-m" in flags else f"{flags} is left out"
        )
    return script, line


def _python_script(command: str) -> tuple[str, str, str] | None:
    """Return script, arguments and interpreter options of a command; None if it runs no Python script."""
    words = command.split()
    if not words or not _PYTHON.fullmatch(words[0]):
        return None
    flags, position = [], 1
    while position < len(words) and words[position].startswith("-") and words[position] not in ("-m", "-c"):
        flags.append(words[position])
        position += 1
    if words[position : position + 1] == ["-m"] and position + 1 < len(words):
        module = words[position + 1]
        return f"{module.replace('.', '/')}.py", _after(command, position + 2), f"-m {module}"
    if position < len(words) and words[position].endswith(".py"):
        return words[position].removeprefix("./"), _after(command, position + 1), " ".join(flags)
    return None


def _after(command: str, words: int) -> str:
    """Return the part of a command after its first `words` words, unparsed."""
    return re.sub(rf"^\s*(?:\S+\s*){{{words}}}", "", command)


def _without_shell(arguments: list[str], step: Step, *, origin: str) -> list[str]:
    for index, each in enumerate(arguments):
        if _SHELL.match(each):
            step.notes.lost(
                f"{origin} ({' '.join(arguments[index:])})", "no shell runs the script; its output is in the run's logs"
            )
            return arguments[:index]
        if "$" in each.replace("$(", ""):
            step.notes.add(origin, f"has {each}; no shell expands variables, so the script receives it unchanged")
    return arguments


def _path(name: str, data: Data) -> str:
    return joined(f"$(inputs.{port_name(name)})", data.below)


def _input(step: Step, name: str, data: Data) -> dict[str, str]:
    origin = step.job.field_path(f"inputs.{name}.mode")
    mode = our_mode(data.mode or "ro_mount")
    if mode is None:
        step.notes.add(origin, f"{data.mode} became mount; the script receives a path")
    return {"name": port_name(name), **data.source, **({"mode": mode} if mode == "download" else {})}


def _output(output: Output) -> dict[str, Any]:
    fields = {
        "datastore": output.datastore,
        "mode": "upload" if output.mode == "upload" else None,
        "registerOnComplete": output.registration(),
    }
    return {"name": output.port, **{name: value for name, value in fields.items() if value}}
