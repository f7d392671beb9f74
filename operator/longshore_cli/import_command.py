"""`longshore import azureml`: from Azure ML's YAML to manifests, and what the user has to see to."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from longshore_api.errors import InvalidDocuments, Problem
from longshore_cli.exit_codes import BAD_INPUT, SUCCEEDED
from longshore_cli.terminal import complain, show
from longshore_cli.yaml_text import yaml_text
from longshore_planner.azureml import Translation, UnsupportedDocument, check, translate
from longshore_planner.documents import read_yaml


def import_command(options: argparse.Namespace) -> int:
    """Carry out `longshore import`; return its exit code. What could not be carried over is told on stderr."""
    try:
        translation = _translated(options.file, options.output)
        texts = {_file_name(each): yaml_text(each) for each in translation.documents}
        written = _print(texts) if options.output is None else _write(texts, options.output)
    except InvalidDocuments as error:
        for problem in error.problems:
            complain(problem.sentence)
        return BAD_INPUT
    _report(translation, options.file, written)
    return SUCCEEDED


def _translated(file: Path, output: Path | None) -> Translation:
    """Return what a file becomes, each document checked by its model. Raises InvalidDocuments."""
    contents = read_yaml(file, as_written=True)
    if len(contents) != 1:
        raise InvalidDocuments([Problem(str(file), "", f"holds {len(contents)} YAML documents: must hold one")])
    base = os.path.relpath(file.absolute().parent, Path.cwd() if output is None else output.absolute())
    try:
        translation = translate(contents[0], name=file.stem, base=base, read=lambda path: _read(file.parent / path))
    except UnsupportedDocument as error:
        raise InvalidDocuments([Problem(str(file), "", str(error))]) from None
    check(translation.documents, where=f"{file}, imported")
    return translation


def _read(path: Path) -> Any:
    """Return the content of a file that the YAML names; None where it is not there, or no YAML."""
    try:
        return next(iter(read_yaml(path, as_written=True)), None)
    except InvalidDocuments:
        return None


def _file_name(document: dict[str, Any]) -> str:
    return f"{document['kind'].lower()}-{document['metadata']['name']}.yaml"


def _print(texts: dict[str, str]) -> str:
    print("---\n".join(texts.values()), end="")
    return "FILE"


def _write(texts: dict[str, str], folder: Path) -> str:
    """Write each document into a file of its own; never in the place of another one. Raises InvalidDocuments."""
    there = [name for name in texts if (folder / name).exists()]
    if there:
        raise InvalidDocuments([Problem("--output", "", f"is {str(folder)!r}: it holds {there[0]} already")])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidDocuments([Problem("--output", "", f"cannot be written: {error}")]) from None
    return str(folder)


def _report(translation: Translation, file: Path, written: str) -> None:
    for line in translation.notes:
        show(f"{file}: {line}", stream=sys.stderr)
    kinds = ", ".join(f"{each['kind']}/{each['metadata']['name']}" for each in translation.documents)
    complain(f"made {kinds}")
    where = " (keep FILE in this folder: its paths start here)" if written == "FILE" else ""
    complain(
        f"next, see to the lines above and to the comments in {written}{where}; then: longshore run {written} --explain"
    )
