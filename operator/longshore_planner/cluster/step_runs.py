"""Resolution of a ParallelRunStep on a cluster into one run: its job, and the requirements of its pods.

The run is resolved as a local one is, after `layout` has mapped all locations to ones inside its pods.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import cast

from longshore_api.base import Resource
from longshore_api.parallel_run_step import ParallelRunStep
from longshore_planner.catalogue import Document, Documents
from longshore_planner.cluster.environments import NO_DEFAULTS, DefaultImages
from longshore_planner.cluster.layout import PodLayout
from longshore_planner.cluster.pod_requirements import PodRequirements
from longshore_planner.locations import join
from longshore_planner.named_data import named_data
from longshore_planner.resolve import resolve
from longshore_protocol.job import Job
from longshore_protocol.reading import read_text


@dataclass(frozen=True)
class ClusterRun:
    """One run of a ParallelRunStep on a cluster: everything that its manifests are built from, frozen at its start."""

    namespace: str
    step: str
    uid: str  # UID of the step
    generation: int  # generation of the spec that the run was created from
    job: Job
    provision: PodRequirements = field(default_factory=PodRequirements)

    @property
    def is_resumed(self) -> bool:
        """Whether this step continues the run of another step."""
        return self.job.run_id != own_run_id(self.step, self.uid)

    def to_json(self) -> str:
        """Return the run as JSON that `from_json` reads."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> ClusterRun:
        """Read the JSON of `to_json`, of this version or an adjacent one; raise ValueError for anything else."""
        return read_text(ClusterRun, text)


def resolve_on_cluster(
    documents: Documents,
    *,
    namespace: str,
    uid: str,
    generation: int,
    host_paths: bool,
    images: DefaultImages = NO_DEFAULTS,
    resumed: str | None = None,
) -> ClusterRun:
    """Resolve the one ParallelRunStep of the documents for their cluster.

    Args:
        documents: The step and everything that it refers to.
        namespace: Namespace of the step.
        uid: UID of the step.
        generation: Generation of the step's spec.
        host_paths: Allow Datastores that are folders of the nodes.
        images: Images of Environments without one.
        resumed: Id of the run to continue; None for a new run.

    Raises:
        InvalidDocuments: with every problem found.
    """
    steps = documents.of(ParallelRunStep)
    assert len(steps) == 1, "the step, and what is around it"
    (step,) = steps
    layout = PodLayout(documents, cast("Document[Resource]", step), host_paths=host_paths, images=images)
    mounted = layout.documents_in_pods()
    store = layout.run_store(mounted)
    provision = layout.provision(store)
    assert store is not None, "or there is a problem"
    run_id = resumed or own_run_id(step.name, uid)
    job = resolve(mounted, run_uri=join(store, f"longshore/{run_id}"), run_id=run_id, cores=1, in_pods=True).job
    spec = step.resource.spec
    job = replace(
        job,
        retry_failed=spec.retry_failed,
        accept_changed_code=spec.accept_changed_code,
        code_uri=provision.source_uri or "",
        catalogue=named_data(documents, in_pods=True),
    )
    return ClusterRun(namespace, step.name, uid, generation, on_nodes(job, step.resource, provision), provision)


def on_nodes(job: Job, step: ParallelRunStep, provision: PodRequirements) -> Job:
    """Set the fields of a job that depend on its nodes; return the job."""
    node = provision.node
    if step.spec.process_count_per_node == "auto":
        job = replace(job, processes_per_worker=node.processes)
    return replace(job, gpus_per_worker=node.gpus, runtime=provision.image)


def own_run_id(step: str, uid: str) -> str:
    """Return the id of the run that a step starts."""
    return f"{step}-{uid[:8]}"
