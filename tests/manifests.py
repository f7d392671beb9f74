"""Manifests of our kinds for tests: makers of them, and those of the examples, the documentation and the tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from longshore_api import KINDS, InvalidDocuments, parse

ROOT = Path(__file__).resolve().parents[1]
API_VERSION = "longshore.dev/v1alpha1"
Named = Iterator[tuple[str, dict[str, Any]]]  # manifests, each with a name for the test that takes it

# Makers


def resource(kind: str, name: str, spec: dict[str, Any], **metadata: str) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}


def manifest(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return resource(kind, "sample", spec)


def cluster_step(**changes: Any) -> dict[str, Any]:
    """Return the spec of a ParallelRunStep on a cluster; a field that is given as None is left out."""
    spec = {
        "inputs": [{"name": "images", "dataset": "images"}],
        "output": {"name": "scores"},
        "source": {"configMap": "code"},
        "entryScript": "score.py",
        "environment": {"name": "scikit"},
        "outputAction": "append_row",
        **changes,
    }
    return {name: value for name, value in spec.items() if value is not None}


def step(*without: str, **spec: Any) -> dict[str, Any]:
    good = {
        "inputs": [{"name": "scans", "dataset": "scans"}],
        "output": {"name": "scores"},
        "entryScript": "score.py",
        "outputAction": "append_row",
    }
    return manifest("ParallelRunStep", {key: each for key, each in {**good, **spec}.items() if key not in without})


def script(**spec: Any) -> dict[str, Any]:
    return manifest("ScriptStep", {"scriptName": "train.py", **spec})


SCRIPT = {"scriptName": "train.py"}
COPY = {"source": {"path": "a"}, "destination": {"path": "b"}}


def pipeline(*steps: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return manifest("Pipeline", {"steps": list(steps), **spec})


def pipeline_step(**fields: Any) -> dict[str, Any]:
    return pipeline({"name": "train", "script": SCRIPT, **fields})


def tabular(**fields: Any) -> dict[str, Any]:
    return manifest("Dataset", {"tabular": fields})


def packages(**fields: Any) -> dict[str, Any]:
    return manifest("Environment", {"packages": fields})


def query(**fields: Any) -> dict[str, Any]:
    return tabular(format="sql", query="SELECT 1", **fields)


# Those that are found


def of_examples() -> Named:
    """Yield each manifest of our kinds in the examples."""
    for file in sorted((ROOT / "deploy" / "examples").rglob("*.yaml")):
        yield from _named(file, (each for each in yaml.safe_load_all(file.read_text()) if each["kind"] in KINDS))


def of_documentation() -> Named:
    """Yield what README and docs show in YAML, made whole where it is only a part of a manifest."""
    for file in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        yield from _named(file, (whole for each in _blocks(file) for whole in _completed(each)))


def of_data() -> Named:
    """Yield each manifest in the tests' own YAML files that the models take."""
    for file in sorted((ROOT / "tests").rglob("*.yaml")):
        yield from _named(file, _accepted(yaml.safe_load_all(file.read_text())))


def of_tests() -> Named:
    """Yield each manifest that the tests' Python holds, as text or as a literal mapping, and the models take."""
    for file in sorted((ROOT / "tests").rglob("*.py")):
        if "entries" not in file.parts:
            yield from _named(file, _accepted(_literals(file)))


def _named(file: Path, documents: Iterable[dict[str, Any]]) -> Named:
    for number, raw in enumerate(documents):
        yield f"{file.relative_to(ROOT)}-{number}-{raw['kind']}", raw


def _blocks(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the documents in a page's YAML, without the dots that stand for more."""
    for text in re.findall(r"^```yaml\n(.*?)^```$", file.read_text(), re.DOTALL | re.MULTILINE):
        yield from yaml.safe_load_all(re.sub(r", \.\.\.(?=})|^ *\.\.\.$", "", text, flags=re.MULTILINE))


def _completed(raw: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if raw.get("apiVersion", API_VERSION) != API_VERSION:
        return  # of another operator
    if "kind" in raw:
        yield {**manifest(raw["kind"], {}), **raw}
    elif raw.keys() <= {"file", "tabular"}:
        yield from (manifest("Dataset", {key: each}) for key, each in raw.items())
    else:
        yield step(**raw)


def _literals(file: Path) -> Iterator[Any]:
    for node in ast.walk(ast.parse(file.read_text())):
        try:
            if isinstance(node, ast.Dict):
                yield ast.literal_eval(node)
            elif isinstance(node, ast.Constant) and f"apiVersion: {API_VERSION}" in str(node.value):
                yield from yaml.safe_load_all(node.value)
        except (TypeError, ValueError, yaml.YAMLError):
            continue  # made up of more than literals, a template, or bad on purpose


def _accepted(documents: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for raw in documents:
        try:
            parse(raw)
        except InvalidDocuments:
            continue
        yield raw


def covers(kept: Any, given: Any) -> bool:
    """Whether nothing that was given got lost."""
    if isinstance(given, dict):
        return all(name in kept and covers(kept[name], each) for name, each in given.items())
    if isinstance(given, list):
        return len(kept) == len(given) and all(map(covers, kept, given))
    return bool(kept == given)
