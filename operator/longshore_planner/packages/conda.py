"""Conda files: the packages of an environment.yml as requirements of PyPI."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from longshore_planner.packages.pythons import PythonError, accepted
from longshore_planner.packages.requirement_lines import SECRET, Lines, RequirementError, add, has_secret, read_line

_IMAGE = "build an image that contains it, and set spec.image"
_TEXT = "must be a text"
_IGNORED = ("name", "prefix", "channel_priority")
_KNOWN_CHANNELS = ("anaconda", "conda-forge", "defaults", "fastai", "huggingface", "main", "nvidia", "pytorch", "r")
_SPEC = re.compile(
    r"(?:(?P<channel>[^\s:\[]+)::)?(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)\s*(?P<version>[^\[]*)(?P<more>\[.*\])?"
)
_PINNED = re.compile(r"(?P<pin>==?)(?P<version>[^=<>!~,|\s]+)(?:[=\s](?P<build>\S+))?")
_MORE = re.compile(r"""(\w+)\s*=\s*(?:'([^']*)'|"([^"]*)"|([^,\]\s]+))""")
_CLAUSE = re.compile(r"(?P<operator>==|!=|<=|>=|~=|=|<|>|)(?P<version>[^=<>!~]+)")


@dataclass(frozen=True)
class Scalar:
    """One value of a conda file, and its line."""

    line: int
    text: str


@dataclass
class CondaFile:
    """What a conda file contains; `problems` are lines, their texts (None: secret) and the rules that they break."""

    lines: Lines
    pythons: tuple[str, ...]
    problems: list[tuple[int, str | None, str]]


def read_conda(text: str) -> CondaFile:
    """Read the content of an environment.yml; return its packages, and problems of what is not supported."""
    found = CondaFile(Lines(), (), [])
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = 1 if mark is None else mark.line + 1
        found.problems.append((line, None, f"is not valid YAML: {getattr(error, 'problem', None) or error}"))
        return found
    if not isinstance(root, yaml.MappingNode):
        found.problems.append((1, None, "must be a mapping with dependencies, as the content of an environment.yml"))
        return found
    for key, value in root.value:
        _read_section(str(key.value), key.start_mark.line + 1, value, found)
    return found


def _read_section(name: str, line: int, value: yaml.Node, found: CondaFile) -> None:
    if name == "channels":
        for channel in _scalars(value, found):
            _read_channel(channel, found)
    elif name == "dependencies":
        for each in _elements(value, found):
            if isinstance(each, yaml.MappingNode):
                _read_pip_section(each, found)
            elif not isinstance(each, yaml.ScalarNode):
                found.problems.append((each.start_mark.line + 1, None, _TEXT))
            else:
                _guarded(Scalar(each.start_mark.line + 1, each.value.strip()), found, _read_dependency)
    elif name == "variables":
        found.lines.notes.append("variables of the conda file are ignored; set them in spec.variables")
    elif name not in _IGNORED:
        rule = "is not supported; the known sections are channels, dependencies, name, prefix and variables"
        found.problems.append((line, name, rule))


def _read_channel(channel: Scalar, found: CondaFile) -> None:
    if has_secret(channel.text):
        found.problems.append((channel.line, None, SECRET))
    elif channel.text not in _KNOWN_CHANNELS:
        found.lines.notes.append(f"the channel {channel.text} is not used: packages come from the package index")


def _read_pip_section(node: yaml.MappingNode, found: CondaFile) -> None:
    for key, value in node.value:
        if key.value == "pip":
            for each in _scalars(value, found):
                _guarded(each, found, lambda scalar, file: read_line(scalar.text, file.lines))
        else:
            rule = "is not supported; dependencies are texts and one section pip"
            found.problems.append((key.start_mark.line + 1, str(key.value), rule))


def _guarded(scalar: Scalar, found: CondaFile, read: Any) -> None:
    """Call `read`; record its error with the scalar's line."""
    try:
        read(scalar, found)
    except RequirementError as error:
        found.problems.append((scalar.line, None if has_secret(scalar.text) else scalar.text, str(error)))


def _read_dependency(scalar: Scalar, found: CondaFile) -> None:
    """Add one dependency of conda. Raises RequirementError."""
    if has_secret(scalar.text):
        raise RequirementError(SECRET)
    spec = _SPEC.fullmatch(scalar.text)
    if spec is None:
        raise RequirementError("must be a package of conda such as numpy, numpy=1.26 or conda-forge::numpy>=1.26,<3")
    name, version = spec["name"].lower(), spec["version"].strip()
    if spec["more"]:
        version = _bracketed(spec["more"], version)
    table = _table()
    if name == "python":
        _read_python(version, found)
    elif name in table["omitted"]:
        if name != "pip":
            found.lines.notes.append(f"{name} is omitted: {table['reasons'][table['omitted'][name]]}")
    elif name in ("r", "rpy2") or name.startswith(("r-", "bioconductor-")):
        raise RequirementError(f"is a package of R, which package indexes of Python do not have; {_IMAGE}")
    elif name in table["system"]["names"]:
        raise RequirementError(f"is a system library or program, which package indexes of Python do not have; {_IMAGE}")
    else:
        specifiers = _specifiers(version, prefix=name in table["versions"]["prefixes"])
        target = table["names"].get(name, name)
        add(Requirement(f"{target}{specifiers}"), found.lines)


def _read_python(version: str, found: CondaFile) -> None:
    try:
        found.pythons = accepted(str(_specifiers(version, prefix=False)))
    except PythonError as error:
        raise RequirementError(str(error)) from None


def _bracketed(text: str, version: str) -> str:
    """Return the version of numpy[version='>=1.2',build=py38_0]. Raises RequirementError."""
    given = {key: single or double or plain for key, single, double, plain in _MORE.findall(text)}
    unknown = sorted(given.keys() - {"version", "build", "channel", "subdir"})
    if unknown or not given:
        raise RequirementError(
            f"has {', '.join(unknown) or text}, which is not supported; give a name and a version only"
        )
    return str(given.get("version", version))


def _specifiers(text: str, *, prefix: bool) -> SpecifierSet:
    """Translate a version of conda, with or without a build string; `prefix` allows further parts after a pin.

    Raises RequirementError.
    """
    text = re.sub(r"\s*(==|!=|<=|>=|~=|=|<|>|,|\|)\s*", r"\1", text.strip())
    if "|" in text:
        raise RequirementError("has alternatives with |, which package indexes of Python do not have; name one range")
    pinned = _PINNED.fullmatch(text)
    if pinned is not None:
        is_exact = pinned["pin"] == "==" or pinned["build"] is not None
        text = f"{'==' if is_exact else '='}{pinned['version']}"
    else:
        text = text.partition(" ")[0]  # without a build string
    clauses = [_clause(each, prefix=prefix) for each in text.split(",") if each not in ("", "*")]
    try:
        return SpecifierSet(",".join(clauses))
    except InvalidSpecifier:
        raise RequirementError(f"has the version {text!r}, which packages of Python cannot have") from None


def _clause(text: str, *, prefix: bool) -> str:
    """Translate one clause, such as =1.26, 1.26.* or >=1.26. Raises RequirementError."""
    found = _CLAUSE.fullmatch(text)
    if found is None:
        raise RequirementError(f"has the version {text!r}, which packages of Python cannot have")
    operator, version = found["operator"], found["version"].strip()
    is_open = version.endswith("*")
    version = version.removesuffix("*").removesuffix(".")
    if operator in ("", "=", "=="):
        return f"=={version}{'.*' if is_open or operator == '=' or prefix else ''}"
    return f"{operator}{version}{'.*' if is_open and operator == '!=' else ''}"


def _scalars(node: yaml.Node, found: CondaFile) -> Iterator[Scalar]:
    for each in _elements(node, found):
        if isinstance(each, yaml.ScalarNode):
            yield Scalar(each.start_mark.line + 1, each.value.strip())
        else:
            found.problems.append((each.start_mark.line + 1, None, _TEXT))


def _elements(node: yaml.Node, found: CondaFile) -> list[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if not (isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"):
        found.problems.append((node.start_mark.line + 1, None, "must be a list"))
    return []


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files("longshore_planner.packages") / "conda_names.toml").read_text(encoding="utf-8"))
