"""Up, down, and what is there."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from localcluster import components, images, machine
from localcluster.api import Api
from localcluster.binaries import binaries, named, release_in
from localcluster.pki import write_pki
from localcluster.places import Places, Record, locked, read_record, write_record
from localcluster.processes import Problem, wait_until
from localcluster.sandbox import connect, disconnect, make_cgroups, pid_of, remove_cgroups, start_keeper

PATIENCE = 120.0  # seconds: far more than any part needs, on a busy machine too


def up(place: Places, *, with_node: bool) -> Record:
    """Start a cluster, or return the one that runs."""
    machine.need_root()
    machine.have({**machine.CLUSTER, **machine.NODE} if with_node else machine.CLUSTER)
    found = binaries()
    with locked(place.state):
        if (record := read_record(place)) and record.keeper.is_alive() and record.ready:
            if with_node and not record.with_node:
                raise Problem("a cluster without a node is up: `cluster down` first")
            _check_binaries(record)
            return record
        _clear(place)
        print(f"starting Kubernetes, in {place.state}", file=sys.stderr)
        try:
            return _start(place, found, with_node=with_node)
        except BaseException as error:
            logs = "".join(_last_words(place)) if isinstance(error, Problem) else ""
            _clear(place)
            if logs:
                raise Problem(f"{error}\n{logs}") from error
            raise


def down(place: Places) -> bool:
    """End the cluster and remove its files; return whether there was one."""
    with locked(place.state):
        there = place.state.exists()
        if there:
            machine.need_root()
            _clear(place)
        return there


def running(place: Places) -> Record:
    """Return the record of the cluster that runs; Problem if none does, or one of other binaries than KUBE_BIN's."""
    record = read_record(place)
    if not record or not record.keeper.is_alive() or not record.ready:
        raise Problem("no cluster is up: `cluster up` first")
    _check_binaries(record)
    return record


def takes_images(place: Places) -> bool:
    """Whether a cluster with a node runs."""
    record = read_record(place)
    return record is not None and record.keeper.is_alive() and record.ready and record.with_node


def states(place: Places) -> dict[str, str]:
    """Return what each component does: running, held or restarting."""
    running(place)
    names = sorted(each.stem for each in place.components.glob("*.json"))
    return {name: _state(place, name) for name in names}


def hold(place: Places, name: str) -> None:
    """Kill a component and keep it from running."""
    _known(place, name)
    (place.held / name).touch()
    wait_until(lambda: not (place.running / name).exists(), f"{name} to end", seconds=PATIENCE)


def release(place: Places, name: str) -> None:
    """Let a component run again."""
    _known(place, name)
    (place.held / name).unlink(missing_ok=True)
    wait_until((place.running / name).exists, f"{name} to start", seconds=PATIENCE)


def pid(place: Places, name: str) -> int:
    """Return the machine's id of a component's process."""
    _known(place, name)
    record = running(place)
    with suppress(OSError, ValueError):
        if (found := pid_of(record.keeper, int((place.running / name).read_text()))) is not None:
            return found
    raise Problem(f"{name} does not run")


def _check_binaries(record: Record) -> None:
    chosen = named()
    if chosen is not None and record.binaries != str(chosen):
        kept = record.binaries or "other binaries"
        raise Problem(f"KUBE_BIN names {chosen}, but the cluster that is up runs {kept}: `cluster down` first")


def _start(place: Places, found: Path, *, with_node: bool) -> Record:
    of = release_in(found)
    place.state.mkdir(parents=True, exist_ok=True)
    place.mark.touch()
    for folder in (place.logs, place.components, place.held, place.running, place.state / "cni"):
        folder.mkdir(parents=True)
    keeper, begin = start_keeper(place)
    with begin:
        record = Record(keeper, 0, with_node, ready=False, binaries=str(found), release=str(of))
        write_record(place, record)  # from here on a later command finds and ends what was begun
        network = connect(place, keeper)
        write_pki(place, network)
        on = components.Setting(place, network, found, of)
        for name, text in components.files(on).items():
            (place.state / name).write_text(text)
        make_cgroups(place)
        begin.write(b"begin\n")
    _start_components(place, on, with_node=with_node)
    record = replace(record, network=network.number, ready=True)
    write_record(place, record)
    return record


def _start_components(place: Places, on: components.Setting, *, with_node: bool) -> None:
    api = Api(place, on.network)
    for name, command in components.control_plane(on).items():
        _wanted(place, name, command)
        if name == "apiserver":
            wait_until(api.is_ready, "the API server to be ready", seconds=PATIENCE)
    if with_node:
        for name, command in components.node(on).items():
            _wanted(place, name, command)
            if name == "containerd":
                images.load_pause(place)
        wait_until(api.node_is_ready, "the node to be ready", seconds=PATIENCE)
    wait_until(api.can_make_pods, "the default service account", seconds=PATIENCE)


def _wanted(place: Places, name: str, command: list[str]) -> None:
    new = place.components / f"{name}.new"
    new.write_text(json.dumps(command))
    new.replace(new.with_suffix(".json"))


def _clear(place: Places) -> None:
    """End whatever runs, and remove whatever is left of it.

    A cluster whose processes were killed leaves files and empty cgroups only: the kernel takes mounts, bridge and
    routes away with the namespace's last process.
    """
    if place.state.exists() and any(place.state.iterdir()) and not place.mark.exists():
        raise Problem(f"{place.state} is no cluster's folder: it is left as it is")
    if record := read_record(place):
        record.keeper.kill()
        wait_until(lambda: not record.keeper.is_alive(), "the cluster to end", seconds=PATIENCE)
    disconnect(place)
    remove_cgroups(place)
    if place.state.exists():
        shutil.rmtree(place.state)


def _known(place: Places, name: str) -> None:
    names = states(place)
    if name not in names:
        raise Problem(f"{name} must be one of {', '.join(names)}")


def _state(place: Places, name: str) -> str:
    if (place.held / name).exists():
        return "held"
    return "running" if (place.running / name).exists() else "restarting"


def _last_words(place: Places) -> Iterator[str]:
    for log in sorted(place.logs.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-3:]
        yield "".join(f"{log.stem}: {line[:300]}\n" for line in lines)
