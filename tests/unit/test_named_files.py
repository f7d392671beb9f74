"""Downloads that scripts request by name: shared, resumed, retried, and bounded by the disk."""

import asyncio
import contextlib
import os
import threading
from pathlib import Path

import pytest
from named_store import ASSETS, STORE, fill

from longshore_agent import named_files
from longshore_agent.named_files import NamedFiles
from longshore_agent.named_operations import NamedOperations
from longshore_agent.requests import Parameters, RequestError
from longshore_protocol.catalogue import pack
from longshore_protocol.job import Datastore as Usable
from longshore_protocol.script_job import ScriptJob


def operations(tmp_path, *, patience=5.0):
    """Return the files and the operations of an agent, for a test on its own loop."""
    fill()
    job = ScriptJob("step", "run-1", f"{STORE}/longshore/run-1", "/code", "s.py", datastores=(Usable("bucket", STORE),))
    job = ScriptJob(**{**vars(job), "catalogue": pack(ASSETS, ["bucket"])})
    files = NamedFiles(str(tmp_path / "named"), patience=patience)
    return files, NamedOperations(job, files, exchange=str(tmp_path)).by_name()


@pytest.fixture
def fetches(monkeypatch):
    """The URLs that are downloaded, in order."""
    found, fetch = [], named_files.fetch_file_to

    def noted(uri, target, *, check):
        found.append(uri)
        fetch(uri, target, check=check)

    monkeypatch.setattr(named_files, "fetch_file_to", noted)
    return found


def text(paths):
    [path] = paths
    return Path(path).read_text()


async def fetch(made, name, **more):
    values = {"name": name, **more}
    return (await made["fetch-model"](Parameters("fetch-model", values)))["paths"]


def test_processes_that_ask_at_once_share_one_download(tmp_path, fetches):
    async def scenario():
        files, made = operations(tmp_path)
        found = await asyncio.gather(*(fetch(made, "digits") for _ in range(20)))
        assert {tuple(each) for each in found} == {(str(tmp_path / "named/model/digits-2/folder"),)}
        assert sorted(fetches) == [f"{STORE}/models/2/a.bin", f"{STORE}/models/2/sub/b.bin"]
        assert await fetch(made, "digits") == found[0]
        assert len(fetches) == 2
        await files.close()

    asyncio.run(scenario())


def test_one_that_gives_up_leaves_the_download_to_the_others(tmp_path, monkeypatch):
    async def scenario():
        files, made = operations(tmp_path)
        begun, go_on, real = threading.Event(), threading.Event(), named_files.fetch_file_to

        def slow(uri, target, *, check):
            begun.set()
            go_on.wait(10)
            real(uri, target, check=check)

        monkeypatch.setattr(named_files, "fetch_file_to", slow)
        first, second = (asyncio.create_task(fetch(made, "digits", version=1)) for _ in range(2))
        await asyncio.to_thread(begun.wait, 10)
        assert not (tmp_path / "named/model").exists()  # nothing is visible before it is complete
        first.cancel()
        go_on.set()
        assert text(await second) == "old"
        with contextlib.suppress(asyncio.CancelledError):
            await first
        await files.close()

    asyncio.run(scenario())


def test_a_later_agent_goes_on_with_complete_copies_and_deletes_the_others(tmp_path, fetches):
    async def scenario():
        files, made = operations(tmp_path)
        path = await fetch(made, "digits", version=1)
        await files.close()
        left = tmp_path / "named/unfinished/1-1/folder"
        left.mkdir(parents=True)
        (left / "half").write_text("half")
        again, made = operations(tmp_path)
        assert not left.exists()
        assert await fetch(made, "digits", version=1) == path
        assert len(fetches) == 1
        await again.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("failures", [1, 3])
def test_a_store_that_fails_for_a_while_delays_the_answer(tmp_path, monkeypatch, failures):
    async def scenario():
        files, made = operations(tmp_path)
        monkeypatch.setattr(named_files, "_FIRST_PAUSE", 0.001)
        noted, left, real = [], [failures], named_files.fetch_file_to
        files.failing = lambda origin, message: noted.append((origin, message))

        def failing(uri, target, *, check):
            if left[0]:
                left[0] -= 1
                raise ConnectionResetError(104, "reset by peer")
            real(uri, target, check=check)

        monkeypatch.setattr(named_files, "fetch_file_to", failing)
        assert text(await fetch(made, "digits", version=1)) == "old"
        assert len(noted) == failures
        origin, message = noted[0]
        assert origin == "input"
        assert message.startswith('Model "digits" version 1 in Datastore "bucket" cannot be downloaded: ')
        assert os.listdir(tmp_path / "named/unfinished") == []
        await files.close()

    asyncio.run(scenario())


def test_a_store_that_fails_for_too_long_is_an_error_that_names_the_model(tmp_path, monkeypatch):
    async def scenario():
        files, made = operations(tmp_path, patience=0.0)

        def failing(*_, **__):
            raise ConnectionResetError(104, "reset by peer")

        monkeypatch.setattr(named_files, "fetch_file_to", failing)
        with pytest.raises(
            RequestError, match=r'version 1 in Datastore "bucket" cannot be downloaded: .*reset'
        ) as error:
            await fetch(made, "digits", version=1)
        assert error.value.category == "failed"
        await files.close()

    asyncio.run(scenario())


def test_what_does_not_fit_on_the_disk_is_refused_before_it_is_downloaded(tmp_path, monkeypatch, fetches):
    async def scenario():
        monkeypatch.setenv("LONGSHORE_SPACE", "16")  # half of it for requested files
        files, made = operations(tmp_path)
        await fetch(made, "digits", version=1)
        with pytest.raises(
            RequestError,
            match=r'version 2 in Datastore "bucket" has 0\.0 MiB, and 0\.0 MiB of',
        ) as error:
            await fetch(made, "digits")
        assert "free some disk space, or on a cluster raise scratchSizeLimit" in str(error.value)
        assert len(fetches) == 1
        await files.close()

    asyncio.run(scenario())
