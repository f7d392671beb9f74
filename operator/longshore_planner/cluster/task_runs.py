"""Resolution of a ScriptStep or TransferStep on a cluster into one run: its job, and the requirements of its pod."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from longshore_api.base import Resource
from longshore_api.errors import InvalidDocuments
from longshore_api.tasks import ScriptStep, TransferStep
from longshore_planner.catalogue import Document, Documents
from longshore_planner.cluster.environments import NO_DEFAULTS, DefaultImages
from longshore_planner.cluster.layout import PodLayout
from longshore_planner.cluster.pod_requirements import PodRequirements
from longshore_planner.cluster.step_runs import own_run_id
from longshore_planner.locations import join
from longshore_planner.named_data import named_data
from longshore_planner.references import References
from longshore_planner.script_steps import DESTINATION, script_job, transfer_job
from longshore_protocol.reading import read_text


@dataclass(frozen=True)
class TaskRun:
    """One run of a task on a cluster: everything that its manifests are built from, frozen at its start."""

    kind: str  # ScriptStep or TransferStep
    namespace: str
    step: str
    uid: str  # UID of the step
    generation: int  # generation of the spec that the run was created from
    run_id: str
    run_uri: str  # folder of the run, in the form of pods; "" for a transfer
    outputs: dict[str, str]  # name -> location, in the form of pods
    job: dict[str, Any]  # a ScriptJob, or source, destination and timeout (seconds) of a transfer
    provision: PodRequirements = field(default_factory=PodRequirements)

    def to_json(self) -> str:
        """Return the run as JSON that `from_json` reads."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> TaskRun:
        """Read the JSON of `to_json`, of this version or an adjacent one; raise ValueError for anything else."""
        return read_text(TaskRun, text)


def resolve_task_on_cluster(
    documents: Documents,
    *,
    namespace: str,
    uid: str,
    generation: int,
    host_paths: bool,
    images: DefaultImages = NO_DEFAULTS,
) -> TaskRun:
    """Resolve the one task of the documents for their cluster.

    Args:
        documents: The task and everything that it refers to.
        namespace: Namespace of the task.
        uid: UID of the task.
        generation: Generation of the task's spec.
        host_paths: Allow Datastores that are folders of the nodes.
        images: Images of Environments without one.

    Raises:
        InvalidDocuments: with every problem found.
    """
    (step,) = (each for each in documents if isinstance(each.resource, ScriptStep | TransferStep))
    layout = PodLayout(documents, step, host_paths=host_paths, images=images)
    mounted = layout.documents_in_pods()
    _refuse_outputs_of_others(step, layout)
    is_script = isinstance(step.resource, ScriptStep)
    store = layout.run_store(mounted) if is_script else ""
    provision = layout.provision(store)
    assert store is not None, "or there is a problem"
    run_id = own_run_id(step.name, uid)
    run_uri = join(store, f"longshore/{run_id}") if is_script else ""
    in_pods = next(each for each in mounted if each.where == step.where)
    job, outputs = task_job(in_pods, mounted, run_uri=run_uri, run_id=run_id)
    if is_script:
        job["catalogue"] = named_data(documents, in_pods=True)
    return TaskRun(step.resource.kind, namespace, step.name, uid, generation, run_id, run_uri, outputs, job, provision)


def task_job(
    step: Document[Resource], documents: Documents, *, run_uri: str, run_id: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the job of a task outside pipelines, and its outputs' locations; raise InvalidDocuments."""
    references = References(documents, step)
    limit = cast("Any", step.resource).spec.timeout_seconds
    timeout = None if limit is None else float(limit)
    outputs: Mapping[str, str]
    if isinstance(step.resource, ScriptStep):
        of_script = cast("Document[ScriptStep]", step)
        script = script_job(of_script, references, run_uri=run_uri, run_id=run_id, timeout=timeout, in_pods=True)
        job, outputs = script.to_dict(), {each.name: each.uri for each in script.outputs}
    else:
        transfer = transfer_job(cast("Document[TransferStep]", step), references)
        job, outputs = {**transfer, "timeout": timeout}, {DESTINATION: transfer[DESTINATION]}
    if references.problems:
        raise InvalidDocuments(references.problems)
    return job, dict(outputs)


def _refuse_outputs_of_others(step: Document[Resource], layout: PodLayout) -> None:
    if isinstance(step.resource, ScriptStep):
        for index, each in enumerate(step.resource.spec.inputs):
            if each.from_ is not None:
                rule = "is supported in pipelines only; set dataset or file instead"
                layout.problems.append(step.wrong(f"spec.inputs[{index}].from", each.from_, rule))
