"""Conversion of the packages of an Environment into a `PackageSet`."""

from __future__ import annotations

from longshore_api.errors import InvalidDocuments, Problem, listed
from longshore_api.packages import is_conda_file
from longshore_api.resources import Environment
from longshore_planner.catalogue import Document
from longshore_planner.packages.conda import read_conda
from longshore_planner.packages.requirement_lines import (
    Lines,
    RequirementError,
    has_secret,
    numbered,
    read_line,
)
from longshore_protocol.package_set import PackageSet

_PATH = "spec.packages"


def freeze_packages(environment: Document[Environment]) -> PackageSet | None:
    """Return the packages of an Environment, normalised; None if it has none.

    Raises:
        InvalidDocuments: with every line that is not supported.
    """
    given = environment.resource.spec.packages
    if given is None:
        return None
    lines, problems = Lines(), []
    for index, each in enumerate(given.pip):
        problems += _read(environment, f"{_PATH}.pip[{index}]", each, lines)
    for number, line in numbered(given.requirements or ""):
        problems += _read(environment, f"{_PATH}.requirements line {number}", line, lines)
    pythons: tuple[str, ...] = (given.python,) if given.python else ()
    if given.conda is not None and is_conda_file(given.conda):
        rule = "is the name of a file, which only a local run can read; put the content of the file here"
        problems.append(environment.wrong(f"{_PATH}.conda", given.conda, rule))
    elif given.conda is not None:
        conda = read_conda(given.conda)
        for line_number, text, rule in conda.problems:
            path = f"{_PATH}.conda line {line_number}"
            problems.append(environment.problem(path, rule) if text is None else environment.wrong(path, text, rule))
        _extend(lines, conda.lines)
        if given.python and conda.pythons and given.python not in conda.pythons:
            rule = f"{_PATH}.conda requires Python {listed(conda.pythons, last='or')}; remove one of the two"
            problems.append(environment.wrong(f"{_PATH}.python", given.python, rule))
        pythons = pythons or conda.pythons
    index_url = _index_url(environment, given.index_url, lines, problems)
    if problems:
        raise InvalidDocuments(problems)
    return PackageSet(
        requirements=tuple(sorted(set(lines.requirements))),
        pythons=pythons,
        index_url=index_url,
        extra_index_urls=tuple(dict.fromkeys([*given.extra_index_urls, *lines.extra_index_urls])),
        secret=given.secret_ref.name if given.secret_ref else "",
        notes=tuple(dict.fromkeys(lines.notes)),
    )


def _read(environment: Document[Environment], path: str, line: str, lines: Lines) -> list[Problem]:
    try:
        read_line(line.strip(), lines)
    except RequirementError as error:
        secret = has_secret(line)
        return [environment.problem(path, str(error)) if secret else environment.wrong(path, line, str(error))]
    return []


def _extend(lines: Lines, more: Lines) -> None:
    lines.requirements += more.requirements
    lines.index_urls += more.index_urls
    lines.extra_index_urls += more.extra_index_urls
    lines.notes += more.notes


def _index_url(environment: Document[Environment], given: str | None, lines: Lines, problems: list[Problem]) -> str:
    """Return the one package index; add a problem if several are named."""
    urls = list(dict.fromkeys([*([given] if given else []), *lines.index_urls]))
    if len(urls) > 1:
        text = (
            f"is not the only package index: {listed(urls)} are named; keep one, and set the others as extraIndexUrls"
        )
        problems.append(environment.problem(f"{_PATH}.indexUrl", text))
    return urls[0] if urls else ""
