"""Output files that the agent may not read, and the mini-batches that fail because of them. Pure functions.

The containers of a pod may run as two users of one group, so a file of mode 0600 is readable by the script only. The
file does not record who wrote it: every mini-batch that ran when it last changed is suspected and fails, also in later
attempts that leave the file unchanged. So no output file goes missing silently. Other mini-batches are not affected.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from longshore_protocol.redaction import redacted
from longshore_protocol.wire import Completion, Failure

GRAIN = 0.02  # seconds by which file timestamps and the clocks of processes may differ

Mark = tuple[int, int, int]  # inode, bytes, modification time (ns)


@dataclass(frozen=True)
class Unreadable:
    """A file, or a folder whose name ends with a slash, that the agent may not read."""

    name: str  # relative to the output folder
    mark: Mark
    mode: int
    changed: float  # Unix time of the last change of content or mode

    @property
    def sentence(self) -> str:
        """The problem and its remedy, without a full stop."""
        mode = stat.S_IMODE(self.mode)
        kind, call = ("folder", "0o750") if self.name.endswith("/") else ("file", "0o640")
        text = f'the agent cannot read the output {kind} "{self.name}" (mode {mode:04o}) to copy it to the store'
        return redacted(f"{text}; make it readable for its group, for example with os.chmod(path, {call})")


class UnreadableError(OSError):
    """The agent may not read some files; all other files were uploaded."""

    def __init__(self, files: Sequence[Unreadable]) -> None:
        more = f" ({len(files) - 1} more)" if len(files) > 1 else ""
        super().__init__(f"{files[0].sentence}{more}")
        self.files = tuple(files)


class Suspects:
    """The mini-batches that are suspected of having written each unreadable file."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Mark, set[int]]] = {}

    def is_known(self, file: Unreadable) -> bool:
        """Return whether this version of the file was judged before."""
        return file.name in self._known and self._known[file.name][0] == file.mark

    def judge(
        self, files: Iterable[Unreadable], completed: Sequence[Completion], others: Iterable[Completion | Failure]
    ) -> dict[int, str]:
        """Return which completed mini-batches fail because of unreadable files, each with the message for it.

        Call it when no running mini-batch began before the last change of a file, unless the file is known. A file
        that changed after all of these mini-batches ended is judged in a later call. A file that changed before all of
        them began fails all completed ones.

        Args:
            files: The unreadable files.
            completed: Mini-batches whose results are about to be reported.
            others: Mini-batches that ended as well and are reported elsewhere.
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
