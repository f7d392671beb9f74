"""Inputs that lie elsewhere: what a process is handed, and what is left behind."""

import asyncio
import os
import threading

import pytest
from stager_bench import PATIENCE, lease, piece_of, read, remote, until

from longshore_agent import fetching
from longshore_agent.threads import Threads

# --- files -----------------------------------------------------------------------------------------------------------


def test_files_are_in_a_folder_of_their_mini_batch_under_their_own_names(staging, tmp_path):
    async def body(made, outcomes):
        for number in range(2):
            made.add(lease([remote(b"one", "a.png"), remote(b"two", "b.png")], number=number))
        folders = set()
        for _ in range(2):
            paths = piece_of((await outcomes.next())[0])
            assert [os.path.basename(path) for path in paths] == ["a.png", "b.png"]
            assert [*map(read, paths)] == [b"one", b"two"]
            assert all(os.path.isabs(path) and path.startswith(str(tmp_path)) for path in paths)
            folders.add(os.path.dirname(paths[0]))
        assert len(folders) == 2

    staging(body)


def test_files_of_one_name_do_not_meet(staging):
    async def body(made, outcomes):
        made.add(lease([remote(bytes([number]), "1") for number in range(3)]))
        paths = piece_of((await outcomes.next())[0])
        assert [os.path.basename(path) for path in paths] == ["1"] * 3
        assert [*map(read, paths)] == [b"\0", b"\1", b"\2"]

    staging(body)


def test_a_local_file_beside_remote_ones_stays_where_it_is(staging, tmp_path):
    async def body(made, outcomes):
        made.add(lease([str(tmp_path / "here.txt"), remote()]))
        assert piece_of((await outcomes.next())[0])[0] == str(tmp_path / "here.txt")

    staging(body)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("s3://bucket/folder/a b.png", "a b.png"),
        ("s3://bucket/what?.png", "what?.png"),
        ("https://host/folder/a%20b.png?signature=c/d", "a b.png"),
        ("http://host/", "file"),
    ],
)
def test_a_file_is_named_as_at_its_place(url, name):
    assert fetching.base_name(url) == name


def test_a_download_is_deleted_when_it_is_released(staging):
    async def body(made, outcomes):
        made.add(lease([remote()]))
        found, _ = await outcomes.next()
        folder = found.folder
        assert folder
        made.release(found)
        made.release(found)
        await until(lambda: not os.path.exists(folder))

    staging(body)


def test_what_an_agent_that_was_killed_left_is_deleted(staging, tmp_path):
    (tmp_path / "inputs" / "000000").mkdir(parents=True)
    (tmp_path / "inputs" / "000000" / "left.txt").touch()

    async def body(_made, _outcomes):
        assert list((tmp_path / "inputs").iterdir()) == []

    staging(body)


# --- threads ---------------------------------------------------------------------------------------------------------


def test_a_call_gives_what_its_function_gives_or_raises():
    async def main():
        threads = Threads(2)
        assert await threads.run(lambda: 3) == 3
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 // 0)
        assert await threads.run(threading.get_ident) != threading.get_ident()
        threads.end(PATIENCE)

    asyncio.run(main())


def test_a_call_that_is_cancelled_before_its_turn_is_never_made():
    async def main():
        threads, go, made = Threads(1), threading.Event(), []
        first = asyncio.create_task(threads.run(lambda: go.wait(PATIENCE)))
        second = asyncio.create_task(threads.run(lambda: made.append(2)))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        go.set()
        await first
        await threads.run(lambda: made.append(3))
        assert made == [3]
        threads.end(PATIENCE)

    asyncio.run(main())
