"""Stage the data of a script step before its host starts, and upload the results after it exits. Blocking.

The agent does both, because it has the credentials of stores. In between, the host runs the script in a container of
its own. They share the folder that `longshore_protocol.script_folder` describes.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any, NoReturn

from longshore_agent.downloads import download_models
from longshore_agent.fetch_source import SourceError, fetch_source
from longshore_agent.file_names import require_distinct
from longshore_agent.git_state import git_state
from longshore_agent.paths import StagingError, model_path
from longshore_agent.registering import collect_registrations
from longshore_agent.script_inputs import stage_input
from longshore_agent.shipping import ship_folder
from longshore_agent.trees import inside
from longshore_protocol import clock, script_folder
from longshore_protocol.fields import LATEST, NUMBER, Field, fault
from longshore_protocol.job import ScriptInput
from longshore_protocol.reading import read
from longshore_protocol.registrations import pack, require_room
from longshore_protocol.script_folder import ScriptSpec
from longshore_protocol.script_job import (
    CANCELLED,
    FAILED,
    INPUT_ERROR,
    OUT_OF_MEMORY,
    STORAGE_ERROR,
    SUCCEEDED,
    TIMED_OUT,
    UPLOAD,
    ScriptJob,
    ScriptOutput,
    ScriptResult,
)
from longshore_protocol.text import MESSAGE, printable
from longshore_storage import beneath
from longshore_storage.code_files import code_digests, combined_digest
from longshore_storage.errors import ShownError, StorageError
from longshore_storage.files import copy_local, open_local
from longshore_storage.run_folders import mark_run
from longshore_storage.source_files import source_files
from longshore_storage.store import local_path, open_store

_REFERENCE = re.compile(r"\$\((inputs|outputs)\.([^()\s]+)\)")
_LONGEST = 20  # digits of an integer that JSON readers support
_ARTIFACTS = {"outputs": "outputs/", "logs": "logs/user/"}  # folder in the working directory -> in the run folder


class ScriptDataError(ShownError):
    """Data of a script cannot be staged or uploaded; the message is one sentence that names it and the cause."""

    def __init__(self, message: str, reason: str = INPUT_ERROR) -> None:
        super().__init__(message)
        self.reason = reason  # INPUT_ERROR or STORAGE_ERROR


def prepare(
    job: ScriptJob, folder: str, *, image_source: str | None = None, socket: str | None = None
) -> dict[str, Any] | None:
    """Prepare the folder of a script step for its host; return the git state of a local source.

    The folder is emptied first, as are output folders that belong to this run: an earlier try may have written there.

    Args:
        job: The script step.
        folder: The folder that agent and host share.
        image_source: A source folder in the host's image, which only the host can read; None to stage the job's source.
        socket: Path of the socket for requests of the script; None for the one in `folder`.

    Raises:
        ScriptDataError: A folder cannot be written, or an input, output, model or the source cannot be staged.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with _script_data_errors(f'The folder "{folder}" cannot be created', STORAGE_ERROR):
        os.makedirs(folder)
    with _script_data_errors(f'The run folder "{job.run_uri}" cannot be written to', STORAGE_ERROR):
        mark_run(job.run_uri, job.run_id, [each.uri for each in job.outputs if _is_of_run(each.uri, job)])
    if image_source is None:
        source_folder = os.path.join(folder, script_folder.SOURCE)
        _stage_source(job.source_uri, source_folder)
        if os.path.isfile(os.path.join(source_folder, job.script)):  # the host reports a missing one
            with _script_data_errors("The source cannot be read"):
                digest = combined_digest(code_digests(source_folder, job.script, data=()))
                open_store(folder).put(script_folder.CODE, digest.encode())
    with _script_data_errors("The inputs cannot be staged"):
        require_distinct(folder, [each.name for each in job.inputs])
    with _script_data_errors("The outputs cannot be staged"):
        require_distinct(folder, [each.name for each in job.outputs])
    inputs = {each.name: _stage_input(each, folder) for each in job.inputs}
    outputs = {each.name: _make_output(job, each, folder) for each in job.outputs}
    paths = {f"inputs.{name}": path for name, path in inputs.items()}
    paths |= {f"outputs.{name}": path for name, path in outputs.items()}
    spec = ScriptSpec(
        script=job.script,
        log_dir=os.path.join(local_path(job.run_uri) or folder, script_folder.LOGS),
        arguments=tuple(_with_paths(each, paths) for each in job.arguments),
        variables={**_variables(job, paths), **job.variables},
        models=_download_models(job, folder),
        timeout=job.timeout,
        inputs=inputs,
        tables={each.name: asdict(each.tabular) for each in job.inputs if each.tabular is not None},
        outputs=outputs,
        experiment=job.experiment or job.name,
        parent_id=job.parent_id,
        socket=socket or os.path.join(folder, script_folder.SOCKET),
        image_source=image_source,
    )
    if spec.models:
        spec.variables.setdefault("AZUREML_MODEL_DIR", spec.models[0][2])
    with _script_data_errors(f'The folder "{folder}" cannot be written to', STORAGE_ERROR):
        open_store(folder).put(script_folder.SPEC, spec.to_json().encode())
    source = None if image_source else local_path(job.source_uri)
    return None if source is None else git_state(source)


def collect(job: ScriptJob, folder: str, *, git: dict[str, Any] | None, otherwise: str) -> ScriptResult:
    """Upload logs, artifacts and, after a success, outputs; return the step's result.

    A failed upload makes a successful step fail.

    Args:
        job: The script step.
        folder: The folder that agent and host share.
        git: Git state of the source, part of the result.
        otherwise: The message if the host wrote no result.
    """
    result = replace(_result(folder, otherwise=otherwise), git=git, registered="", code=_code(folder))
    try:
        with _script_data_errors(f'The logs and artifacts cannot be written to "{job.run_uri}"', STORAGE_ERROR):
            _ship_artifacts(job, folder)
        for output in job.outputs:
            if result.state == SUCCEEDED and _is_uploaded(output):
                with _script_data_errors(_not_written(output), STORAGE_ERROR):
                    ship_folder(_upload_folder(output, folder), open_store(output.uri))
        if result.state == SUCCEEDED:
            result = replace(result, registered=_registered(job, folder))
    except ScriptDataError as error:
        if result.state == SUCCEEDED:
            return replace(result, state=FAILED, message=str(error), reason=error.reason, finished=clock.now())
        return replace(result, message=f"{result.message} {error}", finished=clock.now())
    return replace(result, finished=clock.now())


def _registered(job: ScriptJob, folder: str) -> str:
    """Upload what the script registers; return the packed registrations, those of outputs last."""
    with _script_data_errors("The Models and Datasets of the script cannot be registered", STORAGE_ERROR):
        made = collect_registrations(
            os.path.join(folder, script_folder.REGISTRATIONS),
            open_store(job.run_uri),
            outputs=[each.name for each in job.outputs],
        )
        made += [each.registration for each in job.outputs if each.registration is not None]
        require_room(made)
    return pack(made)


def _result(folder: str, *, otherwise: str) -> ScriptResult:
    """Return the host's result, validated: the script runs as the same user and can write the file too."""
    now = clock.now()
    try:
        with open(os.path.join(folder, script_folder.RESULT), encoding="utf-8", opener=beneath.open_file) as file:
            raw = json.loads(file.read(), parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
            result = read(ScriptResult, raw)
    except FileNotFoundError:
        return ScriptResult(FAILED, None, otherwise, {}, now, now)
    except (OSError, ValueError, RecursionError):
        result = None
    if result is None or not _is_sound(result):
        return ScriptResult(FAILED, None, "The script overwrote the result file of its host.", {}, now, now)
    return replace(result, message=printable(result.message, MESSAGE))


def _code(folder: str) -> str:
    """Return the digest that `prepare` wrote, validated: the script can overwrite the file."""
    try:
        with open(os.path.join(folder, script_folder.CODE), "rb", opener=beneath.open_file) as file:
            found = re.fullmatch(rb"[0-9a-f]{64}", file.read(100))
    except OSError:
        return ""
    return "" if found is None else found[0].decode()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits)


def _whole(digits: str) -> int:
    return int(digits) if len(digits) <= _LONGEST else _refuse(digits)


_TIMES = [Field(name, NUMBER, most=LATEST) for name in ("started", "finished")]


def _is_sound(result: ScriptResult) -> bool:
    """Return whether each field of a result has a valid type and value."""
    code = result.exit_code
    return (
        result.state in (SUCCEEDED, FAILED, TIMED_OUT, CANCELLED)
        and (code is None or (isinstance(code, int) and -256 < code < 256))
        and isinstance(result.message, str)
        and isinstance(result.metrics, dict)
        and fault([result.started, result.finished], _TIMES) is None
        and result.reason in ("", OUT_OF_MEMORY)
    )


def _ship_artifacts(job: ScriptJob, folder: str) -> None:
    run = open_store(job.run_uri)
    for name, place in _ARTIFACTS.items():
        path = os.path.join(folder, script_folder.SOURCE, name)
        if os.path.isdir(path):
            ship_folder(path, run, prefix=place)
    metrics = os.path.join(folder, script_folder.METRICS)
    if os.path.isfile(metrics) and not os.path.islink(metrics):
        with open_local(metrics) as file:  # refuses links, which a script that still runs may create
            run.put(f"logs/{script_folder.METRICS}", file.read())
    logs = os.path.join(folder, script_folder.LOGS)
    if os.path.isdir(logs):  # otherwise the host wrote them to the run folder
        ship_folder(logs, run, prefix="logs/")


def _stage_source(uri: str, folder: str) -> None:
    local = local_path(uri)
    if local is None or not beneath.is_folder(local):
        try:
            fetch_source(uri, folder)
        except SourceError as error:
            raise ScriptDataError(str(error)) from error
        return
    with _script_data_errors(f'The source "{uri}" cannot be copied'):
        os.makedirs(folder)
        for name in list(source_files(local)):  # list all before copying any: the folder may be inside the source
            target = os.path.join(folder, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            copy_local(os.path.join(local, name), target)  # keeps executable bits
            mode = stat.S_IMODE(os.stat(target).st_mode) | stat.S_IRUSR | stat.S_IWUSR
            os.chmod(target, mode | (mode & stat.S_IRWXU) >> 3)  # the host may run as another user of the group


def _stage_input(given: ScriptInput, folder: str) -> str:
    with _script_data_errors(f'The input "{given.name}" cannot be staged'):
        return stage_input(given, inside(os.path.join(folder, script_folder.INPUTS), given.name))


def _download_models(job: ScriptJob, folder: str) -> tuple[tuple[str, int, str], ...]:
    models = os.path.join(folder, script_folder.MODELS)
    try:
        download_models(job.models, models)
    except StagingError as error:
        text = str(error)
        raise ScriptDataError(f"{text[0].upper()}{text[1:]}.") from error
    return tuple((each.name, each.version, model_path(each, models)) for each in job.models)


def _make_output(job: ScriptJob, output: ScriptOutput, folder: str) -> str:
    """Create the folder that the script writes an output to; return its path."""
    with _script_data_errors(_not_written(output), STORAGE_ERROR):
        store = open_store(output.uri)
        if _is_of_run(output.uri, job):
            store.delete("")
        elif not output.overwrite and store.names():
            raise ValueError("the folder is not empty; empty it or set overwrite to true")
        path = _upload_folder(output, folder) if _is_uploaded(output) else str(local_path(output.uri))
        open_store(path).make()
        return path


def _not_written(output: ScriptOutput) -> str:
    return f'The output "{output.name}" cannot be written to "{output.uri}"'


def _is_uploaded(output: ScriptOutput) -> bool:
    return output.mode == UPLOAD or local_path(output.uri) is None


def _upload_folder(output: ScriptOutput, folder: str) -> str:
    return inside(os.path.join(folder, script_folder.OUTPUTS), output.name)


def _is_of_run(uri: str, job: ScriptJob) -> bool:
    """Return whether a URI is inside the run folder, or inside another folder named after the run's id."""
    location, run = (local_path(each) or each for each in (uri, job.run_uri))
    return location.startswith(run.rstrip("/") + "/") or job.run_id in location.split("/")


def _variables(job: ScriptJob, paths: dict[str, str]) -> dict[str, str]:
    """Return the variables that Azure ML sets in a script's environment."""
    variables = {"AZUREML_RUN_ID": job.run_id, "AZUREML_LOG_LEVEL": job.logging_level}
    variables |= {f"AML_PARAMETER_{name}": value for name, value in job.params.items()}
    variables |= {f"AZUREML_DATAREFERENCE_{name.partition('.')[2]}": path for name, path in paths.items()}
    return variables


def _with_paths(argument: str, paths: dict[str, str]) -> str:
    def path(found: re.Match[str]) -> str:
        name = f"{found[1]}.{found[2]}"
        if name not in paths:
            raise ScriptDataError(f"The argument {argument!r} names {found[0]}, which the step does not define.")
        return paths[name]

    return _REFERENCE.sub(path, argument)


@contextlib.contextmanager
def _script_data_errors(what: str, reason: str = INPUT_ERROR) -> Iterator[None]:
    """Raise any error inside as a ScriptDataError whose message begins with `what`."""
    try:
        yield
    except Exception as error:
        cause = " ".join(str(error).split()).rstrip(".") or "no reason reported"
        if not isinstance(error, OSError | ValueError | StorageError):  # their texts are clear by themselves
            cause = f"{type(error).__name__}: {cause}"
        raise ScriptDataError(f"{what}: {cause}.", reason) from error
