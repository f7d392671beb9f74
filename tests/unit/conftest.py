"""What tests of runs, of the agent's worker and of the planner's resolving share."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes import JOB, SPEC
from manifests import resource
from peers import PROCESS, Peer
from resolving import STEP, Resolve
from run_bench import Bench

from longshore_agent.worker import Worker
from longshore_api import InvalidDocuments
from longshore_planner.documents import load
from longshore_planner.resolve import Resolved, resolve
from longshore_protocol import messages
from longshore_storage.store import LocalStore


@pytest.fixture
def store(tmp_path):
    return LocalStore(str(tmp_path / "run"))


@pytest.fixture
def bench(store):
    """A run of some mini-batches."""
    return Bench(store)


@pytest.fixture
def child():
    return Peer()


@pytest.fixture
def worker(child):
    """A worker whose only process is past init()."""

    async def make():
        made = Worker(JOB, SPEC, agent="worker-0.1.a")
        made.host_connected(Peer())
        made.reconcile()
        assert made.child_connected(child, PROCESS)
        made.child_message(PROCESS, [messages.READY, 0.1], b"")
        made.reconcile()
        return made

    return asyncio.run(make())


@pytest.fixture
def resolved(tmp_path: Path) -> Resolve:
    """Resolve a step, given by its spec and other documents, from a file in `tmp_path`."""

    def resolve_step(*others: dict[str, Any], cores: int = 4, sample: int | None = None, **spec: Any) -> Resolved:
        step = resource("ParallelRunStep", "digits", {**STEP, **spec})
        path = tmp_path / "steps.yaml"
        path.write_text(yaml.safe_dump_all([step, *others]))
        return resolve(load([path]), run_uri="/runs/1", run_id="r1", cores=cores, sample=sample)

    return resolve_step


@pytest.fixture
def problems(resolved: Resolve) -> Callable[..., list[str]]:
    def problems_of_step(*others: dict[str, Any], **spec: Any) -> list[str]:
        with pytest.raises(InvalidDocuments) as caught:
            resolved(*others, **spec)
        return [f"{each.path} {each.text}" for each in caught.value.problems]

    return problems_of_step
