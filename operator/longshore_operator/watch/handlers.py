"""What kopf calls: each event of what is watched goes to the store, and everything else follows from there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kopf

from longshore_operator.cluster.api import resource
from longshore_operator.manifests import names
from longshore_operator.reconcile.work_queue import WorkQueue
from longshore_operator.watch.cached import SELECTED, WATCHED
from longshore_operator.watch.sessions import Watches
from longshore_operator.watch.store import Key, Store

_OURS = frozenset(WATCHED) - SELECTED  # must be served before they are watched
_INACTIVITY = 150.0  # seconds without even a bookmark, after which a watch is taken up again: it may hang


class _NoComparison(kopf.DiffBaseStorage):
    """Keeps kopf from copying each object to compare it with its last state, which only other kinds of handlers need.

    That is a third of the CPU time of an event of a step, and two thirds of one of a pod.
    """

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Store nothing: objects that are only watched get no annotations."""


def registry(
    store: Store, queue: WorkQueue[Key], watches: Watches, *, served: Callable[[], frozenset[str]]
) -> kopf.OperatorRegistry:
    """Return the handlers that fill a store; `served` returns which of our kinds the API server serves.

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
        for kind in SELECTED:
            settings.watching.label_selectors[resource(kind)] = names.OURS  # those of others never come here
        settings.persistence.diffbase_storage = _NoComparison()
        settings.watching.inactivity_timeout = _INACTIVITY
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

    for kind in WATCHED:
        _watch(handlers, store, kind)
    return handlers


def _watch(handlers: kopf.OperatorRegistry, store: Store, kind: str) -> None:
    @kopf.on.event(*resource(kind), registry=handlers)
    async def on_event(event: Any, **_: Any) -> None:
        store.apply({**event["object"], "kind": kind}, deleted=event["type"] == "DELETED")
