"""Workspace of a namespace of a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from longshore.changes import write
from longshore.documents import Documents, from_document
from longshore.pipelines import Pipeline, PipelineRun
from longshore.resource import InvalidArgument, Resource
from longshore.runs import Run
from longshore.steps import Step
from longshore.submission import gather
from longshore.uploads import local_folder, read_code, upload
from longshore.workspace import ContentFingerprint, Workspace
from longshore_cli.folders import new_run_id
from longshore_runs.cluster import KIND, NAME_LABEL, TAGS_ANNOTATION, ClusterRun, name_of, tags_of
from longshore_runs.cluster_api import ApiError, ClusterApi
from longshore_storage.store import local_path

KEPT = ("ComputeCluster", "Dataset", "Datastore", "Environment", "Model")
_LONGEST_LABEL = 63
_INVALID = 422


class KubernetesWorkspace(Workspace):
    """The workspace of a namespace; see `Workspace.kubernetes`."""

    def __init__(self, api: ClusterApi, namespace: str) -> None:
        self._api, self._namespace = api, namespace

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
        inside = Pipeline(work.name, [work]) if isinstance(work, Step) else work
        submission = gather(inside, run_id=run_id, kept=(), parameters=parameters, options=options)
        main = submission.main
        assert isinstance(main, PipelineRun), "a Pipeline becomes a PipelineRun"
        others = [each for each in submission.others if not isinstance(each, Pipeline)]
        pipelines = [each for each in submission.others if isinstance(each, Pipeline)]
        document = self._run_document(main, pipelines, others)
        for each in others:
            self._apply(each)
        metadata = document["metadata"]
        labels = {**metadata.get("labels", {}), NAME_LABEL: submission.name[:_LONGEST_LABEL].rstrip("-.")}
        annotations = {**metadata.get("annotations", {}), TAGS_ANNOTATION: json.dumps(dict(tags or {}))}
        document["metadata"] = {**metadata, "labels": labels, "annotations": annotations}
        with _explained(main.subject):
            self._api.create(document)
        return Run(ClusterRun(self._api, run_id))

    def _run_document(
        self, main: PipelineRun, pipelines: Sequence[Pipeline], others: Sequence[Resource]
    ) -> dict[str, Any]:
        """Return the PipelineRun with its pipeline in place, whose local code is uploaded."""
        document = main.to_dict()
        spec = document["spec"]
        named = (spec.get("pipelineRef") or {}).get("name")
        pipeline = next((each for each in pipelines if each.name == named), None)
        found = spec.get("pipelineSpec") or (None if pipeline is None else pipeline.to_spec())
        if found is None:
            return document  # of a Pipeline, or of a run to retry, that the cluster has
        store = self._default_store(others)
        steps = [self._with_code(each, (pipeline or main).folder, store) for each in found["steps"]]
        rest = {key: value for key, value in spec.items() if key != "pipelineRef"}
        return {**document, "spec": {**rest, "pipelineSpec": {**found, "steps": steps}}}

    def _with_code(self, step: dict[str, Any], folder: str, store: str | None) -> dict[str, Any]:
        """Return a pipeline's step with its local source uploaded."""
        for kind in ("parallelRun", "script"):
            spec: dict[str, Any] = step.get(kind, {})
            source = local_folder(spec.get("source"), folder) if kind in step else None
            if source is not None:
                subject = f'step "{step["name"]}"'
                code = read_code(source, subject=subject)
                uploaded = upload(code, self._api, store=store, subject=subject)
                where = uploaded.get("uri") or f"ConfigMap {uploaded['configMap']}"
                write(f"{step['name']}: {len(code.files)} files ({code.size / 1024:.1f} KiB) of {source} are {where}")
                return {**step, kind: {**spec, "source": uploaded}}
        return step

    def _default_store(self, others: Sequence[Resource]) -> str | None:
        """Return the root of the default Datastore if it is a URL."""
        own = [each.to_dict() for each in others if each.kind == "Datastore"]
        names = {each["metadata"]["name"] for each in own}
        found = [*own, *(each for each in self._api.list("Datastore") if each["metadata"]["name"] not in names)]
        roots = [str(each["spec"]["uri"]) for each in found if each["spec"].get("default")]
        root = roots[0] if len(roots) == 1 else "pvc:"
        return None if root.startswith("pvc:") or local_path(root) is not None else root

    def run(self, run_id: str) -> Run:
        if self._api.get(KIND, run_id) is None:
            raise KeyError(f"there is no PipelineRun {run_id!r} in the namespace {self._namespace!r}")
        return Run(ClusterRun(self._api, run_id))

    def runs(self, *, name: str | None = None, tags: Mapping[str, str] | None = None, limit: int = 100) -> list[Run]:
        found = sorted(self._api.list(KIND), key=_created, reverse=True)
        wanted = [
            raw for raw in found if name in (None, name_of(raw)) and (tags or {}).items() <= dict(tags_of(raw)).items()
        ]
        return [Run(ClusterRun(self._api, raw["metadata"]["name"])) for raw in wanted[:limit]]

    def apply(self, *resources: Resource) -> None:
        for each in (other for resource in resources for other in resource.documents()):
            self._apply(each)

    def _apply(self, resource: Resource) -> None:
        with _explained(resource.subject):
            self._api.apply(resource.to_dict())

    def resources(self, kind: str | None = None) -> Sequence[Resource]:
        return list(self._resources((kind,) if kind else KEPT))

    def _resources(self, kinds: Sequence[str]) -> Iterator[Resource]:
        for kind in kinds:
            for raw in self._api.list(kind):
                metadata = {key: raw["metadata"][key] for key in ("name", "labels") if key in raw["metadata"]}
                document = {"kind": kind, "metadata": metadata, "spec": raw.get("spec") or {}}
                yield from_document(document, folder="/")

    def delete(self, kind: str, name: str) -> None:
        if not self._api.delete(kind, name):
            raise KeyError(f"the namespace {self._namespace!r} has no {kind} {name!r}")

    def __repr__(self) -> str:
        return f"Workspace.kubernetes({self._namespace!r})"


def _created(raw: Mapping[str, Any]) -> str:
    return str(raw["metadata"].get("creationTimestamp", ""))


@contextmanager
def _explained(subject: str) -> Iterator[None]:
    """Raise InvalidArgument, about a subject, for an object that the API server finds invalid."""
    try:
        yield
    except ApiError as error:
        if error.status != _INVALID:
            raise
        raise InvalidArgument(subject, [str(error)]) from None
