"""A stager that works in a folder of the test's own."""

import asyncio

import pytest
from stager_bench import Outcomes

from longshore_agent import stager
from longshore_agent.stager import Stager
from longshore_protocol.job import Input


@pytest.fixture
def staging(tmp_path):
    """Return a function that runs `body(stager, outcomes)` on an event loop, with a stager in tmp_path/inputs."""

    def run(body, table=None):
        async def main():
            outcomes = Outcomes()
            made = Stager([Input("given", ("memory://given",), tabular=table)], str(folder), callbacks=outcomes)
            try:
                return await body(made, outcomes)
            finally:
                await made.close()
                assert not folder.exists()

        folder = tmp_path / "inputs"
        return asyncio.run(main())

    return run


@pytest.fixture
def hurried(monkeypatch):
    """Let no time pass between tries."""
    monkeypatch.setattr(stager.retrying, "pause", lambda *_: 0.0)
