"""A volume that fills up in the middle of a step: the step waits, and completes once there is room."""

from pathlib import Path

import pytest
from claims import claim
from localcluster import cluster
from localcluster.processes import run
from steps import GROUP, ITEMS

SMALL, LARGE = "4m", "64m"
WIDTH = 200_000  # characters of a row: all rows are twice what the small volume holds
SCRIPT = f"""
import os, time

def run(mini_batch):
    return [row(path) for path in mini_batch]

def row(path):
    folder, name = os.path.split(path)
    while os.path.exists(folder + "/../limit") and int(name[:3]) >= int(open(folder + "/../limit").read()):
        time.sleep(0.02)
    return name.ljust({WIDTH}, ".")
"""


class Volume:
    """A file system of a size on the node, in a folder that only the cluster sees it in."""

    def __init__(self, place, folder):
        keeper = cluster.running(place).keeper.pid
        spaces = (f"--{each}=/proc/{keeper}/ns/{kind}" for each, kind in (("mount", "mnt"), ("pid", "pid")))
        self._enter, self._folder = ("nsenter", *spaces), folder
        self.root = Path(f"/proc/{keeper}/root{folder}")

    def mount(self, *options):
        run(*self._enter, "mount", "-t", "tmpfs", "-o", ",".join(options), "longshore-test", self._folder)

    def unmount(self):
        run(*self._enter, "umount", "--lazy", self._folder)


@pytest.fixture
def volume(place, namespace, tmp_path):
    """A claim called `small`, and its Datastore."""
    folder = tmp_path / "volume"
    folder.mkdir()
    made = Volume(place, folder)
    made.mount(f"size={SMALL}", "mode=2770", f"gid={GROUP}")
    name = claim(namespace, "small", folder)
    namespace.apply("Datastore", "small", uri="pvc:small")
    yield made
    namespace("delete", "persistentvolume", name, "--wait=false")
    made.unmount()


def test_a_step_whose_volume_fills_up_waits_and_completes_once_it_is_enlarged(steps, volume):
    steps.script("wide", SCRIPT)
    changes = {"source": {"configMap": "wide"}, "output": {"name": "rows", "datastore": "small"}, "nodeCount": 1}
    steps.submit(limit=5, **changes)
    steps.until_done(5)
    steps.let_on()
    steps.until(lambda: steps.condition()["reason"] == "WaitingForStorage")
    assert "waiting for the store: " in steps.condition()["message"]
    assert steps.condition("Finished")["status"] == "False"
    assert steps.done() < ITEMS

    volume.mount("remount", f"size={LARGE}")

    assert steps.finish()["status"] == "True", steps.condition()
    (output,) = volume.root.glob("longshore/score-*/rows/rows.txt")
    assert output.read_text() == "".join(f"{index:03d}.txt".ljust(WIDTH, ".") + "\n" for index in range(ITEMS))
    counts = steps.status()["progress"]["miniBatches"]
    assert (counts["succeeded"], counts["failed"], counts["retried"]) == (ITEMS, 0, 0)
