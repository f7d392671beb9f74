"""A control plane, simulators and the operator, and what is measured while steps run."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import workload
from api_server import ApiServer, connected
from coordinators import TICKS
from lag import Lags, Shown, lags
from localcluster import cluster
from localcluster.places import Places, places
from processes import HERE, Operator, Usage, cores, running, running_operator

MUTE = "mute-"  # the names of steps whose coordinators never answer
_SETTLE = 15.0  # seconds from the last start to the begin of a window
_TAIL = 30.0  # seconds at most that the watch goes on for the last moments of a window
_MORE = 3  # steps that are started while others run
_PARTS = ("operator", "apiserver", "etcd", "kubelets", "coordinators", "measurement")


@dataclass(frozen=True)
class Settings:
    """What is measured, and how."""

    window: float  # seconds
    patience: float  # seconds until steps that do not run are left behind
    delay: float  # seconds from a pod's creation to running
    failing: int  # percent of the pods
    log: Path  # of the operator


@dataclass
class Measured:
    """One column of the report. Rates are those of the window."""

    healthy: int
    mute: int
    window: float
    running: int = 0  # healthy steps with a first snapshot, when patience ended
    running_after: float = 0.0  # seconds
    start_cpu: float = 0.0  # seconds of the operator's CPU for each step that was added
    lags: Lags = field(default_factory=Lags)
    cpu: dict[str, float] = field(default_factory=dict)  # part -> seconds in the window
    memory: int = 0  # bytes
    reconciles: int = 0
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)  # verb, kind -> in the window
    first_pod: list[float] = field(default_factory=list)  # seconds from the creation of one more step
    all_pods: list[float] = field(default_factory=list)
    load: float = 0.0

    @property
    def steps(self) -> int:
        return self.healthy + self.mute


class StatusWatch:
    """The snapshots that a watch on ParallelRunSteps shows."""

    def __init__(self, epoch: float) -> None:
        self._epoch = epoch
        self.snapshots: dict[str, list[Shown]] = defaultdict(list)
        self.reported: set[str] = set()  # names of steps with a status

    async def follow(self, api: ApiServer) -> None:
        """Watch for ever."""
        async for _, step in api.watch(workload.STEPS):
            visible, name, status = time.time(), step["metadata"]["name"], step.get("status")
            if status:
                self.reported.add(name)
                taken = self._epoch + status.get("progress", {}).get("miniBatches", {}).get("succeeded", 0) / TICKS
                shown = self.snapshots[name]
                if taken > (shown[-1].taken if shown else self._epoch):
                    shown.append(Shown(taken, visible))

    async def has_shown(self, names: Collection[str], *, since: float) -> bool:
        """Tell whether every one of these steps has shown a snapshot that was taken since then."""
        return all(self.snapshots[name] and self.snapshots[name][-1].taken >= since for name in names)

    def forget(self, names: Collection[str]) -> None:
        """Forget what was shown of these steps before."""
        for name in names:
            del self.snapshots[name][:-1]


class Scenario:
    """A cluster with running simulators and a running operator."""

    def __init__(
        self, api: ApiServer, watch: StatusWatch, operator: Operator, pids: dict[str, int], settings: Settings
    ):
        self._api = api
        self._watch = watch
        self._operator = operator
        self._pids = pids
        self._settings = settings
        self._more = 0

    async def measure(self, healthy: int, mute: int = 0) -> Measured:
        """Add steps until there are so many, wait until they run, and measure a window of their lives."""
        found = Measured(healthy, mute, self._settings.window)
        names, muted = [f"step-{number:05}" for number in range(healthy)], [f"{MUTE}{n:05}" for n in range(mute)]
        await self._start(found, names, muted)
        await asyncio.sleep(_SETTLE)
        await self._observe(found, names)
        for _ in range(_MORE):
            if not await self._one_more(found):
                break  # the next one would wait as long
        return found

    async def _start(self, found: Measured, names: Sequence[str], muted: Sequence[str]) -> None:
        added = [name for name in (*muted, *names) if name not in self._watch.reported]
        _log(f"starting {len(added)} steps beside {found.steps - len(added)}")
        before, began = self._operator.usage().cpu, time.monotonic()
        await workload.submit(self._api, added)
        while time.monotonic() - began < self._settings.patience:
            found.running = sum(bool(self._watch.snapshots[name]) for name in names)
            if found.running == len(names) and self._watch.reported.issuperset(muted):
                break
            self._operator.is_ready()  # raises when it has ended
            await asyncio.sleep(0.5)
        found.running_after = time.monotonic() - began
        found.start_cpu = (self._operator.usage().cpu - before) / max(1, len(added))
        _log(f"{found.running} of {len(names)} healthy steps run after {found.running_after:.0f} s")

    async def _observe(self, found: Measured, names: Sequence[str]) -> None:
        self._watch.forget(names)
        usage, requests = self._usage(), self._operator.requests()
        reconciles, begin = self._operator.reconciles(), time.time()
        await asyncio.sleep(self._settings.window)
        end = time.time()
        found.window = end - begin
        found.load = os.getloadavg()[0]
        after = self._usage()
        found.cpu = {part: after[part].cpu - usage[part].cpu for part in after}
        found.memory = after["operator"].memory
        found.requests = self._operator.requests() - requests
        found.reconciles = self._operator.reconciles() - reconciles
        with suppress(TimeoutError):
            async with asyncio.timeout(_TAIL):
                await workload.eventually(partial(self._watch.has_shown, names, since=end))
        shown = [self._watch.snapshots[name] for name in names]
        found.lags = lags(shown, begin=begin, end=end, watched_until=time.time())

    async def _one_more(self, found: Measured) -> bool:
        """Measure from the creation of a step to that of its first and of its last pod; return whether they came."""
        self._more += 1
        name = f"more-{self._more:05}"
        began = time.monotonic()
        await workload.submit(self._api, [name])
        pods: set[str] = set()
        try:
            async with asyncio.timeout(self._settings.patience):
                async for _, pod in self._api.watch(workload.PODS, f"longshore.dev/step={name}"):
                    if not pods:
                        found.first_pod.append(time.monotonic() - began)
                    pods.add(pod["metadata"]["name"])
                    if len(pods) == workload.PODS_OF_STEP:
                        break
        except TimeoutError:
            _log(f"{name} has {len(pods)} of {workload.PODS_OF_STEP} pods after {self._settings.patience:.0f} s")
        found.all_pods.append(time.monotonic() - began)
        if not pods:
            found.first_pod.append(found.all_pods[-1])
        return len(pods) == workload.PODS_OF_STEP

    def _usage(self) -> dict[str, Usage]:
        return {part: Usage.of(self._pids[part]) for part in _PARTS}


@asynccontextmanager
async def scenario(settings: Settings) -> AsyncIterator[Scenario]:
    """Start everything; end and remove all of it afterwards, and what a killed measurement left before."""
    place = _place()
    cluster.down(place)
    try:
        cluster.up(place, with_node=False)
        cluster.hold(place, "scheduler")  # without a node it would only report that pods have none
        epoch = time.time()
        async with connected(place.kubeconfig) as api, asyncio.TaskGroup() as tasks:
            await workload.install(api)
            await workload.prepare(api)
            cluster.hold(place, "controller-manager")  # its share of the CPU is no part of the question
            with ExitStack() as stack:
                pids = {"measurement": os.getpid()}
                pids |= {part: cluster.pid(place, part) for part in ("apiserver", "etcd")}
                for program, arguments in {
                    "kubelets": ["--delay", str(settings.delay), "--failing", str(settings.failing)],
                    "coordinators": ["--epoch", str(epoch), "--mute", MUTE],
                }.items():
                    command = [sys.executable, str(HERE / f"{program}.py"), "--kubeconfig", str(place.kubeconfig)]
                    log = place.logs / f"{program}.log"
                    process = stack.enter_context(running([*command, *arguments], log, core=cores()[1]))
                    pids[program] = process.pid
                operator = stack.enter_context(running_operator(place.kubeconfig, settings.log))
                pids["operator"] = operator.process.pid
                await workload.eventually(partial(asyncio.to_thread, operator.is_ready))
                _log(f"the operator is ready, as process {operator.process.pid}; its log is {settings.log}")
                watch = StatusWatch(epoch)
                following = tasks.create_task(watch.follow(api))
                yield Scenario(api, watch, operator, pids, settings)
                following.cancel()
    finally:
        cluster.down(place)


def _place() -> Places:
    """Return the places of a cluster of its own, beside the checkout's."""
    state = places().state
    return Places(state.with_name(f"{state.name}-bench-operator"))


def _log(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
