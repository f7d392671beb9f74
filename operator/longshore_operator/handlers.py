"""What kopf calls: watching and nothing else. An event puts up the keys of what it may change.

step            itself, and the ComputeCluster that it uses
ComputeCluster  itself
pod of ours     its step, and the ComputeCluster that it is a node of
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kopf

from longshore_operator.build import names
from longshore_operator.watches import Watches
from longshore_operator.work_queue import WorkQueue

Key = tuple[str, str, str]  # kind, namespace, name

WATCHED = (names.STEP_KIND, names.COMPUTE_KIND, "Pod")
_OURS = frozenset({names.STEP_KIND, names.COMPUTE_KIND})  # of them, what must be served before anything can be watched


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
        if missing := sorted(_OURS - served()):
            raise kopf.TemporaryError(f"the API server does not serve {missing[0]}: is its CRD installed?", delay=2)

    @kopf.on.probe(registry=handlers, id="queued")
    def queued(**_: Any) -> int:
        return len(queue)

    _watch(handlers, queue)
    return handlers


def _watch(handlers: kopf.OperatorRegistry, queue: WorkQueue[Key]) -> None:
    @kopf.on.event(names.GROUP, names.VERSION, names.STEP_PLURAL, registry=handlers)
    def on_step(namespace: str | None, name: str, spec: Any, **_: Any) -> None:
        assert namespace is not None, "steps are namespaced"
        queue.add((names.STEP_KIND, namespace, name))
        if compute := spec.get("computeTarget"):
            queue.add((names.COMPUTE_KIND, namespace, compute))

    @kopf.on.event(names.GROUP, names.VERSION, names.COMPUTE_PLURAL, registry=handlers)
    def on_compute(namespace: str | None, name: str, **_: Any) -> None:
        assert namespace is not None, "ComputeClusters are namespaced"
        queue.add((names.COMPUTE_KIND, namespace, name))

    @kopf.on.event("", "v1", "pods", labels={names.MANAGED_BY: names.MANAGER}, registry=handlers)
    def on_pod(namespace: str | None, labels: Any, **_: Any) -> None:
        assert namespace is not None, "pods are namespaced"
        if step := labels.get(names.STEP_LABEL):
            queue.add((names.STEP_KIND, namespace, step))
        if compute := labels.get(names.COMPUTE_LABEL):
            queue.add((names.COMPUTE_KIND, namespace, compute))
