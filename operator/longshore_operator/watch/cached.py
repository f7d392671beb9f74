"""A cluster whose objects are read from the store: the API server is called to write, and for what is not watched."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from longshore_operator.cluster.api import ApiError, Conflict, Manifest, NotFound, Server, Taken
from longshore_operator.common.pool import Holder, Pool, claim_of
from longshore_operator.common.references import controller
from longshore_operator.manifests import names
from longshore_operator.watch.store import Change, Store

SELECTED = frozenset({"ConfigMap", "NetworkPolicy", "Pod", "Service"})  # kinds of which only ours are watched
DEFINITIONS = ("ComputeCluster", "Dataset", "Datastore", "Environment", "Model", "Pipeline")  # steps and runs name them
WATCHED = (
    names.STEP_KIND,
    names.SCRIPT_KIND,
    names.TRANSFER_KIND,
    names.RUN_KIND,
    *DEFINITIONS,
    *sorted(SELECTED),
)


class OutOfSync(ApiError):
    """A watch is interrupted, so that what this operator knows may be old."""


class _Secret(NamedTuple):
    manifest: Manifest
    read: float  # when, by the clock


class CachedKube:
    """Reads from a store, writes to the API server, and takes its answers into the store at once.

    So no object is created twice and no node slot granted twice, however late the watches are.

    Args:
        in_sync: Return whether every watch is running. Nothing is deleted while one is not.
        namespaces: Namespaces that are watched; all if there are none.
    """

    def __init__(
        self,
        server: Server,
        store: Store,
        *,
        in_sync: Callable[[], bool] = lambda: True,
        namespaces: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server, self._store = server, store
        self._in_sync = in_sync
        self._namespaces = tuple(namespaces) or ("",)
        self._refreshing = threading.Lock()
        self._is_behind = False
        self._clock = clock
        self._secrets: dict[tuple[str, str], _Secret] = {}  # of runs, by namespace and name

    def expect_changes_of_others(self) -> None:
        """List everything before the next reconcile: another operator has written until now."""
        self._is_behind = True

    def read(self, kind: str, namespace: str, name: str) -> Manifest | None:
        self._catch_up()
        if kind == "Secret":
            return self.fetch(kind, namespace, name, max_age=float("inf"))
        return self._store.read(kind, namespace, name)

    def list(self, kind: str, namespace: str, selector: str = "") -> Sequence[Manifest]:
        return self._store.list(kind, namespace, selector)

    def having(self, kind: str, namespace: str, field: str, value: str = "") -> Sequence[Manifest]:
        return self._store.having(kind, namespace, field, value)

    def pool(self, namespace: str, compute: str, *, asking: tuple[Holder, int] | None = None) -> Pool:
        raw = None if asking is None else self._store.read(asking[0].kind, namespace, asking[0].name)
        claim = None if raw is None or asking is None else claim_of(raw, asking=asking[1])
        return self._store.pool(namespace, compute, asking=claim)

    def fetch(self, kind: str, namespace: str, name: str, *, max_age: float = 0.0) -> Manifest | None:
        known = self._secrets.get((namespace, name)) if max_age else None
        if known is not None and self._clock() < known.read + max_age:
            return known.manifest
        found = self._server.read(kind, namespace, name)
        if kind == "Secret":
            self._note_secret(namespace, name, found)
        return found

    def create(self, manifest: Manifest) -> None:
        kind, metadata = manifest["kind"], manifest["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        try:
            made = self._server.create(manifest)
        except Taken as error:
            if kind not in WATCHED:
                raise
            found = self._server.find(kind, namespace, name)
            known = self._store.read(kind, namespace, name)
            if found is not None and (not _is_watched(found) or (known and _uid(known) == _uid(found))):
                raise  # it has another owner: what was known of it was right
            if found is not None:
                self._store.apply(found)
            raise Conflict(f"{error}, which was not known yet") from error
        if kind == "Secret":
            self._note_secret(namespace, name, made)
        elif kind in WATCHED:
            self._store.apply(made, own=True)

    def write_status(self, manifest: Manifest) -> None:
        metadata = manifest["metadata"]
        try:
            answer = self._server.write_status(manifest)
        except NotFound:
            self._store.discard(manifest["kind"], metadata["namespace"], metadata["name"], metadata["uid"])
            raise
        self._store.apply(answer, own=True)

    def change(self, kind: str, namespace: str, name: str, uid: str, spec: Mapping[str, Any]) -> None:
        try:
            answer = self._server.change(kind, namespace, name, uid, spec)
        except (Conflict, NotFound):
            self._store.discard(kind, namespace, name, uid)
            raise
        self._store.apply(answer, own=True)

    def delete(self, kind: str, namespace: str, name: str, uid: str, *, at_once: bool = False) -> None:
        if not self._in_sync():
            raise OutOfSync(f"{kind} {name} is not deleted while a watch is interrupted; it is tried again")
        if kind == "Secret":
            self._note_secret(namespace, name, None)
        try:
            answer = self._server.delete(kind, namespace, name, uid, at_once=at_once)
        except NotFound:
            self._store.discard(kind, namespace, name, uid)
            return
        except Conflict:  # its name is another object's by now
            self._store.discard(kind, namespace, name, uid)
            raise
        if kind not in WATCHED:
            return
        if answer.get("kind") == "Status":
            self._store.discard(kind, namespace, name, uid)
        else:  # it is terminating: a watch reports its end
            self._store.apply(answer)

    def note(self, change: Change) -> None:
        """Forget the Secret of a run whose step was deleted."""
        before, after = change.before, change.after
        if before is None or before["kind"] != names.STEP_KIND:
            return
        if after is None or after["metadata"]["uid"] != before["metadata"]["uid"]:
            metadata = before["metadata"]
            self._secrets.pop((metadata["namespace"], names.run_objects(metadata["name"])), None)

    def _note_secret(self, namespace: str, name: str, found: Manifest | None) -> None:
        """Remember a Secret of a run: it is immutable, and read once for each uid of its step."""
        owner = {} if found is None else controller(found["metadata"])
        step = self._store.read(names.STEP_KIND, namespace, str(owner.get("name")))
        if found is not None and step is not None and step["metadata"]["uid"] == owner["uid"]:
            self._secrets[namespace, name] = _Secret(found, self._clock())
        else:
            self._secrets.pop((namespace, name), None)

    def _catch_up(self) -> None:
        """List all that is watched, once, after another operator has led. Raises ApiError."""
        if not self._is_behind:
            return
        with self._refreshing:
            if not self._is_behind:
                return
            for kind in WATCHED:
                for namespace in self._namespaces:
                    found, version = self._server.list(kind, namespace, names.OURS if kind in SELECTED else "")
                    self._store.replace(kind, namespace, found, version)
            self._is_behind = False


def _uid(manifest: Manifest) -> str:
    return str(manifest["metadata"]["uid"])


def _is_watched(manifest: Manifest) -> bool:
    labels = manifest["metadata"].get("labels") or {}
    return manifest["kind"] not in SELECTED or labels.get(names.MANAGED_BY) == names.MANAGER
