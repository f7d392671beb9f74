"""Which resources a change of an object concerns: the keys that go to the work queue.

step or task    itself, unless it is the status that this operator wrote; if what they read has changed: its
                PipelineRun, its ComputeCluster, and the steps that wait for its end
PipelineRun     itself; at its end its Pipeline, and the runs that wait for it
ComputeCluster  itself
pod of ours     the resource that it belongs to, and the ComputeCluster that it is a node of
other of ours   the resource that it belongs to
environment     the steps that wait for an environment
definition      what waits for references, and what mentions its name and has not begun
new step, run   what mentions its name and has not begun
node pool       its ComputeCluster, and the first in line if nodes are free
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from longshore_operator.common.pool import condition_of, is_finished, part
from longshore_operator.common.reasons import MISSING, PREPARING_ENVIRONMENT
from longshore_operator.common.references import controller, pipeline_run
from longshore_operator.manifests import names
from longshore_operator.watch.cached import DEFINITIONS, SELECTED
from longshore_operator.watch.store import MAX_NAME, PREPARING, REFERRED, WAITING, Change, Key, Store, Term, pipeline_of

STEPS = (names.STEP_KIND, names.SCRIPT_KIND, names.TRANSFER_KIND)
RECONCILED = (*STEPS, names.COMPUTE_KIND, names.PIPELINE_KIND, names.RUN_KIND)
_WAITING = (*STEPS, names.RUN_KIND)  # kinds that refer to definitions when they begin


def keys_of(change: Change, store: Store) -> set[Key]:
    """Return the keys of what a change may concern."""
    return set(_keys(change, store))


def terms_of(manifest: Mapping[str, Any]) -> Iterator[Term]:
    """Yield under what a step or run is found when a definition or an environment changes that it waits for."""
    status = part(manifest, "status")
    if manifest["kind"] not in _WAITING or is_finished(manifest):
        return
    if _reason(manifest) == PREPARING_ENVIRONMENT:
        yield PREPARING, ""
    if status.get("runId"):
        return
    yield from ((REFERRED, name) for name in set(_strings(manifest.get("spec"))) if len(name) <= MAX_NAME)
    if _reason(manifest) == MISSING:
        yield WAITING, ""


def _keys(change: Change, store: Store) -> Iterator[Key]:
    kind = change.key[0]
    if kind in RECONCILED and not (change.own and _differs_in_status_only(change.before, change.after)):
        yield change.key
    if kind in STEPS:
        yield from _keys_of_step(change, store)
    elif kind == names.RUN_KIND:
        yield from _keys_of_run(change, store)
    elif kind in SELECTED:
        yield from _keys_of_part(change, store)
    if kind in DEFINITIONS and part(change.before or {}, "spec") != part(change.after or {}, "spec"):
        yield from _dependents(*change.key[1:], store)
    for pool in change.pools:
        if compute := store.pools.name(pool):
            yield names.COMPUTE_KIND, pool[0], compute
        yield from ((each.kind, pool[0], each.name) for each in store.pools.next_waiting(pool))


def _keys_of_part(change: Change, store: Store) -> Iterator[Key]:
    """Yield what an object belongs to that the operator makes: its controller knows of its own creations."""
    kind, namespace, name = change.key
    metadata = (change.after or change.before or {})["metadata"]
    owner, is_own_creation = controller(metadata), change.own and change.before is None
    if owner.get("kind") in RECONCILED and not is_own_creation:
        yield owner["kind"], namespace, owner["name"]
    if kind == "ConfigMap" and change.before is None:
        yield from _steps_of_run(namespace, name, store)
    if names.ENVIRONMENT_LABEL in part(metadata, "labels"):
        for each in STEPS:
            found = store.having(each, namespace, PREPARING)
            yield from ((each, namespace, step["metadata"]["name"]) for step in found)
    if compute := part(metadata, "labels").get(names.COMPUTE_LABEL):
        yield names.COMPUTE_KIND, namespace, store.pools.name((namespace, compute)) or compute


def _keys_of_step(change: Change, store: Store) -> Iterator[Key]:
    before, after = change.before, change.after
    if before is None:
        yield from _mentioning(*change.key[1:], store)
    run = pipeline_run((after or before or {})["metadata"])
    if run is not None and not (change.own and before is None) and _of_child(before) != _of_child(after):
        yield names.RUN_KIND, change.key[1], run["name"]
    if change.key[0] == names.STEP_KIND and _has_ended(before, after):
        yield from _unfinished(store, names.STEP_KIND, change.key[1], "resumeFrom")


def _keys_of_run(change: Change, store: Store) -> Iterator[Key]:
    before, after = change.before, change.after
    if before is None:
        yield from _mentioning(*change.key[1:], store)
    if _has_ended(before, after):
        yield from _unfinished(store, names.RUN_KIND, change.key[1], "retryOf")
    if before is None or _has_ended(before, after):
        pipelines = {pipeline_of(each) for each in (before, after) if each is not None}
        yield from ((names.PIPELINE_KIND, change.key[1], each) for each in pipelines if each)


def _steps_of_run(namespace: str, config_map: str, store: Store) -> Iterator[Key]:
    """Yield the steps whose run, as their PipelineRun froze it, a ConfigMap may be."""
    kinds = (names.STEP_KIND,) if config_map.endswith(names.run_objects("")) else STEPS[1:]
    step = config_map.rpartition("-")[0]
    for kind in kinds:
        found = store.read(kind, namespace, step)
        if found is not None and pipeline_run(found["metadata"]) is not None:
            yield kind, namespace, step


def _dependents(namespace: str, name: str, store: Store) -> Iterator[Key]:
    yield from _mentioning(namespace, name, store)
    for kind in _WAITING:
        yield from ((kind, namespace, each["metadata"]["name"]) for each in store.having(kind, namespace, WAITING))


def _mentioning(namespace: str, name: str, store: Store) -> Iterator[Key]:
    for kind in _WAITING:
        found = store.having(kind, namespace, REFERRED, name)
        yield from ((kind, namespace, each["metadata"]["name"]) for each in found)


def _unfinished(store: Store, kind: str, namespace: str, field: str) -> Iterator[Key]:
    for each in store.having(kind, namespace, field):
        if not is_finished(each):
            yield kind, namespace, each["metadata"]["name"]


def _has_ended(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> bool:
    return before is not None and (after is None or is_finished(before) != is_finished(after))


def _of_child(manifest: Mapping[str, Any] | None) -> tuple[Any, ...]:
    """Return what a PipelineRun reads of the resource of one of its steps."""
    if manifest is None:
        return ()
    status, spec = part(manifest, "status"), part(manifest, "spec")
    others = tuple(status.get(key) for key in ("conditions", "metrics", "git", "firstError"))
    done = part(status, "progress", "columns").get("done")
    leaving = "deletionTimestamp" in manifest["metadata"]
    return manifest["metadata"]["uid"], leaving, spec.get("suspend"), spec.get("cancel"), done, others


def _differs_in_status_only(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> bool:
    return before is not None and after is not None and _without_status(before) == _without_status(after)


def _without_status(manifest: Mapping[str, Any]) -> tuple[Any, ...]:
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "resourceVersion"}
    return metadata, manifest.get("spec")


def _reason(manifest: Mapping[str, Any]) -> str:
    return str(condition_of(part(manifest, "status"), "Succeeded").get("reason", ""))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _strings(each)
