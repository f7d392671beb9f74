"""`longshore run`: load manifests, run a step or a pipeline, and report the verdict."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from longshore_api.base import Resource
from longshore_api.errors import InvalidDocuments, Problem
from longshore_api.pipeline import Pipeline, PipelineRun
from longshore_api.status import ParallelRunStepStatus, Registered
from longshore_api.tasks import ScriptStep, TransferStep
from longshore_cli.display import default_stream, make_display, summary
from longshore_cli.exit_codes import BAD_INPUT, FAILED, INTERRUPTED, SUCCEEDED, SUCCEEDED_WITH_FAILURES
from longshore_cli.flags import PIPELINE_FLAGS, reject_options
from longshore_cli.folders import Origin, RunFolder, earlier_folder, is_pipeline, new_folder
from longshore_cli.heartbeat import Heartbeat, combine_displays
from longshore_cli.interpreter import entry_script_fault, interpreter
from longshore_cli.packages import missing_in_environment, missing_packages
from longshore_cli.registry import register, registry_files, registry_of
from longshore_cli.source import digest_job_code, local_source
from longshore_cli.terminal import print_error, show
from longshore_coordinator.internal_errors import InternalErrors
from longshore_coordinator.verdict import INTERNAL_ERROR, STORAGE_ERROR
from longshore_planner.documents import load
from longshore_planner.named_data import named_data
from longshore_planner.registering import origin_of
from longshore_planner.resolve import Resolved, resolve
from longshore_planner.status import step_status
from longshore_protocol import snapshot as snapshots
from longshore_protocol.importing import importing
from longshore_protocol.job import Job
from longshore_protocol.package_set import PackageSet
from longshore_protocol.snapshot import Snapshot, WorkerCounts
from longshore_protocol.text import MESSAGE, printable
from longshore_storage.store import open_store

# A task is a pipeline of one step.
_PIPELINES: tuple[type[Resource], ...] = (PipelineRun, Pipeline, ScriptStep, TransferStep)


def run_command(options: argparse.Namespace) -> int:
    """Run `longshore run`, reporting bad input on stderr; return the exit code."""
    try:
        return _run(options)
    except InvalidDocuments as error:
        for problem in error.problems:
            print_error(problem.sentence)
        return BAD_INPUT


def _run(options: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    if options.retry_failed and is_pipeline(options.retry_failed):
        text = f"is {options.retry_failed!r}: this is the run of a pipeline; use --resume, which retries failed steps"
        raise InvalidDocuments([Problem("--retry-failed", "", text)])
    if options.retry_failed:
        options.resume = options.retry_failed  # a retry also resumes
    if options.accept_changed_code and not options.resume:
        text = "is only supported with --resume or --retry-failed"
        raise InvalidDocuments([Problem("--accept-changed-code", "", text)])
    if options.resume and is_pipeline(options.resume):
        with importing():
            from longshore_cli.pipeline_command import resume_pipeline  # late: a ParallelRunStep needs none of it

        return resume_pipeline(options)
    flag = "--retry-failed" if options.retry_failed else "--resume"
    folder = earlier_folder(options.resume, flag=flag) if options.resume else new_folder(options.run_dir, now=now)
    origin = _read_origin(options, folder)
    parameters = origin.parameters
    paths = options.paths or [Path(each) for each in origin.paths]  # as typed, because messages quote them
    documents = load([*paths, *registry_files(registry_of(paths))], parameters=parameters)
    if options.pipeline is not None or any(documents.of(kind) for kind in _PIPELINES):
        with importing():
            from longshore_cli.pipeline_command import run_pipeline
            from longshore_planner.pipelines.choose import choose

        chosen = choose(documents, name=options.pipeline, assigned=parameters)
        if chosen is not None:
            return run_pipeline(chosen, documents, options, now=now)
    reject_options(options, PIPELINE_FLAGS, rule="is only supported for pipelines, and this is a ParallelRunStep")
    resolved = resolve(
        documents,
        run_uri=folder.uri,
        run_id=folder.run_id,
        cores=os.cpu_count() or 1,
        sample=origin.sample,
    )
    resolved = replace(resolved, job=replace(resolved.job, catalogue=named_data(documents, in_pods=False)))
    _check_packages(resolved)
    with local_source(resolved) as runnable:
        return _run_step(runnable, options, folder=folder, origin=origin)


def _read_origin(options: argparse.Namespace, folder: RunFolder) -> Origin:
    """Return the origin of the run: the command line's, completed by that of the resumed run.

    Raises InvalidDocuments if neither names a document.
    """
    given = Origin(tuple(os.path.abspath(each) for each in options.paths), dict(options.parameters), options.sample)
    if given.paths:
        return given
    recorded = folder.read_origin() if options.resume else None
    if recorded is None:
        raise InvalidDocuments([Problem("PATH", "", "is missing; name a YAML file or a folder of YAML files")])
    return replace(
        recorded, parameters={**recorded.parameters, **given.parameters}, sample=given.sample or recorded.sample
    )


def _run_step(resolved: Resolved, options: argparse.Namespace, *, folder: RunFolder, origin: Origin) -> int:
    """Run a resolved step, or print its plan with --explain; return the exit code. Raises InvalidDocuments."""
    _check_entry_script(resolved)
    python = interpreter(resolved.python)
    if options.explain:
        names = "" if resolved.packages is None else f" with {', '.join(resolved.packages.requirements)}"
        return _explain(resolved, python=python + names, folder=folder if options.resume else None)
    if options.resume and (last := folder.read_success()) is not None:
        failed = last.mini_batches.failed
        if not (options.retry_failed and failed):
            hint = f"; use --retry-failed to retry its {failed} failed mini-batches" if failed else ""
            verb = "retry" if options.retry_failed else "resume"
            print_error(f"the run in {folder.uri} has already succeeded; there is nothing to {verb}{hint}")
            finished = replace(resolved.job, runtime=python)
            return _report_end(last, options, folder=folder, job=finished, registry=registry_of(origin.paths))
    job = replace(
        resolved.job,
        retry_failed=bool(options.retry_failed),
        accept_changed_code=options.accept_changed_code,
        code=digest_job_code(resolved.job, origin.paths),
    )
    with ExitStack() as stack:
        if resolved.packages is not None:
            prepared = _prepare(replace(resolved, job=job), resolved.packages, options, stack)
            if prepared is None:
                return FAILED
            python = prepared
        ready = replace(resolved, job=replace(job, runtime=python))
        return _execute(ready, options, folder=folder, origin=origin, python=python)


def _prepare(resolved: Resolved, packages: PackageSet, options: argparse.Namespace, stack: ExitStack) -> str | None:
    """Return the interpreter of an environment with packages, which stays until the end of `stack`.

    Return None after printing an error that may be different in a later run. Raises InvalidDocuments.
    """
    with importing():
        from longshore_cli.environments import prepared
        from longshore_cli.preparing import Preparation
        from longshore_packages import BuildError

    stream, step = default_stream(json=options.json), resolved.step
    try:
        with Preparation(stream, step.name, quiet=options.quiet, notes=packages.notes) as shown:
            environment = prepared(packages, resolved.python, report=shown.report, is_cancelled=shown.is_cancelled)
            python = stack.enter_context(environment)
    except BuildError as error:
        text = f"cannot be prepared: {error}"
        if not error.is_transient:
            raise InvalidDocuments([step.problem("spec.environment", text)]) from None
        print_error(step.problem("spec.environment", text).sentence)
        return None
    missing = missing_in_environment(resolved.job, python=python, source=resolved.job.source_uri)
    if missing:
        raise InvalidDocuments(step.problem("", sentence) for sentence in missing)
    return python


def _execute(resolved: Resolved, options: argparse.Namespace, *, folder: RunFolder, origin: Origin, python: str) -> int:
    with importing():
        from longshore_cli.local_run import ResumeRefused, run_locally  # late: --explain needs no server

    name = resolved.step.name
    stream = default_stream(json=options.json)
    try:
        heartbeat = Heartbeat(folder, output_uri=resolved.job.output.uri)
        if not options.resume:
            folder.begin(name, origin)
            heartbeat.begin()
        snapshot = asyncio.run(
            run_locally(
                resolved.job,
                python=python,
                resume=options.resume is not None,
                display=combine_displays(heartbeat, make_display(stream, name=name, quiet=options.quiet)),
            )
        )
    except ResumeRefused as error:
        flag = "--retry-failed" if options.retry_failed else "--resume"
        raise InvalidDocuments([Problem(flag, "", f"{folder.uri} cannot be resumed: {error}")]) from None
    except (OSError, ValueError) as error:
        message = f"the run folder {folder.uri} cannot be used: {error}"
        print_error(message)
        _write_status(_failed_snapshot(resolved.job, STORAGE_ERROR, message), folder, reports_errors=False)
        return FAILED
    except Exception as error:  # noqa: BLE001  (a bug must also end in a status)
        errors = InternalErrors(open_store(folder.uri))
        snapshot = _failed_snapshot(resolved.job, INTERNAL_ERROR, errors.note(error))
        errors.write()
    return _report_end(snapshot, options, folder=folder, job=resolved.job, registry=registry_of(origin.paths))


def _report_end(snapshot: Snapshot, options: argparse.Namespace, *, folder: RunFolder, job: Job, registry: str) -> int:
    """Register what a finished run requests, write and print its status; return the exit code."""
    registered = _register(snapshot, job, registry)
    status = _write_status(snapshot, folder, registered=registered or ())
    try:
        if options.json:
            print(status.to_json(), flush=True)
        else:
            warns = snapshot.reason == snapshots.SUCCEEDED_WITH_FAILURES
            show(summary(status, name=job.name, run_dir=folder.uri), warns=warns)
    except BrokenPipeError:  # the reader of stdout has exited, which does not change the exit code
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if registered is None:
        return FAILED
    if snapshot.state != snapshots.SUCCEEDED:
        return INTERRUPTED if snapshot.state == snapshots.INTERRUPTED else FAILED
    if snapshot.reason == snapshots.SUCCEEDED_WITH_FAILURES and not job.thresholds.chosen:
        return SUCCEEDED_WITH_FAILURES
    return SUCCEEDED


def _register(snapshot: Snapshot, job: Job, registry: str) -> list[Registered] | None:
    """Register what a succeeded run requests; print an error and return None if that fails."""
    if snapshot.state != snapshots.SUCCEEDED:
        return []
    raw = asdict(job)
    origin = origin_of(raw, kind="ParallelRunStep", code=snapshot.code, environment=job.runtime)
    try:
        return register(snapshot.registered, raw, origin, attempt=snapshot.epoch, registry=registry)
    except (OSError, ValueError) as error:
        text = f"the run succeeded, but its Models and Datasets cannot be registered in {registry}: {error}"
        print_error(f"{text}; use --resume {job.run_uri} to register them")
        return None


def _write_status(
    snapshot: Snapshot, folder: RunFolder, *, registered: Sequence[Registered] = (), reports_errors: bool = True
) -> ParallelRunStepStatus:
    """Write the status of a finished run to its folder; return the status.

    With `reports_errors`, print an error of the write to stderr; otherwise the caller has printed it already.
    """
    ended = datetime.now(UTC) if snapshot.finished is None else datetime.fromtimestamp(snapshot.finished, UTC)
    status = step_status(snapshot, previous=None, now=ended)
    status = status.model_copy(update={"registered": list(registered) or None})
    if snapshot.reason != "Superseded":  # in that case, the folder belongs to another command
        try:
            folder.write_status(status.to_json())
        except OSError as error:
            if reports_errors:
                print_error(f"cannot write the status to {folder.uri}: {error}")
    return status


def _failed_snapshot(job: Job, reason: str, message: str) -> Snapshot:
    """Return the snapshot of a run that failed without a snapshot of its coordinator."""
    return Snapshot(
        state=snapshots.FAILED,
        run_id=job.run_id,
        run_uri=job.run_uri,
        output_uri=job.output.uri,
        epoch=0,
        reason=reason,
        message=printable(message, MESSAGE),
        workers=WorkerCounts(wanted=job.workers),
    )


def _explain(resolved: Resolved, *, python: str, folder: RunFolder | None) -> int:
    from longshore_cli.explain import committed_in, explain
    from longshore_coordinator.enumerate import InputError

    committed = None if folder is None else committed_in(folder.uri)
    try:
        show(explain(resolved.job, python=python, committed=committed))
    except InputError as error:
        print_error(str(error))
        return FAILED
    return SUCCEEDED


def _check_packages(resolved: Resolved) -> None:
    """Raise InvalidDocuments if optional packages that the step needs are not installed."""
    job = resolved.job
    missing = missing_packages(job, python=resolved.python, source=job.source_uri, packages=resolved.packages)
    if missing:
        raise InvalidDocuments(resolved.step.problem("", sentence) for sentence in missing)


def _check_entry_script(resolved: Resolved) -> None:
    """Check the entry script before anything is started. Raises InvalidDocuments."""
    job = resolved.job
    fault = entry_script_fault(job.source_uri, job.entry_script)
    if fault is not None:
        raise InvalidDocuments([resolved.step.wrong("spec.entryScript", job.entry_script, fault)])
