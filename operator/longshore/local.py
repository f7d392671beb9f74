"""Workspace of a folder on this machine.

.longshore/             marked, so that no run takes what is in it for input or code
  runs/<id>/            run folders, as `longshore run` makes them
  submitted/<id>.*      documents and record of each submitted run, and the output of its commands; beside them
                        the Models and Datasets that runs registered
  resources/            a document for each object that the workspace keeps
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

from longshore.documents import Documents, from_document
from longshore.pipelines import Pipeline, PipelineRun
from longshore.resource import Resource, yaml_of
from longshore.runs import Run
from longshore.steps import Step
from longshore.submission import Submission, explained, gather, is_alone
from longshore.workspace import ContentFingerprint, Workspace
from longshore_api import InvalidDocuments, parse
from longshore_cli.folders import new_run_id
from longshore_cli.registry import FOLDER as REGISTERED
from longshore_cli.registry import registry_files
from longshore_planner import catalogue
from longshore_planner.documents import FOLDER_ANNOTATION, read_yaml
from longshore_runs.local import LocalRun, SubmittedFiles
from longshore_runs.local import Submission as SubmittedRun
from longshore_runs.processes import start
from longshore_storage.store import open_store

_FOLDER = ".longshore"


class LocalWorkspace(Workspace):
    """The workspace of a folder; see `Workspace.local`."""

    def __init__(self, folder: str | PathLike[str]) -> None:
        self._root = os.path.join(os.path.abspath(os.fspath(folder)), _FOLDER)

    def submit(
        self,
        work: Step | Pipeline | PipelineRun | Documents,
        *,
        parameters: Mapping[str, Any] | None = None,
        regenerate_outputs: bool = False,
        continue_on_step_failure: bool = False,
        content_fingerprint: ContentFingerprint | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Run:
        run_id = new_run_id(datetime.now(UTC))
        options = {
            "regenerate_outputs": regenerate_outputs,
            "continue_on_step_failure": continue_on_step_failure,
            "content_fingerprint": content_fingerprint,
        }
        submission = gather(work, run_id=run_id, kept=self._applied(), parameters=parameters, options=options)
        self._check(submission, run_id)
        return self._start(submission, run_id, tags or {})

    def _check(self, submission: Submission, run_id: str) -> None:
        """Raise InvalidArgument for everything that can be found without a look at code and data."""
        from longshore_planner.pipelines.choose import choose
        from longshore_planner.pipelines.freeze import freeze
        from longshore_planner.resolve import resolve

        path, cores = self._run_folder(run_id), os.cpu_count() or 1
        try:
            documents = catalogue.gather([_document(each) for each in (*submission.resources, *self._registered())])
            chosen = None if is_alone(submission.main) else choose(documents, name=submission.main.name, assigned={})
            if chosen is None:
                resolve(documents, run_uri=path, run_id=run_id, cores=cores, sample=None)
            else:
                freeze(
                    *(chosen.pipeline, chosen.given, documents),
                    run_id=run_id, run_uri=path, cores=cores, options=chosen.options,
                )  # fmt: skip
        except InvalidDocuments as error:
            raise explained(error, submission.resources) from None

    def _start(self, submission: Submission, run_id: str, tags: Mapping[str, str]) -> Run:
        files, path = self._files(run_id), self._run_folder(run_id)
        self._make()
        Path(files.documents).write_text(yaml_of(map(_at_its_folder, submission.resources)), encoding="utf-8")
        named = [] if is_alone(submission.main) else ["--pipeline", submission.main.name]
        arguments = ["run", "--quiet", "--run-dir", path, *named, files.documents]
        process = start(arguments, log=files.log, folder=os.path.dirname(self._root))
        now = datetime.now(UTC).timestamp()
        kind = submission.main.kind
        files.write(SubmittedRun(run_id, submission.name, kind, now, process, tags=dict(tags)))
        return Run(LocalRun(path, files))

    def run(self, run_id: str) -> Run:
        found = self._found(run_id)
        if found is None:
            raise KeyError(f"there is no run {run_id!r} in {self._root}")
        return Run(found)

    def runs(self, *, name: str | None = None, tags: Mapping[str, str] | None = None, limit: int = 100) -> list[Run]:
        names: set[str] = set()
        for folder in ("runs", "submitted"):
            with suppress(FileNotFoundError):
                names |= {each.removesuffix(".json") for each in os.listdir(os.path.join(self._root, folder))}
        found: list[Run] = []
        for run_id in sorted(names, reverse=True):
            source = self._found(run_id)
            if source is None or not (tags or {}).items() <= source.tags().items():
                continue
            if name is None or source.state().name == name:
                found.append(Run(source))
            if len(found) == limit:
                break
        return found

    def _found(self, run_id: str) -> LocalRun | None:
        files, path = self._files(run_id), self._run_folder(run_id)
        submitted = files if files.read() is not None else None
        is_there = submitted is not None or (os.path.basename(run_id) == run_id and os.path.isdir(path))
        return LocalRun(path, submitted) if is_there else None

    def apply(self, *resources: Resource) -> None:
        self._make()
        for each in (other for resource in resources for other in resource.documents()):
            self._file(each.kind, each.reference).write_text(yaml_of([_at_its_folder(each)]), encoding="utf-8")

    def resources(self, kind: str | None = None) -> Sequence[Resource]:
        return [each for each in (*self._applied(), *self._registered()) if kind in (None, each.kind)]

    def _applied(self) -> list[Resource]:
        found = []
        for file in sorted(Path(self._root, "resources").glob("*.yaml")):
            (document,) = read_yaml(file)
            annotations = document["metadata"]["annotations"]
            found.append(from_document(_without_folder(document), folder=annotations[FOLDER_ANNOTATION]))
        return found

    def _registered(self) -> list[Resource]:
        """Return the Models and Datasets that runs registered; the command reads them beside the documents."""
        folder = os.path.join(self._root, "submitted", REGISTERED)
        return [
            from_document(document, folder=folder) for file in registry_files(folder) for document in read_yaml(file)
        ]

    def delete(self, kind: str, name: str) -> None:
        registered = registry_files(os.path.join(self._root, "submitted", REGISTERED))
        for file in (self._file(kind, name), *registered):
            if file.is_file() and any(_is(document, kind, name) for document in read_yaml(file)):
                file.unlink()
                return
        raise KeyError(f"the workspace has no {kind} {name!r}")

    def _file(self, kind: str, name: str) -> Path:
        return Path(self._root, "resources", f"{kind}.{name}.yaml")

    def _files(self, run_id: str) -> SubmittedFiles:
        return SubmittedFiles(os.path.join(self._root, "submitted"), run_id)

    def _run_folder(self, run_id: str) -> str:
        return os.path.join(self._root, "runs", run_id)

    def _make(self) -> None:
        for name in ("runs", "submitted", "resources"):
            os.makedirs(os.path.join(self._root, name), exist_ok=True)
        open_store(self._root).mark()
        open_store(self._root).create(".gitignore", b"*\n")

    def __repr__(self) -> str:
        return f"Workspace.local({os.path.dirname(self._root)!r})"


def _is(document: Any, kind: str, name: str) -> bool:
    return (document["kind"], document["metadata"]["name"]) == (kind, name)


def _document(resource: Resource) -> catalogue.Document[Any]:
    return catalogue.Document(resource.subject, resource.folder, parse(resource.to_dict()))


def _at_its_folder(resource: Resource) -> dict[str, Any]:
    """Return a document with the folder that its relative paths start from."""
    document = resource.to_dict()
    metadata = document["metadata"]
    annotations = {**metadata.get("annotations", {}), FOLDER_ANNOTATION: resource.folder}
    return {**document, "metadata": {**metadata, "annotations": annotations}}


def _without_folder(document: dict[str, Any]) -> dict[str, Any]:
    metadata = document["metadata"]
    rest = {name: value for name, value in metadata["annotations"].items() if name != FOLDER_ANNOTATION}
    others = {name: value for name, value in metadata.items() if name != "annotations"}
    return {**document, "metadata": {**others, **({"annotations": rest} if rest else {})}}
