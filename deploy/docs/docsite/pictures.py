"""The pictures of the documentation: `python -m docsite.pictures docs/pictures` draws them again."""

from __future__ import annotations

import sys
from pathlib import Path

from docsite.drawing import Drawing


def pictures() -> dict[str, Drawing]:
    """Return each picture by the name of its file, without `.svg`."""
    return {
        "layers": _layers(),
        "parts": _parts(),
        "local-run": _local_run(),
        "life": _life(),
        "epochs": _epochs(),
        "reuse": _reuse(),
        "operator": _operator(),
        "pods": _pods(),
    }


def write(folder: Path) -> None:
    """Write all pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, drawing in pictures().items():
        (folder / f"{name}.svg").write_text(drawing.svg())


def _layers() -> Drawing:
    it = Drawing("Layers, from your manifest and script down to the stores", 760, 432)
    rows = (
        ("What you write", "yours", ("manifest, entry script",)),
        ("Kinds", "ours", ("longshore_api", "models, checks, definitions")),
        ("Plan", "ours", ("longshore_planner", "manifests to a Job, snapshots to statuses")),
        ("Control", "ours", ("longshore_cli", "on this machine"), ("longshore_operator", "on Kubernetes")),
        ("One per run", "ours", ("longshore_coordinator", "plan, leases, ledger, verdict, output")),
        ("One per worker", "ours", ("longshore_agent", "leases, data, rows"), ("longshore_host", "processes")),
        ("Data", "store", ("inputs",), ("run folder", "ledger, segments, logs"), ("output",)),
    )
    top = 8
    for label, owner, *boxes in rows:
        it.label(130, top + 29, label, anchor="end")
        width = (610 - 10 * (len(boxes) - 1)) / len(boxes)
        for number, lines in enumerate(boxes):
            it.box(145 + number * (width + 10), top, width, 48, *lines, of=owner)
        top += 61
    return it


def _parts() -> Drawing:
    it = Drawing("The parts of one run: coordinator, agent, host, processes, and the stores between them", 760, 380)
    it.box(250, 10, 280, 48, "longshore run, or the operator", of="ours")
    it.group(20, 100, 250, 110, "one per run")
    it.box(40, 130, 210, 64, "coordinator", "plan, leases, ledger", "verdict, output")
    it.group(400, 100, 345, 260, "one per worker")
    it.box(420, 130, 130, 64, "agent", "feeds processes", "writes rows")
    it.box(420, 285, 130, 60, "host", "starts, watches", "and kills")
    it.box(620, 130, 110, 215, "processes", "your init()", "and run()", of="yours")
    it.box(20, 285, 260, 60, "stores", "inputs, ledger, segments, output", of="store")
    it.arrow([(330, 58), (200, 98)], "starts", (225, 80))
    it.arrow([(430, 58), (540, 98)], "starts", (535, 80))
    it.arrow([(250, 162), (420, 162)], "HTTP: leases,|reports", (335, 130), both=True)
    it.arrow([(550, 150), (620, 150)], "mini-batches", (650, 120))
    it.arrow([(620, 178), (550, 178)], "rows", (586, 196))
    it.arrow([(485, 285), (485, 194)], "exits", (508, 245))
    it.arrow([(550, 315), (620, 315)], "spawns", (585, 307))
    it.arrow([(130, 194), (130, 285)], "lists, commits,|assembles", (185, 238), both=True)
    it.arrow([(420, 185), (340, 250), (270, 300)], "inputs,|segments", (340, 305), both=True)
    return it


def _local_run() -> Drawing:
    it = Drawing("Processes of a local run, and who ends with whom", 760, 250)
    it.box(20, 30, 215, 70, "longshore run", "the coordinator, with", "HTTP on 127.0.0.1")
    it.box(300, 10, 190, 48, "agent of worker-0", "restarted when it dies")
    it.box(300, 80, 190, 48, "host of worker-0", "restarted when it dies")
    it.box(570, 60, 170, 40, "process000", of="yours")
    it.box(570, 110, 170, 40, "process001", of="yours")
    it.box(300, 175, 190, 48, "agent and host", "of worker-1, and so on")
    it.arrow([(235, 50), (310, 36)])
    it.arrow([(235, 75), (310, 100)])
    it.arrow([(150, 100), (150, 200), (310, 200)])
    it.arrow([(490, 98), (570, 80)])
    it.arrow([(490, 110), (570, 130)])
    it.label(20, 225, "An arrow starts a process, and|ends it when its own end comes.", anchor="start")
    return it


def _life() -> Drawing:
    it = Drawing("The life of a mini-batch: waiting, leased, then done or failed", 760, 230)
    it.box(20, 70, 110, 50, "inputs", of="store")
    it.box(230, 70, 120, 50, "WAITING")
    it.box(450, 70, 120, 50, "LEASED")
    it.box(655, 20, 95, 50, "DONE", of="yours")
    it.box(655, 125, 95, 50, "FAILED", of="bad")
    it.arrow([(130, 95), (230, 95)], "cut")
    it.arrow([(350, 95), (450, 95)], "grant:|attempt + 1", (400, 70))
    it.arrow([(570, 85), (655, 50)], "rows committed", (585, 38))
    it.arrow([(570, 105), (655, 145)], "no try left", (590, 148))
    it.arrow(
        [(510, 120), (510, 190), (290, 190), (290, 120)],
        "fail with tries left, defer, release, expire",
        (400, 212),
    )
    return it


def _epochs() -> Drawing:
    it = Drawing(
        "Two coordinators of one run: what the first wrote after the second listed the ledger is void", 760, 290
    )
    it.label(20, 62, "coordinator A", anchor="start")
    it.label(20, 78, "epoch 1", anchor="start")
    it.label(20, 212, "coordinator B", anchor="start")
    it.label(20, 228, "epoch 2", anchor="start")
    it.box(140, 40, 130, 50, "ledger 1-1", "mini-batches 0, 1", of="store")
    it.box(290, 40, 130, 50, "ledger 1-2", "mini-batch 2", of="store")
    it.box(480, 40, 130, 50, "ledger 1-3", "void", of="bad")
    it.box(640, 40, 105, 50, "stops", "Superseded", of="bad")
    it.box(210, 195, 210, 50, "claims epoch 2, lists", "the ledger of epoch 1")
    it.box(450, 195, 140, 50, "ledger 2-1", "took over: 2", of="store")
    it.box(610, 195, 135, 50, "ledger 2-2", "mini-batch 3", of="store")
    it.arrow([(270, 65), (290, 65)])
    it.arrow([(420, 65), (480, 65)])
    it.arrow([(610, 65), (640, 65)])
    it.arrow([(420, 220), (450, 220)])
    it.arrow([(590, 220), (610, 220)])
    it.arrow([(205, 90), (280, 195)])
    it.arrow([(355, 90), (340, 195)], "taken over", (300, 130))
    it.arrow([(520, 195), (545, 90)], "after every flush, A looks|for a higher epoch", (640, 130))
    it.label(380, 275, "Time goes from left to right. Each yellow box is an object that was created only if absent.")
    return it


def _reuse() -> Drawing:
    it = Drawing(
        "Reuse in a pipeline: a step whose code changed runs again, and so does all that reads its outputs", 760, 220
    )
    it.label(20, 55, "run 1", anchor="start")
    it.label(20, 155, "run 2, after", anchor="start")
    it.label(20, 171, "train.py changed", anchor="start")
    for top, states in ((25, ("ran", "ran", "ran")), (125, ("reused", "code: train.py changed", "train ran again"))):
        for number, (name, state) in enumerate(zip(("prepare", "train", "score"), states, strict=True)):
            owner = "yours" if state == "reused" else "ours"
            it.box(150 + 205 * number, top, 170, 56, name, state, of=owner)
        it.arrow([(320, top + 28), (355, top + 28)])
        it.arrow([(525, top + 28), (560, top + 28)])
    it.arrow([(235, 81), (235, 125)], "same fingerprint", (300, 107))
    return it


def _operator() -> Drawing:
    it = Drawing("The operator's loop, from watches to statuses", 760, 330)
    it.box(20, 20, 150, 56, "API server", "resources, pods", of="cluster")
    it.box(225, 20, 140, 56, "watches", "lists and events")
    it.box(420, 20, 150, 56, "store", "newest versions")
    it.box(620, 20, 125, 56, "queue", "kind and name")
    it.box(620, 145, 125, 56, "observe", "plain values")
    it.box(420, 145, 150, 56, "decide", "pure: a plan")
    it.box(225, 145, 140, 56, "actions", "safe to repeat")
    it.box(20, 145, 150, 56, "status, events", "once, if changed")
    it.box(420, 255, 150, 56, "poller", "snapshots")
    it.box(620, 255, 125, 56, "coordinators", "one per run", of="ours")
    it.arrow([(170, 48), (225, 48)])
    it.arrow([(365, 48), (420, 48)])
    it.arrow([(570, 48), (620, 48)], "wake")
    it.arrow([(682, 76), (682, 145)], "reconcile", (715, 115))
    it.arrow([(620, 173), (570, 173)])
    it.arrow([(420, 173), (365, 173)])
    it.arrow([(225, 173), (170, 173)])
    it.arrow([(95, 145), (95, 76)])
    it.arrow([(270, 145), (150, 76)])
    it.arrow([(330, 145), (450, 76)], "answers to own writes", (300, 100))
    it.arrow([(620, 283), (570, 283)])
    it.arrow([(520, 255), (640, 201)], "latest snapshot", (505, 228))
    return it


def _pods() -> Drawing:
    it = Drawing("The pods of a step, and which container has which credentials", 760, 330)
    it.group(20, 10, 220, 205, "coordinator pod")
    it.box(40, 45, 180, 150, "coordinator", "Longshore's image", "run's token", "certificate", "stores' credentials")
    it.group(330, 10, 410, 205, "worker pod")
    it.box(350, 45, 170, 150, "agent", "Longshore's image", "run's token", "stores' credentials")
    it.box(
        550,
        45,
        170,
        150,
        "main",
        "your image, your code",
        "no token",
        "no credentials",
        "its data, read-only",
        of="yours",
    )
    it.box(140, 255, 480, 56, "stores and volumes", "inputs, outputs, run folder", of="store")
    it.arrow([(220, 110), (350, 110)], "HTTPS,|token", (285, 84), both=True)
    it.arrow([(520, 125), (550, 125)], both=True)
    it.label(535, 38, "unix socket")
    it.arrow([(180, 195), (180, 255)], both=True)
    it.arrow([(420, 195), (420, 255)], both=True)
    it.arrow([(600, 195), (600, 255)], "volumes|only", (640, 228))
    return it


if __name__ == "__main__":
    write(Path(sys.argv[1]))
