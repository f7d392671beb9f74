"""A least-recently-used cache of downloaded files that many mini-batches read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass
class _Copy:
    """The cached copy of one file."""

    task: asyncio.Task[tuple[str, int]]  # returns path and size in bytes
    users: set[Hashable] = field(default_factory=set)

    def size(self) -> int:
        """Return the size of a finished download in bytes; 0 while it runs or after it failed."""
        is_here = self.task.done() and not self.task.cancelled() and self.task.exception() is None
        return self.task.result()[1] if is_here else 0


class FileCache(Generic[Key]):
    """Cached copies by a key, such as URL and version. Copies in use are never evicted.

    Args:
        download: Creates the copy for a key; returns its path and size in bytes.
        delete: Deletes the copy at a path.
        room: The most bytes of copies to keep. The least recently used ones are evicted first.
    """

    def __init__(
        self,
        download: Callable[[Key], Coroutine[Any, Any, tuple[str, int]]],
        delete: Callable[[str], None],
        *,
        room: int,
    ) -> None:
        self._download = download
        self._delete = delete
        self._room = room
        self._copies: dict[Key, _Copy] = {}  # the most recently used last

    async def path(self, key: Key, user: Hashable) -> str:
        """Return the path of a copy, which stays until `user` releases it. Raises the errors of `download`."""
        copy = self._copies.pop(key, None) or _Copy(asyncio.create_task(self._download(key)))
        self._copies[key] = copy
        copy.users.add(user)
        try:
            path, _ = await asyncio.shield(copy.task)
        except BaseException:
            copy.users.discard(user)
            if copy.task.done() and self._copies.get(key) is copy:
                del self._copies[key]  # the next request retries
            raise
        self._evict()
        return path

    def release(self, user: Hashable) -> None:
        """Release all copies of a user."""
        for copy in self._copies.values():
            copy.users.discard(user)
        self._evict()

    async def close(self) -> None:
        """Cancel all downloads. The caller deletes the folder of the copies."""
        tasks = [copy.task for copy in self._copies.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _evict(self) -> None:
        taken = sum(copy.size() for copy in self._copies.values())
        for key, copy in list(self._copies.items()):
            if taken <= self._room:
                return
            if not copy.users and (size := copy.size()):
                taken -= size
                del self._copies[key]
                self._delete(copy.task.result()[0])
