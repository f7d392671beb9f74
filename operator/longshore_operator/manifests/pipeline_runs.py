"""The objects of a PipelineRun: the frozen run, copies of sources, and the resources that run its steps."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping
from typing import Any

from kubernetes.client import V1ConfigMap, V1ObjectMeta

from longshore_operator.manifests import names, objects
from longshore_operator.manifests.metadata import immutable_map
from longshore_operator.manifests.metadata import metadata as owned
from longshore_operator.manifests.subject import Subject
from longshore_planner.cluster.step_runs import ClusterRun
from longshore_planner.cluster.task_runs import TaskRun
from longshore_planner.pipelines.on_cluster import ClusterPipeline

RUN_ID_KEY, PIPELINE_KEY = "run-id", "pipeline.json.gz"  # of the ConfigMap


def frozen_map(run: Subject, frozen: ClusterPipeline) -> V1ConfigMap:
    """Return the run as it was frozen, packed: hundreds of steps are more than a ConfigMap holds otherwise."""
    packed = gzip.compress(frozen.to_json().encode(), mtime=0)
    about = metadata(run, names.pipeline_run(run.name))
    return immutable_map(about, {RUN_ID_KEY: frozen.pipeline.run_id}, {PIPELINE_KEY: base64.b64encode(packed).decode()})


def frozen_from(raw: Mapping[str, Any]) -> ClusterPipeline:
    """Read what `frozen_map` wrote. Raises ValueError, KeyError, OSError for something else."""
    return ClusterPipeline.from_json(gzip.decompress(base64.b64decode(raw["binaryData"][PIPELINE_KEY])).decode())


def source_map(run: Subject, name: str, source: Mapping[str, Any]) -> V1ConfigMap:
    """Return an immutable copy of a ConfigMap with a source, so that later changes do not affect this run."""
    return immutable_map(metadata(run, name), source.get("data"), source.get("binaryData"))


def step_map(run: Subject, frozen: ClusterRun | TaskRun) -> V1ConfigMap:
    """Return the frozen run of a step, which is there before the step is: so it resolves nothing by itself."""
    if isinstance(frozen, TaskRun):
        return immutable_map(metadata(run, names.task_objects(frozen.step)), objects.task_data(frozen))
    return immutable_map(metadata(run, names.run_objects(frozen.step)), objects.run_data(frozen))


def step_resource(run: Subject, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Return the resource that runs a step."""
    made = metadata(run, name).model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": made, "spec": spec}


def metadata(run: Subject, name: str) -> V1ObjectMeta:
    """Return the metadata of an object that goes with its PipelineRun."""
    return owned(run, name, {names.RUN_LABEL: names.label_value(run.name)})
