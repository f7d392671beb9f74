"""What kopf calls: watching and nothing else. Every event of a step or of one of its pods puts the step's key up."""

from __future__ import annotations

import logging
from typing import Any

import kopf

from longshore_operator.build import names
from longshore_operator.work_queue import WorkQueue

Key = tuple[str, str]  # namespace, name of a step


def registry(queue: WorkQueue[Key], *, threads: int) -> kopf.OperatorRegistry:
    """Return the handlers of an operator whose work is done by that queue."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    def login(**kwargs: Any) -> Any:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.startup(registry=handlers)
    def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.posting.enabled = False  # events are ours to make, about milestones
        settings.watching.server_timeout = 300
        settings.watching.client_timeout = 330
        settings.watching.connect_timeout = 30
        logging.getLogger("kopf").setLevel(logging.WARNING)
        queue.start(threads)

    @kopf.on.cleanup(registry=handlers)
    def stop(**_: Any) -> None:
        queue.stop()

    @kopf.on.event(names.GROUP, names.VERSION, names.STEP_PLURAL, registry=handlers)
    def on_step(namespace: str | None, name: str, **_: Any) -> None:
        assert namespace is not None, "steps are namespaced"
        queue.add((namespace, name))

    @kopf.on.event("", "v1", "pods", labels={names.STEP_LABEL: kopf.PRESENT}, registry=handlers)
    def on_pod(namespace: str | None, labels: Any, **_: Any) -> None:
        assert namespace is not None, "pods are namespaced"
        queue.add((namespace, labels[names.STEP_LABEL]))

    @kopf.on.probe(registry=handlers, id="queued")
    def queued(**_: Any) -> int:
        return len(queue)

    return handlers
