"""What staged inputs may take of the scratch volume, and who goes when that is too much."""

import asyncio
import json
from pathlib import Path
from uuid import uuid4

import fsspec

from longshore_agent import space
from longshore_agent.slots import Lease
from longshore_agent.space import Space, limit_of, size_of
from longshore_agent.stager import Stager
from longshore_protocol.job import Input, TabularFormat
from longshore_protocol.wire import Grant

PATIENCE = 60  # seconds: only a hang meets it


def read(path):
    return Path(path).read_bytes()


def run(body):
    async def main():
        async with asyncio.timeout(PATIENCE):
            await body()

    asyncio.run(main())


def test_the_limit_is_half_of_what_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: space.shutil._ntuple_diskusage(10, 4, 6))
    assert limit_of(str(tmp_path)) == 3


def test_the_size_of_a_folder_is_that_of_all_its_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"123")
    (tmp_path / "c").write_bytes(b"45")
    assert size_of(str(tmp_path)) == 5
    assert size_of(str(tmp_path / "none")) == 0


def test_a_mini_batch_waits_until_there_is_room():
    async def body():
        made = Space(100)
        assert await made.enter("a") == []
        made.brought("a", 60)
        waiting = asyncio.create_task(made.enter("b"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
        await made.leave("a")
        await waiting
        assert made.used == 60  # what it is taken for

    run(body)


def test_one_that_is_larger_than_the_limit_is_brought_alone():
    async def body():
        made = Space(100)
        await made.enter("a")
        made.brought("a", 500)
        await made.leave("a")
        await made.enter("b")
        assert made.used == 500

    run(body)


def test_of_kept_files_that_nobody_uses_the_one_unused_for_longest_goes():
    async def body():
        made = Space(100)
        for name in ("x", "y", "z"):
            await made.enter(name + "'s")
            made.use(name, name + "'s")
            assert made.keep(name, 30) == []
            assert await made.leave(name + "'s") == []
        await made.enter("a")
        made.use("x", "a")
        made.use("w", "a")
        assert made.keep("w", 30) == ["y"]
        assert made.used == 90

    run(body)


def test_a_kept_file_that_is_used_stays_whatever_its_size():
    async def body():
        made = Space(100)
        await made.enter("a")
        made.use("x", "a")
        assert made.keep("x", 400) == []
        assert await made.leave("a") == ["x"]

    run(body)


def test_a_mini_batch_that_finds_no_room_has_unused_files_go():
    async def body():
        made = Space(100)
        await made.enter("a")
        made.use("x", "a")
        made.keep("x", 70)
        made.brought("a", 20)
        await made.leave("a")
        await made.enter("b")
        assert await made.enter("c") == ["x"]

    run(body)


def test_staging_stays_within_its_limit(tmp_path):
    """Twenty Parquet files of 1,000 bytes, 3,500 at a time: at no time more, and each comes."""

    class Takers:
        def __init__(self):
            self.told = asyncio.Queue()

        def staged(self, lease):
            self.told.put_nowait(lease)

        def not_staged(self, lease, said, times):
            raise AssertionError(said)

    async def body():
        takers = Takers()
        table = TabularFormat("parquet")
        folder = tmp_path / "inputs"
        stager = Stager([Input("given", ("memory://given",), tabular=table)], str(folder), takers=takers, limit=3500)
        for number in range(20):
            url = f"memory://{uuid4()}/{number}.parquet"
            fsspec.filesystem("memory").pipe_file(url, b"x" * 1000)
            piece = {"path": url, "row_groups": [0, 1], "rows": None}
            stager.add(Lease(Grant(number, 1, 0, json.dumps(piece).encode()), tabular=True))
            lease = await takers.told.get()
            assert read(json.loads(lease.grant.slice)["path"]) == b"x" * 1000
            stager.release(lease)
            await asyncio.gather(*stager._clearing)
            assert size_of(str(folder)) <= 3500
        assert size_of(str(folder)) == 3000
        await stager.close()

    run(body)
