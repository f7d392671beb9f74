"""Select the files of a folder that are a script's source, to copy them and to detect changes.

Three groups of files are left out. The first is named by the folder's `.amlignore`, or otherwise its `.gitignore`, in
the syntax of git. The second are files of editors, tools and interpreters (`JUNK`, and virtual environments), unless a
line `!NAME` of the ignore file includes them. The third are never source: git's own folder, runs of Longshore, and
folders such as `..data` of a mounted ConfigMap, whose files are links into them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from longshore_storage import beneath
from longshore_storage.store import MARKER

IGNORE_FILES = (".amlignore", ".gitignore")  # only the first one that exists is used
JUNK = (
    ".DS_Store", "Thumbs.db", "desktop.ini", "*.swp", "*.swo", "*~", ".#*", "*.pyc", "*.pyo", ".coverage",
    "__pycache__/", ".ipynb_checkpoints/", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/", ".hypothesis/", ".tox/",
    ".nox/", ".vscode/", ".idea/", ".venv/", "node_modules/", ".hg/", ".svn/",
)  # fmt: skip
_NEVER = frozenset({".git", "longshore-runs"})  # folders at any depth
_VIRTUAL_ENVIRONMENT = "pyvenv.cfg"  # marks its folder as a virtual environment


def source_files(folder: str) -> Iterator[str]:
    """Yield the sorted paths of a source's files relative to its local folder, with "/" as separator.

    Links are followed, except into a folder that the walk is in. Broken links are skipped. A link out of a volume is
    yielded as a file; opening it fails.

    Raises:
        ValueError: An ignore file is not UTF-8 text.
        OSError: A folder or an ignore file cannot be read.
    """
    yield from _walk(folder, "", _rules(folder), ())


def _walk(root: str, inside: str, rules: list[_Rule], above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    path = os.path.join(root, inside)
    status = beneath.status(path)
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        return
    for name, kind in sorted(beneath.entries(path)):
        relative = inside + name
        if kind == beneath.FOLDER:
            never = name in _NEVER or name.startswith("..") or beneath.is_file(f"{path}/{name}/{MARKER}")
            environment = beneath.is_file(f"{path}/{name}/{_VIRTUAL_ENVIRONMENT}")
            if not (never or _is_ignored(relative, rules, is_folder=True, otherwise=environment)):
                yield from _walk(root, relative + "/", rules, (*above, identity))
        elif kind in (beneath.FILE, beneath.OUTSIDE) and not _is_ignored(relative, rules, is_folder=False):
            yield relative


@dataclass(frozen=True)
class _Rule:
    matches: Callable[[str], object]
    ignores: bool  # False: the rule includes what it matches
    folders_only: bool


def _rules(folder: str) -> list[_Rule]:
    for name in IGNORE_FILES:
        try:
            with open(os.path.join(folder, name), encoding="utf-8-sig", opener=beneath.open_file) as file:
                return [rule for line in (*JUNK, *file) if (rule := _rule(line)) is not None]
        except FileNotFoundError:
            continue
    return [rule for line in JUNK if (rule := _rule(line)) is not None]


def _is_ignored(relative: str, rules: list[_Rule], *, is_folder: bool, otherwise: bool = False) -> bool:
    """Return whether the last matching rule ignores a path; `otherwise` if no rule matches."""
    for rule in reversed(rules):
        if (is_folder or not rule.folders_only) and rule.matches(relative):
            return rule.ignores
    return otherwise


def _rule(line: str) -> _Rule | None:
    pattern = re.sub(r"(?<!\\) +$", "", line.rstrip("\r\n"))
    if not pattern or pattern.startswith("#"):
        return None
    ignores = not pattern.startswith("!")
    pattern = pattern if ignores else pattern[1:]
    folders_only = pattern.endswith("/")
    pattern = pattern.rstrip("/")
    if not pattern:
        return None
    anchored = "/" in pattern  # else it counts in every folder
    text = _expression(pattern.removeprefix("/"))
    try:
        matcher = re.compile(text if anchored else f"(?:.*/)?{text}", re.DOTALL)
    except re.error:
        return None  # a range such as [z-a], which matches nothing
    return _Rule(matcher.fullmatch, ignores, folders_only)


def _expression(pattern: str) -> str:
    """Return a pattern's regular expression: `*` and `?` stop at a slash, `**` stands for any number of folders."""
    text, place = "", 0
    while place < len(pattern):
        rest = pattern[place:]
        if rest.startswith("**/") and (place == 0 or pattern[place - 1] == "/"):
            text, place = text + "(?:.*/)?", place + 3
        elif rest == "**":
            text, place = text + ".*", place + 2
        elif rest[0] == "*":
            text, place = text + "[^/]*", place + 1
        elif rest[0] == "?":
            text, place = text + "[^/]", place + 1
        elif found := re.match(r"\[([!^]?)(\]?[^\]/]*)\]", rest):
            letters = found[2].replace("\\", r"\\").replace("[", r"\[").replace("]", r"\]")
            text, place = text + f"[{'^/' if found[1] else ''}{letters}]", place + found.end()
        else:
            letter = rest[1:2] or "\\" if rest[0] == "\\" else rest[0]
            text, place = text + re.escape(letter), place + (2 if rest[0] == "\\" else 1)
    return text
