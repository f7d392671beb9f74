"""A cluster in memory whose pods survey the code and inputs of PipelineRuns."""

import json
from dataclasses import dataclass
from uuid import uuid4

import pytest
from runs import AROUND, RunWorld, script
from world import Crash, kind

from longshore_operator.cluster.api import Conflict
from longshore_storage.store import open_store


@dataclass
class SurveyWorld(RunWorld):
    """Sources and inputs lie in stores in memory."""

    def __post_init__(self):
        super().__post_init__()
        self.base = f"memory://{uuid4()}"
        self.code, self.data = open_store(f"{self.base}/code"), open_store(f"{self.base}/data")
        for name in ("prepare", "train", "compare"):
            self.code.put(f"{name}.py", f"print({name!r})".encode())
        self.code.put("lib/util.py", b"x = 1")
        self.data.put("in/a.png", b"1")

    @property
    def around(self):
        return (kind("Datastore", "data", uri=self.data.uri, default=True), AROUND[0], *AROUND[2:])

    @property
    def chain(self):
        source = {"uri": self.code.uri}
        return script("prepare", source=source), script("train", "prepare", source=source)

    def begin(self, *steps, name="nightly", **more):
        self.submit(*(steps or self.chain), name=name, around=self.around, **more)

    def frozen(self, step, name="nightly"):
        return json.loads(self.kube.of("ConfigMap")[f"{name}-{step}-task"]["data"]["run.json"])


@pytest.fixture
def world():
    return SurveyWorld()


def text_of(place, name):
    return open_store(place).get(name).decode()


def failed(world, *steps):
    world.ends = {"train": "ScriptFailed"}
    world.begin(*steps)
    world.run()
    world.ends = {}


def lived(world, name="nightly"):
    for _ in range(80):
        try:
            world.reconcile(name)
        except Crash:
            world.reconciler = world.operator()
            continue
        except Conflict:  # as the queue would, when a watch has yet to tell of something
            pass
        if world.condition("Finished", name).get("status") == "True":
            break
        world.tick()
    world.reconcile(name)
    return world
