"""Environments of steps: built once for all steps that need the same packages on the same image. Decisions are pure.

it runs     ->  wait; report what the builder does
it is done  ->  record the archive, delete the builder
recorded?   ->  ready
no builder? ->  create one
it failed   ->  for a step that waited for it, that is final; a later step has it built again
it is lost  ->  create another one after a pause, ten times

The first step that needs an environment creates its builder, whose name follows from the environment. Others find it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from longshore_api.status import ResourceStatus
from longshore_operator.cluster.api import Kube, Manifest
from longshore_operator.common.actions import Action, Create, Delete, Ensure
from longshore_operator.common.pods import container_states, is_overdue, observed_pod
from longshore_operator.common.reasons import PREPARING_ENVIRONMENT
from longshore_operator.common.references import controller
from longshore_operator.common.values import Blocked, Pod
from longshore_operator.manifests import names
from longshore_operator.manifests.environments import (
    FIND,
    INSTALL,
    PUBLISH,
    builder_pod,
    built_map,
    packages_map,
)
from longshore_operator.manifests.subject import Subject
from longshore_operator.settings import Settings
from longshore_planner.cluster.environments import PackedEnvironment
from longshore_planner.cluster.pod_requirements import PodRequirements
from longshore_planner.pipelines.records import ENVIRONMENT_FAILED
from longshore_protocol.built_environment import BuiltEnvironment

ENVIRONMENT_KIND = "Environment"
LOSSES = 10  # builders that may be lost, and are followed by another

_LOOK = 10.0  # seconds between reconciles of a step that waits for a builder, whose end is an event
_SOON = 1.0
_PAUSE, _LONGEST_PAUSE = 5.0, 60.0  # seconds after a lost builder; they double with each
_FAILED = 1  # exit code of an installation that would fail again; all others are losses
_NEVER_STARTED = ("StartError", "ContainerCannotRun")  # reasons of container runtimes
_STEADY = 120.0  # seconds, after which elapsed time is shown in minutes


@dataclass(frozen=True)
class Builder(Pod):
    """A builder; its index is the number of builders that were lost before it."""

    owner: Subject | None = None
    stage: str = ""  # the container that runs; "" before the first
    built: BuiltEnvironment | None = None
    failure: str = ""  # why packages cannot be installed, in the resolver's words
    lost: str = ""  # why it ended without either; "" while it has not
    ended: datetime | None = None


@dataclass(frozen=True)
class ObservedEnvironment:
    """All that one reconcile of a step knows of its environment."""

    packed: PackedEnvironment
    owner: Subject  # of new objects: the Environment, or the step if there is none of that name
    is_recorded: bool = False  # its archive is complete
    has_packages: bool = False  # the ConfigMap that builders read exists
    builders: tuple[Builder, ...] = ()

    @property
    def builder(self) -> Builder | None:
        """The latest builder."""
        return max(self.builders, key=lambda each: each.index or 0, default=None)


@dataclass(frozen=True)
class Preparation:
    """What to do for an environment, and why a step waits for it."""

    actions: tuple[Action, ...] = ()
    blocked: Blocked | None = None  # None: it is ready
    is_final: bool = False  # it cannot be built
    requeue_after: float = _LOOK


def observe_environment(kube: Kube, step: Subject, provision: PodRequirements) -> ObservedEnvironment | None:
    """Read what there is of a step's environment; None if the step has none. Raises ApiError."""
    packed = provision.environment
    if packed is None:
        return None
    namespace, key = step.namespace, packed.key
    environment = kube.read(ENVIRONMENT_KIND, namespace, packed.name)
    return ObservedEnvironment(
        packed,
        owner=step if environment is None else _subject(environment),
        is_recorded=kube.read("ConfigMap", namespace, names.environment(key)) is not None,
        has_packages=kube.read("ConfigMap", namespace, names.environment_packages(key)) is not None,
        builders=tuple(
            observed_builder(each, key)
            for each in kube.list("Pod", namespace, names.environment_selector(key))
            if names.builder_number(key, each["metadata"]["name"]) is not None
        ),
    )


def observed_builder(raw: Manifest, key: str) -> Builder:
    """Return what there is to know of a builder's pod."""
    pod = observed_pod(raw, index=names.builder_number(key, raw["metadata"]["name"]))
    states = container_states(raw)
    stage = next((name for name, state in states.items() if "running" in state), "")
    ended = {name: state["terminated"] for name, state in states.items() if state.get("terminated")}
    builder = Builder(**vars(pod), owner=_owner(raw), stage=stage, ended=_end(ended.values()))
    if (failure := _failure(ended.get(INSTALL))) is not None:
        return replace(builder, failure=failure)
    if not pod.is_finished:
        return builder
    try:
        return replace(builder, built=BuiltEnvironment.from_json(ended.get(PUBLISH, {}).get("message", "")))
    except ValueError:
        return replace(builder, lost=_loss(pod, ended))


def prepare(
    seen: ObservedEnvironment,
    provision: PodRequirements,
    settings: Settings,
    *,
    status: ResourceStatus | None,
    is_missing: bool = False,
    now: datetime,
) -> Preparation:
    """Return what to do for the environment of a step.

    Args:
        seen: What there is of it.
        provision: Requirements of the step's pods.
        settings: Settings of the operator.
        status: Status of the step.
        is_missing: A pod of the step did not find the archive, which was deleted.
        now: Present time.
    """
    last = seen.builder
    if last is None:
        is_ready = seen.is_recorded and not is_missing
        return Preparation() if is_ready else _begun(seen, provision, settings, number=0)
    earlier = tuple(_deleted((each for each in seen.builders if each is not last), now=now))
    if last.built is not None and not last.leaving:
        record = () if seen.is_recorded else (Ensure(built_map(last.owner or seen.owner, seen.packed, last.built)),)
        return Preparation((*earlier, *record, *_deleted([last], now=now)))
    if not (last.failure or last.lost or last.leaving):
        blocked = last.blocked.message if last.blocked else _activity(seen.packed, last, now=now)
        return Preparation(earlier, Blocked(PREPARING_ENVIRONMENT, blocked))
    if seen.is_recorded and not is_missing:
        return Preparation((*earlier, *_deleted([last], now=now)))
    return _after_end(seen, last, provision, settings, status=status, earlier=earlier, now=now)


def _after_end(
    seen: ObservedEnvironment,
    last: Builder,
    provision: PodRequirements,
    settings: Settings,
    *,
    status: ResourceStatus | None,
    earlier: tuple[Action, ...],
    now: datetime,
) -> Preparation:
    """Return what follows a builder without a result: a failure, a pause or another one."""
    number = (last.index or 0) + 1
    if last.failure or number > LOSSES:
        why = last.failure or f"{number} builders were lost; the last: {last.lost}"
        text = f'Environment "{seen.packed.name}" cannot be built on image {provision.image}: {why}'
        return _after_failure(last, text, status=status, earlier=earlier, now=now)
    if last.lost and (left := _pause(last) - (now - (last.ended or last.created)).total_seconds()) > 0:
        return Preparation(earlier, Blocked(PREPARING_ENVIRONMENT, f"{last.lost}; another one follows"), False, left)
    begun = _begun(seen, provision, settings, number=number)
    return replace(begun, actions=(*earlier, *begun.actions, *_deleted([last], now=now)))


def _begun(seen: ObservedEnvironment, provision: PodRequirements, settings: Settings, *, number: int) -> Preparation:
    packages = () if seen.has_packages else (Ensure(packages_map(seen.owner, seen.packed)),)
    pod = builder_pod(seen.owner, seen.packed, provision, settings, number)
    text = f"creating pod {names.builder(seen.packed.key, number)}, which installs {_contents(seen.packed)}"
    return Preparation((*packages, Create(pod)), Blocked(PREPARING_ENVIRONMENT, text))


def _after_failure(
    last: Builder, text: str, *, status: ResourceStatus | None, earlier: tuple[Action, ...], now: datetime
) -> Preparation:
    """Fail a step that has waited for the builder; for a later step, delete the builder, and another one follows."""
    succeeded = status.condition("Succeeded") if status else None
    ended = last.ended or last.created
    if succeeded is not None and succeeded.status == "Unknown" and ended >= succeeded.last_transition_time:
        return Preparation(earlier, Blocked(ENVIRONMENT_FAILED, text), is_final=True)
    text = f"waiting for the end of pod {last.name}, which has failed before; another one follows"
    return Preparation((*earlier, *_deleted([last], now=now)), Blocked(PREPARING_ENVIRONMENT, text), False, _SOON)


def _pause(last: Builder) -> float:
    return float(min(_LONGEST_PAUSE, _PAUSE * 2 ** (last.index or 0)))


def _deleted(builders: Iterable[Builder], *, now: datetime) -> Iterator[Delete]:
    for each in builders:
        if not each.leaving or is_overdue(each, now=now):
            yield Delete("Pod", each.name, each.uid, at_once=each.leaving)


def _activity(packed: PackedEnvironment, builder: Builder, *, now: datetime) -> str:
    """Return what a builder does, and for how long: coarsely, so that the status changes rarely."""
    doing = {
        FIND: "looks for an earlier build",
        INSTALL: f"is installing {_contents(packed)}",
        PUBLISH: "is uploading what it installed",
    }.get(builder.stage, "starts")
    elapsed = max(0.0, (now - builder.created).total_seconds())
    passed = f"{elapsed // _LOOK * _LOOK:.0f} s" if elapsed < _STEADY else f"{elapsed // 60:.0f} min"
    return f"pod {builder.name} {doing} (for {passed})"


def _contents(packed: PackedEnvironment) -> str:
    count = len(packed.packages.requirements)
    return f'the {count} {"package" if count == 1 else "packages"} of Environment "{packed.name}"'


def _failure(install: Mapping[str, Any] | None) -> str | None:
    """Return why packages cannot be installed; None if they can, or if another try may succeed."""
    if install is None or install.get("exitCode") == 0:
        return None
    message = " ".join(str(install.get("message", "")).split())
    if install.get("reason") == "OOMKilled":
        return "the installation was killed because memory ran out; raise builderMemoryLimit in the chart's values"
    if install.get("reason") in _NEVER_STARTED:
        return f"the interpreter of the image cannot be started: {message}"
    return message if install.get("exitCode") == _FAILED and message else None


def _loss(pod: Pod, ended: Mapping[str, Mapping[str, Any]]) -> str:
    """Return why a builder ended without a result, as far as the cluster reports it."""
    words = [" ".join(str(each.get("message", "")).split()) for each in ended.values() if each.get("exitCode")]
    why = ": ".join(filter(None, [pod.reason, pod.message])) or "; ".join(filter(None, words)) or "no reason reported"
    return f"pod {pod.name} ended without a result ({why.rstrip('.')})"


def _end(ended: Iterable[Mapping[str, Any]]) -> datetime | None:
    found = (each.get("finishedAt") for each in ended)
    return max((datetime.fromisoformat(each) for each in found if each), default=None)


def _owner(raw: Manifest) -> Subject | None:
    found = controller(raw["metadata"])
    return Subject(found["kind"], raw["metadata"]["namespace"], found["name"], found["uid"]) if found else None


def _subject(raw: Manifest) -> Subject:
    metadata = raw["metadata"]
    return Subject(raw["kind"], metadata["namespace"], metadata["name"], metadata["uid"])
