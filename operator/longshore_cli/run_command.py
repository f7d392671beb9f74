"""`longshore run`: from manifests to a verdict and an exit code."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from longshore_api.base import Resource
from longshore_api.errors import InvalidDocuments, Problem
from longshore_api.pipeline import Pipeline, PipelineRun
from longshore_api.status import ParallelRunStepStatus
from longshore_api.tasks import ScriptStep, TransferStep
from longshore_cli.display import default_stream, display, summary
from longshore_cli.exit_codes import BAD_INPUT, FAILED, INTERRUPTED, SUCCEEDED, SUCCEEDED_WITH_FAILURES
from longshore_cli.flags import PIPELINE_FLAGS, refuse
from longshore_cli.folders import Origin, RunFolder, earlier_folder, is_pipeline, new_folder
from longshore_cli.heartbeat import Heartbeat, together
from longshore_cli.interpreter import entry_script_fault, interpreter
from longshore_cli.packages import missing_packages
from longshore_cli.source import source_at_hand, used_code
from longshore_cli.terminal import complain, show
from longshore_coordinator.internal_errors import InternalErrors
from longshore_coordinator.verdict import INTERNAL_ERROR, STORAGE_ERROR
from longshore_planner.documents import load
from longshore_planner.resolve import Resolved, resolve
from longshore_planner.status import step_status
from longshore_protocol import snapshot as snapshots
from longshore_protocol.importing import importing
from longshore_protocol.job import Job
from longshore_protocol.snapshot import Snapshot, WorkerCounts
from longshore_protocol.text import MESSAGE, printable
from longshore_storage.store import open_store

# A task is a pipeline of one step.
_PIPELINES: tuple[type[Resource], ...] = (PipelineRun, Pipeline, ScriptStep, TransferStep)


def run_command(options: argparse.Namespace) -> int:
    """Carry out `longshore run`; return its exit code. What is wrong with the input is told on stderr."""
    try:
        return _run(options)
    except InvalidDocuments as error:
        for problem in error.problems:
            complain(problem.sentence)
        return BAD_INPUT


def _run(options: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    if options.retry_failed and is_pipeline(options.retry_failed):
        text = f"is {options.retry_failed!r}: it takes the run of a ParallelRunStep, and this is one of a pipeline"
        raise InvalidDocuments([Problem("--retry-failed", "", text)])
    if options.retry_failed:
        options.resume = options.retry_failed  # which it does besides
    if options.accept_changed_code and not options.resume:
        raise InvalidDocuments([Problem("--accept-changed-code", "", "is for --resume and --retry-failed")])
    if options.resume and is_pipeline(options.resume):
        with importing():
            from longshore_cli.pipeline_command import resume_pipeline  # late: a ParallelRunStep needs none of it

        return resume_pipeline(options)
    flag = "--retry-failed" if options.retry_failed else "--resume"
    folder = earlier_folder(options.resume, flag=flag) if options.resume else new_folder(options.run_dir, now=now)
    origin = _origin(options, folder)
    parameters = origin.parameters
    paths = options.paths or [Path(each) for each in origin.paths]  # as typed: messages name them
    documents = load(paths, parameters=parameters)
    if options.pipeline is not None or any(documents.of(kind) for kind in _PIPELINES):
        with importing():
            from longshore_cli.pipeline_command import run_pipeline
            from longshore_planner.pipelines.choose import choose

        chosen = choose(documents, name=options.pipeline, assigned=parameters)
        if chosen is not None:
            return run_pipeline(chosen, documents, options, now=now)
    refuse(options, PIPELINE_FLAGS, rule="is for pipelines, and the documents have a ParallelRunStep alone")
    resolved = resolve(
        documents,
        run_uri=folder.uri,
        run_id=folder.run_id,
        cores=os.cpu_count() or 1,
        sample=origin.sample,
    )
    _check_packages(resolved)
    with source_at_hand(resolved) as at_hand:
        return _carry_out(at_hand, options, folder=folder, origin=origin)


def _origin(options: argparse.Namespace, folder: RunFolder) -> Origin:
    """Return what the run is started from: the command line, or what the run to resume recorded."""
    given = Origin(tuple(os.path.abspath(each) for each in options.paths), dict(options.parameters), options.sample)
    if given.paths:
        return given
    recorded = folder.origin() if options.resume else None
    if recorded is None:
        raise InvalidDocuments([Problem("PATH", "", "is missing: name a YAML file, or a folder of them")])
    return replace(
        recorded, parameters={**recorded.parameters, **given.parameters}, sample=given.sample or recorded.sample
    )


def _carry_out(resolved: Resolved, options: argparse.Namespace, *, folder: RunFolder, origin: Origin) -> int:
    _check_entry_script(resolved)
    python = interpreter(resolved.python)
    if options.explain:
        return _explain(resolved, python=python, folder=folder if options.resume else None)
    if options.resume and (last := folder.success()) is not None:
        failed = last.mini_batches.failed
        if not (options.retry_failed and failed):
            hint = f"; retry its {failed} failed mini-batches with --retry-failed" if failed else ""
            what = "retry" if options.retry_failed else "resume"
            complain(f"the run in {folder.uri} has succeeded already: there is nothing to {what}{hint}")
            return _report_end(last, options, folder=folder, job=resolved.job)
    job = replace(
        resolved.job,
        retry_failed=bool(options.retry_failed),
        accept_changed_code=options.accept_changed_code,
        code=used_code(resolved.job, origin.paths),
        runtime=python,
    )
    return _execute(replace(resolved, job=job), options, folder=folder, origin=origin, python=python)


def _execute(resolved: Resolved, options: argparse.Namespace, *, folder: RunFolder, origin: Origin, python: str) -> int:
    with importing():
        from longshore_cli.local_run import ResumeRefused, run_locally  # late: --explain needs no server

    name = resolved.step.name
    stream = default_stream(json=options.json)
    try:
        heartbeat = Heartbeat(folder, output_uri=resolved.job.output.uri)
        if not options.resume:
            folder.remember(name, origin)
            heartbeat.begin()
        snapshot = asyncio.run(
            run_locally(
                resolved.job,
                python=python,
                resume=options.resume is not None,
                show=together(heartbeat, display(stream, name=name, quiet=options.quiet)),
            )
        )
    except ResumeRefused as error:
        flag = "--retry-failed" if options.retry_failed else "--resume"
        raise InvalidDocuments([Problem(flag, "", f"{folder.uri} cannot be resumed: {error}")]) from None
    except (OSError, ValueError) as error:
        message = f"the run folder {folder.uri} cannot be used: {error}"
        complain(message)
        _keep(_unable(resolved.job, STORAGE_ERROR, message), folder, complains=False)
        return FAILED
    except Exception as error:  # noqa: BLE001  (a bug, too, leaves a status)
        errors = InternalErrors(open_store(folder.uri))
        snapshot = _unable(resolved.job, INTERNAL_ERROR, errors.note(error))
        errors.write()
    return _report_end(snapshot, options, folder=folder, job=resolved.job)


def _report_end(snapshot: Snapshot, options: argparse.Namespace, *, folder: RunFolder, job: Job) -> int:
    """Keep and print the status of an ended run; return the exit code."""
    status = _keep(snapshot, folder)
    try:
        if options.json:
            print(status.to_json(), flush=True)
        else:
            warns = snapshot.reason == snapshots.SUCCEEDED_WITH_FAILURES
            show(summary(status, name=job.name, run_dir=folder.uri), warns=warns)
    except BrokenPipeError:  # nobody reads it any more; how the run ended is the same
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if snapshot.state != snapshots.SUCCEEDED:
        return INTERRUPTED if snapshot.state == snapshots.INTERRUPTED else FAILED
    if snapshot.reason == snapshots.SUCCEEDED_WITH_FAILURES and not job.thresholds.chosen:
        return SUCCEEDED_WITH_FAILURES
    return SUCCEEDED


def _keep(snapshot: Snapshot, folder: RunFolder, *, complains: bool = True) -> ParallelRunStepStatus:
    """Write the status of an ended run into its folder, and return it; if that fails, print so where it is news."""
    ended = datetime.now(UTC) if snapshot.finished is None else datetime.fromtimestamp(snapshot.finished, UTC)
    status = step_status(snapshot, previous=None, now=ended)
    if snapshot.reason != "Superseded":  # then the folder is another command's by now
        try:
            folder.keep(status.to_json())
        except OSError as error:
            if complains:
                complain(f"the status is not kept in {folder.uri}: {error}")
    return status


def _unable(job: Job, reason: str, message: str) -> Snapshot:
    """Return the snapshot of a run that ended without a coordinator's."""
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
        complain(str(error))
        return FAILED
    return SUCCEEDED


def _check_packages(resolved: Resolved) -> None:
    """Raise InvalidDocuments where optional packages are missing that the step needs."""
    found = missing_packages(resolved.job, python=resolved.python, source=resolved.job.source_uri)
    if found:
        raise InvalidDocuments(resolved.step.problem("", sentence) for sentence in found)


def _check_entry_script(resolved: Resolved) -> None:
    """See to the entry script before anything is started. Raises InvalidDocuments."""
    job = resolved.job
    fault = entry_script_fault(job.source_uri, job.entry_script)
    if fault is not None:
        raise InvalidDocuments([resolved.step.wrong("spec.entryScript", job.entry_script, fault)])
