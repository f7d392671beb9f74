"""`longshore import azureml`: convert Azure ML's YAML to manifests and report what needs attention."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from longshore_api.errors import InvalidDocuments, Problem
from longshore_cli.exit_codes import BAD_INPUT, SUCCEEDED
from longshore_cli.terminal import print_error, show
from longshore_cli.yaml_text import yaml_text
from longshore_planner.azureml import Translation, UnsupportedDocument, check, translate
from longshore_planner.documents import read_yaml


def import_command(options: argparse.Namespace) -> int:
    """Run `longshore import`, reporting problems on stderr; return the exit code."""
    try:
        translation = _translate_file(options.file, options.output)
        texts = {_file_name(each): yaml_text(each) for each in translation.documents}
        written = _print(texts) if options.output is None else _write(texts, options.output)
    except InvalidDocuments as error:
        for problem in error.problems:
            print_error(problem.sentence)
        return BAD_INPUT
    _report(translation, options.file, written)
    return SUCCEEDED


def _translate_file(file: Path, output: Path | None) -> Translation:
    """Return the translation of a file, with each document validated. Raises InvalidDocuments."""
    contents = read_yaml(file, as_written=True)
    if len(contents) != 1:
        text = f"contains {len(contents)} YAML documents; it must contain exactly one"
        raise InvalidDocuments([Problem(str(file), "", text)])
    base = os.path.relpath(file.absolute().parent, Path.cwd() if output is None else output.absolute())
    try:
        translation = translate(contents[0], name=file.stem, base=base, read=lambda path: _read(file.parent / path))
    except UnsupportedDocument as error:
        raise InvalidDocuments([Problem(str(file), "", str(error))]) from None
    check(translation.documents, where=f"{file}, imported")
    return translation


def _read(path: Path) -> Any:
    """Return the content of a file that the YAML refers to, or None if it is missing or not YAML."""
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
    """Write one file per document into `folder`. Raises InvalidDocuments if a file exists or cannot be written."""
    existing = [name for name in texts if (folder / name).exists()]
    if existing:
        text = f'is {str(folder)!r}: it already contains "{existing[0]}"; choose another folder or delete the file'
        raise InvalidDocuments([Problem("--output", "", text)])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        text = f"is {str(folder)!r}: it cannot be written: {error}"
        raise InvalidDocuments([Problem("--output", "", text)]) from None
    return str(folder)


def _report(translation: Translation, file: Path, written: str) -> None:
    for line in translation.notes:
        show(f"{file}: {line}", stream=sys.stderr)
    kinds = ", ".join(f"{each['kind']}/{each['metadata']['name']}" for each in translation.documents)
    print_error(f"created {kinds}")
    where = " (keep FILE in this folder: its paths are relative to it)" if written == "FILE" else ""
    print_error(
        f"next: work through the lines above and the comments in {written}{where}, then run: "
        f"longshore run {written} --explain"
    )
