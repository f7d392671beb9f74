"""Names of files that are one file on some disks: those of macOS ignore case and Unicode's normal forms."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable


def require_distinct(folder: str, names: Iterable[str]) -> None:
    """Raise ValueError if two different relative names mean the same file below `folder`, which need not exist yet."""
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name and ignores_case(folder):
            raise ValueError(
                f'"{other}" and "{name}" are one name on this disk, which ignores case; rename one of them'
            )


def ignores_case(folder: str) -> bool:
    """Return whether the disk of a folder, or of the one that it will be made in, ignores the case of names."""
    while not os.path.exists(folder) or os.path.basename(folder).swapcase() == os.path.basename(folder):
        parent = os.path.dirname(folder)
        if parent == folder:
            return False
        folder = parent
    parent, name = os.path.split(folder)
    other = os.path.join(parent, name.swapcase())
    return os.path.exists(other) and os.path.samefile(folder, other)
