"""Carries out what PipelineRuns plan: each action is safe to repeat."""

from __future__ import annotations

from contextlib import suppress
from typing import assert_never

from longshore_operator.cluster.api import Conflict, Kube, Manifest, NotFound, Taken
from longshore_operator.common.actions import Begin, Ensure, Retry, RunAction, Switch
from longshore_operator.common.pool import is_finished
from longshore_operator.manifests import names
from longshore_operator.manifests.objects import body
from longshore_operator.manifests.pipeline_runs import RUN_ID_KEY
from longshore_operator.reconcile.locks import Locks


def apply_run_action(action: RunAction, kube: Kube, locks: Locks, *, namespace: str) -> None:
    """Carry out one action. Raises ApiError."""
    match action:
        case Ensure(manifest):
            _ensure(kube, body(manifest))
        case Begin(frozen, resource):
            _ensure(kube, body(frozen))
            kube.create(resource)
        case Retry(manifest, run_id):
            with locks.of("run", namespace, run_id):
                made = body(manifest)
                if rival := retried_by(kube, run_id, namespace=namespace, but=made["metadata"]["name"]):
                    raise Conflict(f"run {run_id} is retried by {rival}")
                kube.create(made)
        case Switch(kind, name, uid, switch, value):
            with suppress(NotFound):  # it is gone meanwhile: the next look sees that
                kube.change(kind, namespace, name, uid, {switch: value})
        case _:
            assert_never(action)


def retried_by(kube: Kube, run_id: str, *, namespace: str, but: str) -> str:
    """Return a PipelineRun that has begun to go on with the run and has not ended; "" when there is none.

    `but` is the name of the ConfigMap of who asks.
    """
    for each in kube.list(names.RUN_KIND, namespace):
        name = each["metadata"]["name"]
        if names.pipeline_run(name) == but or is_finished(each) or not each.get("spec", {}).get("retryOf"):
            continue
        frozen = kube.read("ConfigMap", namespace, names.pipeline_run(name))
        if frozen is not None and frozen.get("data", {}).get(RUN_ID_KEY) == run_id:
            return str(name)
    return ""


def _ensure(kube: Kube, manifest: Manifest) -> None:
    """Make an object that is never changed; the very one is well where it is there already. Raises Taken."""
    metadata = manifest["metadata"]
    try:
        kube.create(manifest)
    except Taken:
        found = kube.read(manifest["kind"], metadata["namespace"], metadata["name"])
        owners = [] if found is None else found["metadata"].get("ownerReferences", [])
        if [each["uid"] for each in owners] != [each["uid"] for each in metadata["ownerReferences"]]:
            raise
