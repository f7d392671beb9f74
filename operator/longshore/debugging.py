"""A step's script in this process, so that breakpoints and pdb work."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from tempfile import TemporaryDirectory
from typing import Any

import longshore_shims
from longshore.resource import InvalidArgument, contained
from longshore.steps import ParallelRunStep
from longshore.submission import explained
from longshore.values import Parameter
from longshore.workspace import Workspace
from longshore_api import InvalidDocuments, parse
from longshore_planner import catalogue
from longshore_planner.parameters import RawDocument, fill
from longshore_planner.resolve import Resolved, resolve
from longshore_shims.finder import PATH
from longshore_storage.store import local_path

_WORKER = "debug"


def debug(
    step: ParallelRunStep,
    mini_batches: int = 1,
    *,
    workspace: Workspace | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> list[Any]:
    """Run a step's init() and run() in this process; return what run() returned for each mini-batch.

    Errors of the script are raised as they are, so `breakpoint()`, `%debug` and a debugger stop where they happen.
    Nothing is written to the step's output, and no timeout applies.

    Args:
        step: The step; its inputs must be files of this machine, and its script must not be asynchronous.
        mini_batches: Number of mini-batches to run, the first ones.
        workspace: Where objects are found that the step refers to by name; that of the current folder if not given.
        parameters: Values of the step's Parameters; their defaults if not given.

    Raises:
        InvalidArgument: The step is wrong, or cannot run in this process.
    """
    kept = (workspace or Workspace.local()).resources()
    with TemporaryDirectory(prefix="longshore-debug-") as folder:
        resolved = _resolve(step, kept, folder, parameters or {})
        job = resolved.job
        remote = [path for each in job.inputs for path in each.paths if local_path(path) is None]
        if remote or local_path(job.source_uri) is None:
            path = next(iter(remote), job.source_uri)
            raise InvalidArgument(step.subject, [f"{path} is not on this machine, which debug() needs: download it"])
        return _run(job, folder, mini_batches, step)


def _resolve(step: ParallelRunStep, kept: Any, folder: str, parameters: Mapping[str, Any]) -> Resolved:
    defaults = {each.name: each.default for each in contained(step, Parameter) if each.default is not None}
    values = {name: str(getattr(value, "name", value)) for name, value in {**defaults, **parameters}.items()}
    resources = [step, *step.documents()[1:], *kept]
    try:
        raw = [RawDocument(step.subject, step.folder, step.to_dict())]
        own = parse(fill(raw, values)[0].content, where=step.subject)
        found = {(each.kind, each.reference): each for each in reversed(resources[1:])}
        others = [catalogue.Document(each.subject, each.folder, parse(each.to_dict())) for each in found.values()]
        documents = catalogue.gather([catalogue.Document(step.subject, step.folder, own), *others])
        return resolve(documents, run_uri=os.path.join(folder, "run"), run_id="debug", cores=1, sample=None)
    except InvalidDocuments as error:
        raise explained(error, resources) from None


def _run(job: Any, folder: str, mini_batches: int, step: ParallelRunStep) -> list[Any]:
    from longshore_agent.downloads import download_inputs, download_models
    from longshore_agent.paths import paths_of
    from longshore_agent.staging import host_spec
    from longshore_coordinator.enumerate import cut
    from longshore_host import entry

    paths = paths_of(job, worker=_WORKER, shared=folder)
    download_models(job.models, paths.models)
    work = os.path.join(folder, "work")
    os.makedirs(paths.output, exist_ok=True)
    os.makedirs(work)
    spec = host_spec(job, download_inputs(job, paths.data), worker=_WORKER, work_dir=work, paths=paths)
    with _as_process(spec, work):
        entry.link_models(spec.models, os.environ, folder=work)
        path = os.path.join(spec.source, spec.entry_script)
        script = entry.EntryScript(entry.import_script(path), path, spec.arguments)
        if script.shape is not entry.Shape.IN_ORDER:
            raise InvalidArgument(step.subject, ["entry_script is asynchronous, which debug() does not support"])
        if script.init is not None:
            script.init()
        results = []
        for number, each in enumerate(islice(cut(job), mini_batches)):
            given = spec.inputs[each.input]
            items = _items(json.loads(each.payload), given)
            context = entry.MiniBatchContext(
                mini_batch=number, attempt=1, given=given, items=items, deadline=float("inf")
            )
            results.append(script.run(items, context) if script.takes_context else script.run(items))
        if script.shutdown is not None:
            script.shutdown()
        return results


def _items(piece: Any, given: Any) -> Any:
    if given.tabular is None:
        return piece["files"] if isinstance(piece, dict) else piece
    from longshore_host.tabular import load

    return load(piece, given.tabular)


@contextmanager
def _as_process(spec: Any, work: str) -> Iterator[None]:
    """Give this process what a step's process has: arguments, variables, import path and an empty current folder."""
    path = os.path.join(spec.source, spec.entry_script)
    before = os.getcwd(), sys.argv, sys.path, dict(os.environ)
    finders, modules = list(sys.meta_path), set(sys.modules)
    longshore_shims.install()
    sys.argv = [path, *spec.arguments]
    sys.path = [*dict.fromkeys([os.path.dirname(path), spec.source]), *sys.path]
    os.environ.update(spec.variables)
    os.chdir(work)
    try:
        yield
    finally:
        folder, sys.argv, sys.path, environment = before
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.meta_path[:] = finders
        for name in set(sys.modules) - modules:  # so that the next call imports changed code, and this process no shims
            file = getattr(sys.modules[name], "__file__", None) or ""
            if file.startswith((f"{spec.source}/", f"{PATH}/")):
                del sys.modules[name]
