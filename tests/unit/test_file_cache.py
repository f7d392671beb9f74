"""Files that are kept for many mini-batches, in little room."""

import asyncio

import pytest

from longshore_agent.file_cache import FileCache


class Store:
    """Brings files whose size is what their name says, and notes what is brought and deleted."""

    def __init__(self):
        self.brought, self.deleted, self.broken = [], [], set()

    async def bring(self, url):
        await asyncio.sleep(0)
        if url in self.broken:
            raise OSError(url)
        self.brought.append(url)
        return f"/{url}", int(url.rpartition(":")[2])


@pytest.fixture
def store():
    return Store()


def kept(store, body, *, room=10):
    async def main():
        await body(FileCache(store.bring, store.deleted.append, room=room))

    asyncio.run(main())


def test_a_file_is_downloaded_once_for_all_that_ask_for_it(store):
    async def body(made):
        paths = await asyncio.gather(*(made.path("a:4", user) for user in range(5)))
        assert paths == ["/a:4"] * 5
        assert await made.path("a:4", 9) == "/a:4"

    kept(store, body)
    assert store.brought == ["a:4"]
    assert store.deleted == []


def test_the_least_recently_used_goes_when_room_is_needed(store):
    async def body(made):
        for url in ("a:4", "b:4", "a:4", "c:4"):
            await made.path(url, url)
            made.release(url)
        assert store.deleted == ["/b:4"]
        await made.path("b:4", 1)

    kept(store, body)
    assert store.brought == ["a:4", "b:4", "c:4", "b:4"]


def test_what_is_used_stays_however_little_room_there_is(store):
    async def body(made):
        await made.path("a:20", "one")
        await made.path("b:20", "two")
        assert store.deleted == []
        made.release("one")
        assert store.deleted == ["/a:20"]
        made.release("two")
        assert store.deleted == ["/a:20", "/b:20"]

    kept(store, body)


def test_one_that_could_not_be_downloaded_is_tried_again_by_the_next(store):
    async def body(made):
        store.broken.add("a:4")
        found = await asyncio.gather(made.path("a:4", 1), made.path("a:4", 2), return_exceptions=True)
        assert [type(each) for each in found] == [OSError, OSError]
        store.broken.clear()
        assert await made.path("a:4", 3) == "/a:4"

    kept(store, body)
    assert store.brought == ["a:4"]


def test_a_caller_that_leaves_ends_no_other_copy(store):
    async def body(made):
        first = asyncio.create_task(made.path("a:4", 1))
        second = asyncio.create_task(made.path("a:4", 2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "/a:4"

    kept(store, body)
    assert store.brought == ["a:4"]
