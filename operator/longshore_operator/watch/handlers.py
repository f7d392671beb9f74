"""What kopf calls: watching and nothing else. An event puts up the keys of what it may change.

step or task    itself, the ComputeCluster that it uses, and the PipelineRun that made it
PipelineRun     itself, and its Pipeline, which keeps no more runs than it wants to
Pipeline        itself
ComputeCluster  itself
pod of ours     the resource that it goes with, and the ComputeCluster that it is a node of
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import kopf

from longshore_operator.common.references import controller, pipeline_run
from longshore_operator.manifests import names
from longshore_operator.reconcile.work_queue import WorkQueue
from longshore_operator.watch.sessions import Watches

Key = tuple[str, str, str]  # kind, namespace, name

_STEPS = {
    names.STEP_KIND: names.STEP_PLURAL,
    names.SCRIPT_KIND: names.SCRIPT_PLURAL,
    names.TRANSFER_KIND: names.TRANSFER_PLURAL,
}
_OURS = (*_STEPS, names.COMPUTE_KIND, names.PIPELINE_KIND, names.RUN_KIND)  # must be served before they are watched
WATCHED = (*_OURS, "Pod")
_OWNERS = frozenset({*_STEPS, names.COMPUTE_KIND, names.RUN_KIND})  # of pods of ours


def registry(queue: WorkQueue[Key], watches: Watches, *, served: Callable[[], frozenset[str]]) -> kopf.OperatorRegistry:
    """Return the handlers of an operator whose work is done by that queue; `served` says which of our kinds there are.

    kopf stores nothing in objects for handlers of events, and needs no rights but to list and watch what they name.
    """
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(**kwargs: Any) -> kopf.AiohttpSession | None:
        info = kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
        return None if info is None else watches.session(info)

    @kopf.on.startup(registry=handlers)
    def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.posting.enabled = False  # events are ours to make, about milestones
        settings.scanning.disabled = True  # else it watches all namespaces and definitions, and needs the right to
        settings.watching.label_selectors["", "v1", "pods"] = names.OURS  # other pods never come here
        settings.watching.server_timeout = 300
        settings.watching.client_timeout = 330
        settings.watching.connect_timeout = 30

    @kopf.on.startup(registry=handlers)
    def wait_for_definitions(**_: Any) -> None:
        """Hold everything until our kinds are served: kopf looks once for what there is to watch."""
        if missing := sorted(frozenset(_OURS) - served()):
            raise kopf.TemporaryError(f"the API server does not serve {missing[0]}: is its CRD installed?", delay=2)

    @kopf.on.probe(registry=handlers, id="queued")
    def queued(**_: Any) -> int:
        return len(queue)

    _watch(handlers, queue)
    return handlers


def _watch(handlers: kopf.OperatorRegistry, queue: WorkQueue[Key]) -> None:
    for kind, plural in _STEPS.items():
        _watch_steps(handlers, queue, kind=kind, plural=plural)

    @kopf.on.event(names.GROUP, names.VERSION, names.COMPUTE_PLURAL, registry=handlers)
    def on_compute(namespace: str | None, name: str, **_: Any) -> None:
        assert namespace is not None, "ComputeClusters are namespaced"
        queue.add((names.COMPUTE_KIND, namespace, name))

    @kopf.on.event(names.GROUP, names.VERSION, names.PIPELINE_PLURAL, registry=handlers)
    def on_pipeline(namespace: str | None, name: str, **_: Any) -> None:
        assert namespace is not None, "Pipelines are namespaced"
        queue.add((names.PIPELINE_KIND, namespace, name))

    @kopf.on.event(names.GROUP, names.VERSION, names.RUN_PLURAL, registry=handlers)
    def on_run(namespace: str | None, body: Any, **_: Any) -> None:
        assert namespace is not None, "PipelineRuns are namespaced"
        for key in keys_of_run(namespace, body):
            queue.add(key)

    @kopf.on.event("", "v1", "pods", labels={names.MANAGED_BY: names.MANAGER}, registry=handlers)
    def on_pod(namespace: str | None, meta: Any, **_: Any) -> None:
        assert namespace is not None, "pods are namespaced"
        for key in keys_of_pod(namespace, meta):
            queue.add(key)


def _watch_steps(handlers: kopf.OperatorRegistry, queue: WorkQueue[Key], *, kind: str, plural: str) -> None:
    @kopf.on.event(names.GROUP, names.VERSION, plural, registry=handlers)
    def on_step(namespace: str | None, meta: Any, spec: Any, **_: Any) -> None:
        assert namespace is not None, "steps are namespaced"
        for key in keys_of_step(kind, namespace, meta, spec):
            queue.add(key)


def keys_of_step(kind: str, namespace: str, meta: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[Key]:
    """Yield what an event of a step or task may change."""
    yield kind, namespace, meta["name"]
    if compute := spec.get("computeTarget"):
        yield names.COMPUTE_KIND, namespace, compute
    if run := pipeline_run(meta):
        yield names.RUN_KIND, namespace, run["name"]


def keys_of_run(namespace: str, run: Mapping[str, Any]) -> Iterator[Key]:
    """Yield what an event of a PipelineRun may change."""
    yield names.RUN_KIND, namespace, run["metadata"]["name"]
    pipeline = run.get("spec", {}).get("pipelineRef", {}).get("name") or run.get("status", {}).get("pipeline")
    if pipeline:
        yield names.PIPELINE_KIND, namespace, pipeline


def keys_of_pod(namespace: str, meta: Mapping[str, Any]) -> Iterator[Key]:
    """Yield what an event of a pod may change."""
    owner = controller(meta)
    if owner.get("kind") in _OWNERS:
        yield owner["kind"], namespace, owner["name"]
    if compute := meta.get("labels", {}).get(names.COMPUTE_LABEL):
        yield names.COMPUTE_KIND, namespace, compute
