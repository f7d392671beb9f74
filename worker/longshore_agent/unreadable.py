"""Files that a script left and the agent may not read, and which mini-batches fail for them. Pure.

A pod's containers may be two users of one group: a file of mode 0600 is the script's alone. Nothing tells who wrote it,
but what ran when it last changed is suspected. Suspects fail, again when they are retried and leave the file as it is,
so that no file is missing from the output without a word. Others are not affected.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from longshore_protocol.wire import Completion, Failure
from longshore_storage.redaction import redacted

GRAIN = 0.02  # seconds by which the clocks of files and processes may differ

Mark = tuple[int, int, int]  # inode, bytes, time of the last change of the content


@dataclass(frozen=True)
class Unreadable:
    """A file, or a folder whose name ends with a slash, that the agent may not read."""

    name: str  # relative to the output folder
    mark: Mark
    mode: int
    changed: float  # Unix time of the last change, of the mode too

    @property
    def sentence(self) -> str:
        """What is wrong, and the remedy, as a clause."""
        mode = stat.S_IMODE(self.mode)
        kind, call = ("folder", "0o750") if self.name.endswith("/") else ("file", "0o640")
        text = f'the {kind} "{self.name}" of the output cannot be read by the agent, which copies it to the store'
        return redacted(f"{text} (its mode is {mode:04o}): let its group read it, as os.chmod(path, {call}) does")


class UnreadableError(OSError):
    """Files may not be read; all others were written."""

    def __init__(self, files: Sequence[Unreadable]) -> None:
        more = f" ({len(files) - 1} more)" if len(files) > 1 else ""
        super().__init__(f"{files[0].sentence}{more}")
        self.files = tuple(files)


class Suspects:
    """Which mini-batches are suspected of each file."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Mark, set[int]]] = {}

    def is_known(self, file: Unreadable) -> bool:
        """Return whether a file was judged as it is now."""
        return file.name in self._known and self._known[file.name][0] == file.mark

    def judge(
        self, files: Iterable[Unreadable], completed: Sequence[Completion], others: Iterable[Completion | Failure]
    ) -> dict[int, str]:
        """Return those of the completed mini-batches that fail, each with the sentence on its file.

        `others` ended too, and are reported elsewhere. Nothing that began before one of the files changed runs any
        more, unless the file is known. A file that is newer than all that ended is judged another time; of one that
        is older, any of them may have to do without it.
        """
        ended = [*completed, *others]
        failing: dict[int, str] = {}
        for file in files:
            if not self.is_known(file):
                if all(_end(each) < file.changed for each in ended):
                    continue
                suspects = {each.mini_batch for each in ended if each.started - GRAIN <= file.changed <= _end(each)}
                self._known[file.name] = file.mark, suspects or {each.mini_batch for each in completed}
            suspects = self._known[file.name][1]
            failing.update((each.mini_batch, file.sentence) for each in completed if each.mini_batch in suspects)
        return failing


def _end(ended: Completion | Failure) -> float:
    return ended.started + ended.elapsed + GRAIN
