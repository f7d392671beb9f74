"""The objects of the cluster in memory: kept up to date by watches, indexed, and never changed in place.

An object replaces its predecessor when its resourceVersion is higher, whatever its source: a list, an event of a watch,
or the answer to a write of this operator. So own writes count immediately, and a lagging watch never reverts them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from longshore_operator.cluster.api import Manifest
from longshore_operator.common.pool import Claim, Pool
from longshore_operator.common.pool_index import PoolKey, Pools
from longshore_operator.manifests import names

ALL, REFERRED, WAITING = "", "mentioned name", "waits for references"  # terms that are no labels
PREPARING = "waits for an environment"
FIELDS = ("resumeFrom", "retryOf")  # spec fields by which objects are listed
PIPELINE = "pipeline"  # the name of the Pipeline of PipelineRuns
MAX_NAME = 253  # characters of an object's name

_LABELS = (names.STEP_LABEL, names.TASK_LABEL, names.COMPUTE_LABEL, names.RUN_LABEL, names.ENVIRONMENT_LABEL)
_REMEMBERED = 20_000  # uids of removed objects, and versions of own writes: more than any watch can be behind
_KEPT_PARTS: Mapping[str, Collection[str]] = {  # kind -> what is kept of it beside apiVersion, kind and metadata
    "Pod": ("status",),
    "Service": (),
    "NetworkPolicy": (),
}

Key = tuple[str, str, str]  # kind, namespace, name
Term = tuple[str, str]  # what is indexed, value


@dataclass(frozen=True)
class Change:
    """One object before and after; one of the two may be None."""

    before: Manifest | None
    after: Manifest | None
    own: bool = False  # it is the answer to a write of this operator
    pools: frozenset[PoolKey] = frozenset()  # node pools that have changed with it

    @property
    def key(self) -> Key:
        """Kind, namespace and name of the object."""
        return key_of(self.after or self.before or {})


@dataclass
class Store:
    """Objects by kind, namespace and name, and by what `list` is asked for. Any thread may call.

    `notify` is called with each change, one at a time.
    """

    notify: Callable[[Change], None] = lambda change: None
    terms_of: Callable[[Manifest], Iterator[Term]] = lambda manifest: iter(())
    pools: Pools = field(default_factory=Pools)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _objects: dict[Key, Manifest] = field(default_factory=dict)
    _index: dict[tuple[str, str, Term], dict[str, Manifest]] = field(default_factory=dict)  # kind, namespace, term
    _removed: OrderedDict[str, float] = field(default_factory=OrderedDict)  # uid -> resourceVersion until which it is
    _written: dict[int, None] = field(default_factory=dict)  # resourceVersions that own writes made, oldest first

    def read(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return an object, which callers never change, or None."""
        with self._lock:
            return self._objects.get((kind, namespace, name))

    def list(self, kind: str, namespace: str, selector: str = "") -> Sequence[Manifest]:
        """Return the objects of a kind with these labels, sorted by name."""
        wanted = [(label, value) for label, _, value in (each.partition("=") for each in selector.split(",") if each)]
        with self._lock:
            found = [self._with((kind, namespace, term)) for term in wanted if term[0] in _LABELS]
            smallest = min(found, key=len) if found else self._with((kind, namespace, (ALL, "")))
            listed = [smallest[name] for name in sorted(smallest)]
        if len(wanted) <= 1 and found:
            return listed
        return [each for each in listed if _has(each, wanted)]

    def having(self, kind: str, namespace: str, term: str, value: str = "") -> Sequence[Manifest]:
        """Return the objects of a kind that are indexed under one of FIELDS, PIPELINE, PREPARING, REFERRED, WAITING."""
        with self._lock:
            found = self._with((kind, namespace, (term, value)))
            return [found[name] for name in sorted(found)]

    def pool(self, namespace: str, compute: str, *, asking: Claim | None = None) -> Pool:
        """Return the node pool of a ComputeCluster; `asking` replaces the claim from the status of its step."""
        with self._lock:
            return self.pools.pool(namespace, compute, asking=asking)

    def apply(self, manifest: Manifest, *, deleted: bool = False, own: bool = False) -> None:
        """Take in an object as an event, a list or the answer to a write of this operator has it."""
        kept = _kept(manifest)
        with self._lock:
            if deleted:
                self._forget(kept, until=version_of(kept))
            elif self._is_news(kept):
                self._put(kept, own=own)
                if own:
                    self._written[version_of(kept)] = None
                    if len(self._written) > _REMEMBERED:
                        del self._written[next(iter(self._written))]

    def has_written(self, version: int) -> bool:
        """Return whether an own write made this resourceVersion: the store has had its object since then."""
        return version in self._written

    def discard(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """Remove the object that the API server has reported as deleted; its UID is never used again."""
        with self._lock:
            self._forget({"kind": kind, "metadata": {"namespace": namespace, "name": name, "uid": uid}})

    def replace(self, kind: str, namespace: str, manifests: Sequence[Manifest], version: str) -> None:
        """Take in the whole list of a kind, of one namespace or of all ("").

        What it lacks has vanished, but for what is newer than the list.
        """
        with self._lock:
            listed = set()
            for each in manifests:
                listed.add(each["metadata"]["uid"])
                self.apply(each)
            for (of_kind, where, _), each in list(self._objects.items()):
                is_listed = of_kind != kind or namespace not in ("", where) or each["metadata"]["uid"] in listed
                if not is_listed and version_of(each) <= int(version):
                    self._forget(each, until=int(version))

    def _is_news(self, manifest: Manifest) -> bool:
        uid, version = manifest["metadata"]["uid"], version_of(manifest)
        if version <= self._removed.get(uid, -1.0):
            return False
        known = self._objects.get(key_of(manifest))
        return known is None or version > version_of(known)

    def _put(self, manifest: Manifest, *, own: bool) -> None:
        key = key_of(manifest)
        before = self._objects.get(key)
        if before is not None:
            self._drop(before)
            if before["metadata"]["uid"] != manifest["metadata"]["uid"]:
                self._remember(before, until=float("inf"))
        self._objects[key] = manifest
        for term in self._terms(manifest):
            self._index.setdefault((*key[:2], term), {})[key[2]] = manifest
        self._changed(before, manifest, own=own)

    def _forget(self, manifest: Manifest, *, until: float = float("inf")) -> None:
        known = self._objects.get(key_of(manifest))
        if known is not None and known["metadata"]["uid"] == manifest["metadata"]["uid"]:
            if version_of(known) > until:
                return  # an event that is older than what is known: its object has come back since
            self._drop(known)
            self._remember(manifest, until=until)
            self._changed(known, None)
        else:
            self._remember(manifest, until=until)

    def _drop(self, manifest: Manifest) -> None:
        kind, namespace, name = key_of(manifest)
        del self._objects[kind, namespace, name]
        for term in self._terms(manifest):
            bucket = self._index[kind, namespace, term]
            del bucket[name]
            if not bucket:
                del self._index[kind, namespace, term]

    def _remember(self, manifest: Manifest, *, until: float) -> None:
        uid = manifest["metadata"]["uid"]
        self._removed[uid] = max(until, self._removed.pop(uid, -1.0))
        if len(self._removed) > _REMEMBERED:
            self._removed.popitem(last=False)

    def _changed(self, before: Manifest | None, after: Manifest | None, *, own: bool = False) -> None:
        self.notify(Change(before, after, own, frozenset(self.pools.note(before, after))))

    def _with(self, where: tuple[str, str, Term]) -> Mapping[str, Manifest]:
        return self._index.get(where, {})

    def _terms(self, manifest: Manifest) -> Iterator[Term]:
        yield ALL, ""
        labels, spec = manifest["metadata"].get("labels") or {}, manifest.get("spec") or {}
        yield from ((label, labels[label]) for label in _LABELS if label in labels)
        yield from ((each, "") for each in FIELDS if spec.get(each))
        if manifest["kind"] == names.RUN_KIND and (pipeline := pipeline_of(manifest)):
            yield PIPELINE, pipeline
        yield from self.terms_of(manifest)


def key_of(manifest: Manifest) -> Key:
    """Return kind, namespace and name of an object."""
    metadata = manifest["metadata"]
    return manifest["kind"], metadata["namespace"], metadata["name"]


def pipeline_of(run: Mapping[str, Any]) -> str:
    """Return the name of a PipelineRun's Pipeline; "" while a retry does not know it."""
    reference = run.get("spec", {}).get("pipelineRef") or {}
    return str(reference.get("name") or (run.get("status") or {}).get("pipeline") or "")


def version_of(manifest: Manifest) -> int:
    """Return the resourceVersion: API servers count writes with it, so that of two the higher one is newer."""
    return int(manifest["metadata"].get("resourceVersion", 0))


def _kept(manifest: Manifest) -> Manifest:
    """Return a shallow copy without unread fields, which are most of the memory of thousands of pods."""
    metadata: dict[str, Any] = {key: value for key, value in manifest["metadata"].items() if key != "managedFields"}
    parts = _KEPT_PARTS.get(manifest["kind"])
    kept = manifest if parts is None else {key: manifest[key] for key in ("apiVersion", *parts) if key in manifest}
    return {**kept, "kind": manifest["kind"], "metadata": metadata}


def _has(manifest: Manifest, wanted: Sequence[Term]) -> bool:
    labels = manifest["metadata"].get("labels") or {}
    return all(labels.get(label) == value for label, value in wanted)
