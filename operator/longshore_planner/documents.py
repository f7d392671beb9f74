"""YAML files: the planner's only module that reads files."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from longshore_api.base import Resource
from longshore_api.errors import InvalidDocuments, Problem
from longshore_api.packages import is_conda_file
from longshore_api.resources import Environment
from longshore_api.validation import label, parse
from longshore_planner.catalogue import Document, Documents, gather
from longshore_planner.parameters import RawDocument, fill
from longshore_planner.plain_scalars import keep_texts, written

__all__ = ["FOLDER_ANNOTATION", "Document", "Documents", "load", "manifests", "read_yaml"]

A = TypeVar("A")
B = TypeVar("B")

FOLDER_ANNOTATION = "longshore.dev/folder"  # of documents that were not written where their relative paths start
_SUFFIXES = (".yaml", ".yml")
_SCRIPTS = (".py", ".ipynb", ".sh")
_MOST_VALUES = 100_000  # limit for a document whose aliases are expanded...
_GROWTH = 10  # ...or this many times the values that it writes out
_DATE = "tag:yaml.org,2002:timestamp"


def load(paths: Sequence[Path], *, parameters: Mapping[str, str] | None = None) -> Documents:
    """Load all documents of YAML files, and of the YAML files directly in folders; return them validated.

    Args:
        paths: Files and folders.
        parameters: Values of `$(parameters.NAME)`, by name.

    Raises:
        InvalidDocuments: with every problem of the first stage that fails: listing, parsing, filling, validating.
    """
    files = dict.fromkeys(path for found in _each(manifests, paths) for path in found)
    raw = [document for found in _each(_read, files) for document in found]
    documents = gather(_each(_checked, fill(raw, parameters or {})))
    if not len(documents):
        raise InvalidDocuments(
            [Problem(" ".join(map(str, paths)), "", "holds no document; add one, or pass another path")]
        )
    return documents


def _each(function: Callable[[A], B], values: Iterable[A]) -> list[B]:
    """Apply the function to each value; return the results, or raise InvalidDocuments with the problems of all."""
    results, problems = [], []
    for value in values:
        try:
            results.append(function(value))
        except InvalidDocuments as error:
            problems += error.problems
    if problems:
        raise InvalidDocuments(problems)
    return results


def manifests(path: Path) -> list[Path]:
    """Return the path itself, or for a folder the YAML files directly in it; run folders below hold no manifests.

    Raises:
        InvalidDocuments: if a folder is unreadable or holds no YAML file, or if the path is that of a script.
    """
    if not path.is_dir():
        if path.suffix in _SCRIPTS:  # most of them would be reported as wrong YAML, some as wrong documents
            rule = "is a script; pass the YAML file that names it in entryScript or scriptName"
            raise InvalidDocuments([Problem(str(path), "", rule)])
        return [path]
    try:
        found = sorted(each for each in path.iterdir() if each.suffix in _SUFFIXES and each.is_file())
    except OSError as error:
        raise _unreadable(path, error) from None
    if not found:
        raise InvalidDocuments([Problem(str(path), "", "the folder holds no .yaml or .yml file")])
    return found


def read_yaml(path: Path, *, as_written: bool = False) -> list[Any]:
    """Parse a YAML file; return the content of each document, None for an empty one.

    Args:
        path: The file.
        as_written: Return scalars such as NO, 12:30:00, 01234 and 1.10 as text in every field; for files whose text
            fields are not all known.

    Raises:
        InvalidDocuments: if the file is unreadable or no valid YAML.
    """
    try:
        return list(yaml.load_all(path.read_bytes(), Loader=_WrittenLoader if as_written else _Loader))
    except OSError as error:
        raise _unreadable(path, error) from None
    except yaml.YAMLError as error:
        raise InvalidDocuments([_syntax_problem(path, error)]) from None
    except (ValueError, RecursionError) as error:  # PyYAML raises these for scalars like 0b_ and for deep nesting
        raise InvalidDocuments([Problem(str(path), "", f"is not valid YAML: {error}")]) from None


def _read(path: Path) -> list[RawDocument]:
    return [
        RawDocument(f"{path} document {number}", _folder(content, path), content)
        for number, content in enumerate(read_yaml(path), start=1)
        if content is not None
    ]


def _folder(content: Any, path: Path) -> str:
    """Return the folder that a document's relative paths start from: its file's, unless an annotation names one."""
    metadata = content.get("metadata") if isinstance(content, dict) else None
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    named = annotations.get(FOLDER_ANNOTATION) if isinstance(annotations, dict) else None
    return named if isinstance(named, str) and named.startswith("/") else str(path.absolute().parent)


def _checked(raw: RawDocument) -> Document[Resource]:
    resource = parse(raw.content, where=raw.where)
    document = Document(f"{raw.where}, {label(raw.content)}", raw.folder, resource)
    return _with_conda_file(document, resource) if isinstance(resource, Environment) else document


def _with_conda_file(document: Document[Resource], environment: Environment) -> Document[Resource]:
    """Replace the name of a conda file by its content. Raises InvalidDocuments if it cannot be read."""
    packages = environment.spec.packages
    if packages is None or packages.conda is None or not is_conda_file(packages.conda):
        return document
    path = Path(document.folder, packages.conda.strip())
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        rule = f"the file cannot be read: {getattr(error, 'strerror', None) or error}"
        raise InvalidDocuments([document.wrong("spec.packages.conda", packages.conda, rule)]) from None
    spec = environment.spec.model_copy(update={"packages": packages.model_copy(update={"conda": content})})
    return replace(document, resource=environment.model_copy(update={"spec": spec}))


def _unreadable(path: Path, error: OSError) -> InvalidDocuments:
    return InvalidDocuments([Problem(str(path), "", f"cannot be read: {error.strerror or error}")])


def _syntax_problem(path: Path, error: yaml.YAMLError) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        context = f" ({error.context})" if error.context else ""
        return Problem(f"{path} line {mark.line + 1}, column {mark.column + 1}", "", f"{error.problem}{context}")
    return Problem(str(path), "", f"is not valid YAML: {' '.join(str(error).split())}")


class _Loader(yaml.SafeLoader):
    """Safe YAML loader that keeps dates, and scalars in text fields, as text.

    It refuses duplicate keys, anchors that contain themselves, and nested aliases that expand to millions of values.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's own way to hold them)
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _DATE]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_document(self, node: yaml.Node) -> Any:
        sizes: dict[int, int] = {}
        size = _expanded(node, sizes)
        if size > max(_MOST_VALUES, _GROWTH * len(sizes)):
            problem = f"its aliases expand {len(sizes)} values to {size}; write the values out, or use fewer aliases"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_document(node)

    def mapping(self, node: yaml.MappingNode) -> dict[Hashable, Any]:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                problem = f"the key {key.value!r} is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        self.flatten_mapping(node)
        node.value = keep_texts(node.value)
        return self.construct_mapping(node, deep=True)

    def sequence(self, node: yaml.SequenceNode) -> list[Any]:
        # SafeLoader defers this; only immediate, deep construction detects an anchor that contains itself.
        return self.construct_sequence(node, deep=True)


def _expanded(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Return the number of values of a node with expanded aliases; `sizes` caches the numbers by node identity."""
    if id(node) not in sizes:
        sizes[id(node)] = 1  # ends the recursion of a node that contains itself, which is refused later
        inside: Iterable[yaml.Node] = ()
        if isinstance(node, yaml.MappingNode):
            inside = (each for pair in node.value for each in pair)
        elif isinstance(node, yaml.SequenceNode):
            inside = node.value
        sizes[id(node)] += sum(_expanded(each, sizes) for each in inside)
    return sizes[id(node)]


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.mapping)
_Loader.add_constructor("tag:yaml.org,2002:seq", _Loader.sequence)


class _WrittenLoader(_Loader):
    """Loader that also keeps a scalar as text if its value would be written differently."""


for _kind in ("bool", "int", "float"):
    _tag = f"tag:yaml.org,2002:{_kind}"
    _WrittenLoader.add_constructor(_tag, written(_Loader.yaml_constructors[_tag]))
