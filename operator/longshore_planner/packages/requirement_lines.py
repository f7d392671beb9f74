"""Requirement lines, as pip reads them, in a normal form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from longshore_api.errors import listed
from longshore_api.packages import INDEX_URL
from longshore_planner.packages.omitted import is_omitted, replacements

SECRET = "contains credentials; remove them, and put user and password into the Secret that secretRef names"  # noqa: S105  (a message)
_SECRET = re.compile(r"://([^/\s]*@|\S*\?)")  # a user or password, or a query, as signed URLs have
_COMMENT = re.compile(r"(^|\s)#.*$")
_OPTION = re.compile(r"(--?[a-z-]+)(?:\s+|=|\s*$)(.*)", re.IGNORECASE)
_INDEX, _EXTRA_INDEX = ("-i", "--index-url", "--pypi-url"), ("--extra-index-url",)
_NO_EFFECT = (
    "--trusted-host",
    "--prefer-binary",
    "--no-cache-dir",
    "--disable-pip-version-check",
    "--upgrade",
    "-U",
)
_REMEDIES = {
    "-r": "put the lines of that file here",
    "--requirement": "put the lines of that file here",
    "-c": "put the versions of that file into the requirements",
    "--constraint": "put the versions of that file into the requirements",
    "-e": "use a released package, or put the code into the source folder",
    "--editable": "use a released package, or put the code into the source folder",
    "-f": "use a package index, and set indexUrl or extraIndexUrls",
    "--find-links": "use a package index, and set indexUrl or extraIndexUrls",
}
_LOCAL = re.compile(r"[./~].*|[A-Za-z]:[\\/].*|[^\s@]+\.(whl|tar\.gz|zip)")
_VCS = re.compile(r"(git|hg|svn|bzr)\+")


class RequirementError(ValueError):
    """A line that is not supported; the message is a clause such as "must be a requirement such as ..."."""


@dataclass
class Lines:
    """What requirement lines contain."""

    requirements: list[str] = field(default_factory=list)
    index_urls: list[str] = field(default_factory=list)
    extra_index_urls: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """Yield the logical lines of a requirements.txt with their numbers, without comments and empty lines."""
    lines, start = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        start = start if lines else number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            lines += line[:-1] + " "
            continue
        lines += line
        if content := _COMMENT.sub("", lines).strip():
            yield start, content
        lines = ""
    if content := _COMMENT.sub("", lines).strip():
        yield start, content


def has_secret(line: str) -> bool:
    """Return whether a URL in the line may contain credentials, so that no message may show the line."""
    return _SECRET.search(line) is not None


def read_line(line: str, into: Lines) -> None:
    """Add one requirement or index option to `into`. Raises RequirementError."""
    if has_secret(line):
        raise RequirementError(SECRET)
    line = _COMMENT.sub("", line).strip()
    option = _OPTION.fullmatch(line) if line.startswith("-") else None
    if option is not None:
        _read_option(option[1], option[2].strip(), into)
        return
    line, *hashes = re.split(r"\s--hash[=\s]", line)
    if hashes:
        into.notes.append(f"the hashes of {line.strip()} are replaced by those of the package index")
    add(parse(line.strip()), into)


def parse(line: str) -> Requirement:
    """Return a requirement. Raises RequirementError."""
    try:
        return Requirement(line)
    except InvalidRequirement:
        if _VCS.match(line) or "://" in line:
            text = f"has no name; write NAME @ {line}"
        elif _LOCAL.fullmatch(line):
            text = "is a file of one machine; use a package of an index, or put the code into the source folder"
        else:
            text = "must be a requirement such as numpy, numpy==1.26.4 or numpy>=1.26,<3"
        raise RequirementError(text) from None


def add(requirement: Requirement, into: Lines) -> None:
    """Add a requirement in its normal form, or a note for a package that Longshore provides itself."""
    if is_omitted(requirement.name):
        needed = replacements(requirement)
        into.requirements += needed
        extras = f", and its extras by {listed(needed)}" if needed else ""
        into.notes.append(f"{requirement.name} is omitted: its modules are replaced by Longshore's own{extras}")
        return
    into.requirements.append(normalised(requirement))


def normalised(requirement: Requirement) -> str:
    """Return a requirement as text that is equal for equal requirements."""
    extras = f"[{','.join(sorted(map(canonicalize_name, requirement.extras)))}]" if requirement.extras else ""
    marker = f"; {requirement.marker}" if requirement.marker else ""
    if requirement.url:
        return f"{canonicalize_name(requirement.name)}{extras} @ {requirement.url}{' ' if marker else ''}{marker}"
    specifiers = ",".join(sorted(map(str, requirement.specifier)))
    return f"{canonicalize_name(requirement.name)}{extras}{specifiers}{marker}"


def _read_option(name: str, value: str, into: Lines) -> None:
    if name in _INDEX + _EXTRA_INDEX:
        if not re.fullmatch(INDEX_URL, value):
            raise RequirementError("must name an http:// or https:// URL without a query")
        (into.index_urls if name in _INDEX else into.extra_index_urls).append(value)
    elif name in _NO_EFFECT:
        into.notes.append(f"the option {name} is ignored")
    else:
        raise RequirementError(f"has the option {name}, which is not supported; {_REMEDIES.get(name, 'remove it')}")
