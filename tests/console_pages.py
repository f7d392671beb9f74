"""Pages of the documentation as scripts: their files, their commands, and what these print.

A fenced block with a title is a file. A block of the language `console` has commands, each behind `$ `, and below each
what it prints, stdout and stderr together. Other blocks are for reading only.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

HOME = "/home/you/demo"  # the folder in which the reader works, as pages call it
_PATIENCE = 120  # seconds for a command that takes two
_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_MARKERS = re.compile(r"^ *[~^]+ *\n", re.MULTILINE)  # below lines of tracebacks; each release of Python sets its own


@dataclass(frozen=True)
class File:
    """A file that the reader writes."""

    name: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command that the reader enters, and what the page says that it prints."""

    line: str
    output: str


def steps(page: str) -> Iterator[File | Command]:
    """Yield what the reader of a page does, in order."""
    for language, title, text in _BLOCK.findall(page):
        if title:
            yield File(title, text)
        elif language == "console":
            for entered in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                line, _, output = entered.partition("\n")
                yield Command(line, output)


def follow(
    page: str, folder: Path, variables: Mapping[str, str] | None = None, *, python: str = sys.executable
) -> Iterator[tuple[str, str, str]]:
    """Do what a page says in a folder; yield each command with what it should print and what it printed.

    `variables` are what the reader has in the environment besides, `python` is the interpreter of the environment that
    has Longshore.
    """
    code = 0
    path = os.pathsep.join((os.path.dirname(python), os.environ["PATH"]))
    for step in steps(page):
        if isinstance(step, File):
            (folder / step.name).write_text(step.text)
            continue
        ended = subprocess.run(
            ["bash", "-c", f"(exit {code}); {step.line}"],
            cwd=folder,
            env={**os.environ, **(variables or {}), "PATH": path, "COLUMNS": "500"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        code = ended.returncode
        printed = _MARKERS.sub("", ended.stdout.replace(str(folder), HOME))
        yield step.line, _alike(step.output, python=python), _alike(printed, python=python)


def _alike(output: str, *, python: str) -> str:
    """Return an output without what differs from one run or machine to the next: times, run ids, the interpreter."""
    output = re.sub(r"\b\d\d:\d\d:\d\d\b", "HH:MM:SS", output)
    output = re.sub(r"\b\d+s\b *", "Ns ", output)
    output = re.sub(r"\brun-\d{8}-\d{6}-[0-9a-f]+\b", "RUN", output)
    return output.replace(python, "PYTHON")
