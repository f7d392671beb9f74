"""`longshore run` of a pipeline: start a run from documents or resume one from its folder."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from longshore_api.errors import InvalidDocuments, Problem
from longshore_api.pipeline_status import PipelineRunStatus
from longshore_cli.display import default_stream
from longshore_cli.exit_codes import FAILED, INTERRUPTED, SUCCEEDED, SUCCEEDED_WITH_FAILURES
from longshore_cli.flags import PIPELINE_FLAGS, reject_options
from longshore_cli.folders import RunFolder, new_folder
from longshore_cli.interpreter import entry_script_fault, interpreter
from longshore_cli.pipeline_display import ChangeLines, explain_pipeline, summary
from longshore_cli.pipeline_folder import PipelineFolder
from longshore_cli.pipeline_packages import require_packages
from longshore_cli.pipeline_sources import copy_code, digest_code, digest_contents
from longshore_cli.registry import registry_of
from longshore_cli.terminal import print_error, show
from longshore_planner.catalogue import Documents
from longshore_planner.pipelines import records as states
from longshore_planner.pipelines.choose import Chosen, PipelineDocument
from longshore_planner.pipelines.decide import predict
from longshore_planner.pipelines.freeze import freeze
from longshore_planner.pipelines.frozen import NONE, PARALLEL_RUN, SCRIPT, FrozenPipeline, FrozenStep, Options
from longshore_planner.pipelines.records import WITH_FAILURES, Record, ended, outputs_of, resumed
from longshore_planner.pipelines.status import records_of
from longshore_protocol import clock
from longshore_protocol.job import Thresholds
from longshore_storage.store import local_path


def run_pipeline(chosen: Chosen, documents: Documents, options: argparse.Namespace, *, now: datetime) -> int:
    """Freeze a pipeline and run it in a new folder; return the exit code. Raises InvalidDocuments."""
    reject_options(options, ["sample"], rule="is only supported for a single ParallelRunStep, and this is a pipeline")
    if options.resume:
        text = f"is {options.resume!r}: the folder contains no run of a pipeline"
        raise InvalidDocuments([Problem("--resume", "", text)])
    new = new_folder(options.run_dir, now=now)
    if local_path(new.uri) is None:
        text = f"is {new.uri!r}: a pipeline needs a folder on this machine, not a URL"
        raise InvalidDocuments([Problem("--run-dir", "", text)])
    frozen = freeze(
        chosen.pipeline,
        chosen.given,
        documents,
        run_id=new.run_id,
        run_uri=new.uri,
        cores=os.cpu_count() or 1,
        options=_merge_options(chosen.options, options),
    )
    frozen = replace(frozen, registry=registry_of(options.paths))
    require_packages(frozen.steps)
    folder = PipelineFolder(new.uri)
    if options.explain:
        frozen = _with_steps(frozen, digest_code(frozen.steps, among=frozen.steps))
        return _explain(_with_contents(frozen), folder)
    try:
        with folder.lock():
            with _remove_if_invalid(folder):
                copies = copy_code(frozen.steps, folder.sources, among=frozen.steps)
                frozen = _with_contents(_with_steps(frozen, copies))
                _check_scripts(frozen, chosen.pipeline)
            folder.write_frozen(frozen)
            return _execute(frozen, folder, options, records={}, previous=None)
    except OSError as error:
        return _report_unusable(folder, error)


def resume_pipeline(options: argparse.Namespace) -> int:
    """Resume the run of a pipeline in a folder; return the exit code. Raises InvalidDocuments.

    The run stays as it was frozen, except for the code of failed steps, which is copied again.
    """
    fixed = ("parameters", "sample", *PIPELINE_FLAGS)
    reject_options(options, fixed, rule="cannot be changed when a pipeline is resumed: start a new run instead")
    folder = PipelineFolder(local_path(options.resume) or options.resume)
    try:
        with contextlib.nullcontext() if options.explain else folder.lock():
            return _resume_locked(folder, options)
    except OSError as error:
        return _report_unusable(folder, error)


def _resume_locked(folder: PipelineFolder, options: argparse.Namespace) -> int:
    """Resume the run in a folder whose lock is held; return the exit code. Raises InvalidDocuments, OSError."""
    frozen, status = folder.read()
    records = {} if status is None else records_of(status)
    succeeded = {name for name, record in records.items() if record.state == states.SUCCEEDED}
    if status and all(each.name in succeeded for each in frozen.steps):
        print_error(f"the run in {folder.path} has already succeeded")
        return _report_end(status, options, frozen)
    require_packages(each for each in frozen.steps if each.name not in succeeded)
    failed = [each for each in frozen.steps if each.name in records and records[each.name].state == states.FAILED]
    again = (
        digest_code(failed, among=frozen.steps)
        if options.explain
        else copy_code(failed, folder.sources, among=frozen.steps)
    )
    frozen = _with_steps(frozen, again)
    frozen = replace(frozen, options=replace(frozen.options, accept_changed_code=options.accept_changed_code))
    records = resumed(_add_unrecorded_outcomes(frozen, records))
    frozen = _with_current_contents(frozen, records)
    if options.explain:
        return _explain(frozen, folder, records=records)
    folder.write_frozen(frozen)
    return _execute(frozen, folder, options, records=records, previous=status)


def _merge_options(given: Options, options: argparse.Namespace) -> Options:
    """Return the options of the documents with those of the command line added."""
    return replace(
        given,
        regenerate_outputs=given.regenerate_outputs or options.regenerate_outputs,
        content_fingerprint=options.content_fingerprint or given.content_fingerprint,
        continue_on_step_failure=given.continue_on_step_failure or options.continue_on_step_failure,
    )


def _with_steps(frozen: FrozenPipeline, steps: dict[str, FrozenStep]) -> FrozenPipeline:
    """Return the run with these steps in place of those of the same name."""
    return replace(frozen, steps=tuple(steps.get(each.name, each) for each in frozen.steps))


def _with_contents(frozen: FrozenPipeline) -> FrozenPipeline:
    """Return the run with the fingerprints of its inputs' current contents."""
    by = frozen.options.content_fingerprint
    return frozen if by == NONE else _with_steps(frozen, digest_contents(frozen.steps, by=by))


def _with_current_contents(frozen: FrozenPipeline, records: Mapping[str, Record]) -> FrozenPipeline:
    """Return the run with the fingerprints of current input contents for all unfinished steps.

    If the inputs of a started parallelRun step have changed, some of its rows may come from the earlier contents; such
    a step gets a random fingerprint, so that no later run reuses it.
    """
    by = frozen.options.content_fingerprint
    if by == NONE:
        return frozen
    unfinished = [
        each for each in frozen.steps if each.name not in records or records[each.name].state != states.SUCCEEDED
    ]
    steps = digest_contents(unfinished, by=by)
    for name, step in steps.items():
        has_begun = step.kind == PARALLEL_RUN and RunFolder(step.job["run_uri"], step.job["run_id"]).has_begun()
        if has_begun and step.parts["contents"] != frozen.step(name).parts.get("contents"):
            unknown = {"digest": secrets.token_hex(16), "unknown": "they changed before the step was resumed"}
            steps[name] = step.with_contents(dict.fromkeys(step.parts["contents"], unknown), by=by)
    return _with_steps(frozen, steps)


@contextlib.contextmanager
def _remove_if_invalid(folder: PipelineFolder) -> Iterator[None]:
    """Remove the run folder if the body raises InvalidDocuments."""
    try:
        yield
    except InvalidDocuments:
        shutil.rmtree(folder.path, ignore_errors=True)  # safe: the folder was new or empty
        raise


def _check_scripts(frozen: FrozenPipeline, pipeline: PipelineDocument) -> None:
    """Check scripts and interpreters before anything is started. Raises InvalidDocuments."""
    problems = []
    for step in frozen.steps:
        fault, field, name = None, "", step.parts.get("entry", "")
        if step.kind == PARALLEL_RUN:
            field, fault = "parallelRun.entryScript", entry_script_fault(step.job["source_uri"], name)
        elif step.kind == SCRIPT and name not in step.parts["code"]:
            field, fault = "script.scriptName", f"there is no such file in the source folder {step.source}"
        if fault is not None:
            fault = fault.replace(step.job["source_uri"], str(step.source))
            path = pipeline.path(step.name, field)
            problems.append(Problem(pipeline.where, path, f"is {name!r}: {fault}"))
        try:
            interpreter(step.python)
        except InvalidDocuments as error:
            problems += [each for each in error.problems if each not in problems]
    if problems:
        raise InvalidDocuments(problems)


def _add_unrecorded_outcomes(frozen: FrozenPipeline, records: dict[str, Record]) -> dict[str, Record]:
    """Return the records, with the outcomes of steps that finished after the last status of a killed command."""
    from longshore_cli.pipeline_steps import read_earlier_outcome

    updated = dict(records)
    for step in frozen.steps:
        record = records.get(step.name)
        if record is None or record.state != states.RUNNING:
            continue
        outcome = read_earlier_outcome(step, outputs_of(updated), registry=frozen.registry)
        if outcome is not None:
            updated[step.name] = ended(record, outcome, outputs=step.outputs, now=clock.now())
    return updated


def _execute(
    frozen: FrozenPipeline,
    folder: PipelineFolder,
    options: argparse.Namespace,
    *,
    records: dict[str, Record],
    previous: PipelineRunStatus | None,
) -> int:
    from longshore_cli.pipeline_run import LocalPipeline  # imported late: --explain starts nothing

    lines = ChangeLines(default_stream(json=options.json))
    run = LocalPipeline(
        frozen,
        folder,
        records=records,
        history=folder.history(),
        show=(lambda _: None) if options.quiet else lines,
        previous=previous,
    )
    return _report_end(asyncio.run(run.run()), options, frozen)


def _report_unusable(folder: PipelineFolder, error: OSError) -> int:
    print_error(f"the run folder {folder.path} cannot be used: {error}")
    return FAILED


def _report_end(status: PipelineRunStatus, options: argparse.Namespace, frozen: FrozenPipeline) -> int:
    succeeded = status.condition("Succeeded")
    try:
        if options.json:
            print(status.to_json(), flush=True)
        else:
            show(summary(status), warns=succeeded is not None and succeeded.reason in WITH_FAILURES)
    except BrokenPipeError:  # the reader of stdout has exited, which does not change the exit code
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if succeeded is None or succeeded.status != "True":
        return INTERRUPTED if succeeded is not None and succeeded.status == "Unknown" else FAILED
    failing = [each.name for each in status.steps if each.reason in WITH_FAILURES]
    chosen = all(Thresholds(**frozen.step(name).job["thresholds"]).chosen for name in failing)
    return SUCCEEDED if chosen else SUCCEEDED_WITH_FAILURES


def _explain(frozen: FrozenPipeline, folder: PipelineFolder, *, records: dict[str, Record] | None = None) -> int:
    history = folder.history()
    seen = predict(frozen, records or {}, history=history, options=frozen.options, now=clock.now())
    show(explain_pipeline(frozen.name, [seen.records[each.name] for each in frozen.steps]))
    return SUCCEEDED
