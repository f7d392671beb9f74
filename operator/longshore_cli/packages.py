"""Checks, before anything is started, that the optional packages a run needs are installed for us and its script."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from longshore_api.errors import InvalidDocuments
from longshore_cli.interpreter import interpreter
from longshore_planner.locations import is_database
from longshore_protocol.job import APPEND_ROW, Job
from longshore_protocol.package_set import PackageSet
from longshore_protocol.packages import MissingPackageError, missing, require
from longshore_storage.databases import require_database
from longshore_storage.store import local_path
from longshore_storage.systems import require_store

_PROBE_TIMEOUT = 30.0  # seconds for another interpreter to look for packages
_PROBE = """
import importlib.util, sys
sys.path.insert(0, sys.argv[1])
print(*(each for each in sys.argv[2:] if importlib.util.find_spec(each) is None))
"""


@dataclass(frozen=True)
class _Need:
    """An optional package and the subject that needs it."""

    package: str
    extra: str
    subject: str


def missing_packages(job: Job, *, python: str | None, source: str, packages: PackageSet | None) -> list[str]:
    """Return one sentence per package that a ParallelRunStep needs and that is not installed.

    Args:
        job: the job of the step.
        python: interpreter that the Environment names, or None for this one.
        source: location of the script's folder.
        packages: packages of the Environment, which are installed later; `missing_in_environment` checks those.
    """
    checks = list(_store_checks(_locations(job)))
    checks += [partial(require, each.package, extra=each.extra, subject=each.subject) for each in _parquet(job)[:1]]
    found = _run_checks(checks)
    if packages is None:
        found += _missing_in_script(job, python=python, source=source)
    return list(dict.fromkeys(found))


def missing_in_environment(job: Job, *, python: str, source: str) -> list[str]:
    """Return one sentence per package that a ParallelRunStep needs and that its Environment does not install.

    Args:
        job: the job of the step.
        python: interpreter of the environment.
        source: location of the script's folder.
    """
    absent = _absent({each.package for each in _needs(job)}, python=python, source=source, variables=job.variables)
    return [
        f"{each.subject} needs the package {each.package}; add it to spec.packages of the Environment"
        for each in _needs(job)
        if each.package in absent
    ]


def missing_packages_of_locations(uris: Iterable[str]) -> list[str]:
    """Return one sentence per missing package of the stores and databases of these locations."""
    return _run_checks(_store_checks(uris))


def _locations(job: Job) -> list[str]:
    """Return the locations that a job reads and writes, the user's own first."""
    uris = [uri for each in job.inputs for uri in each.paths]
    uris += [uri for each in job.side_inputs for uri in each.uris]
    return [*uris, *(each.uri for each in job.models), job.source_uri, job.output.uri, job.run_uri]


def _store_checks(uris: Iterable[str]) -> Iterator[Callable[[], None]]:
    """Yield a function per URI scheme that imports the packages of its store or database."""
    first: dict[str, str] = {}
    for uri in uris:
        if local_path(uri) is None:
            first.setdefault(uri.partition("://")[0], uri)
    for uri in first.values():
        yield partial(require_database if is_database(uri) else require_store, uri)


def _run_checks(checks: Iterable[Callable[[], None]]) -> list[str]:
    """Call each check and return the messages of those that raise MissingPackageError."""
    found = []
    for check in checks:
        try:
            check()
        except MissingPackageError as error:
            found.append(str(error))
    return found


def _parquet(job: Job) -> list[_Need]:
    given = [each.name for each in job.inputs if each.tabular is not None and each.tabular.format == "parquet"]
    subjects = [f'Parquet input "{name}"' for name in given]
    if job.output.action == APPEND_ROW and job.output.format == "parquet":
        subjects.append('Output format "parquet"')
    return [_Need("pyarrow", "parquet", each) for each in subjects]


def _needs(job: Job) -> list[_Need]:
    """Return the packages that a job needs in the script's interpreter."""
    tables = [each.name for each in job.inputs if each.tabular is not None and not each.tabular.as_dicts]
    return [_Need("pandas", "tables", f'Tabular input "{name}"') for name in tables] + _parquet(job)


def _missing_in_script(job: Job, *, python: str | None, source: str) -> list[str]:
    """Return one sentence per package that the script's interpreter lacks."""
    needs = _needs(job)
    if not needs:
        return []
    try:
        path = interpreter(python)
    except InvalidDocuments:  # reported later, by the check of the interpreter itself
        return []
    absent = _absent({each.package for each in needs}, python=path, source=source, variables=job.variables)
    first: dict[str, _Need] = {}
    for need in needs:
        first.setdefault(need.package, need)
    return [_format_missing(need, python=path) for package, need in first.items() if package in absent]


def _absent(packages: set[str], *, python: str, source: str, variables: dict[str, str]) -> set[str]:
    """Return the `packages` that an interpreter does not find; an empty set if the interpreter cannot be run."""
    if python == sys.executable:
        packages = {each for each in packages if importlib.util.find_spec(each) is None}
    if not packages:
        return set()
    command = [python, "-c", _PROBE, local_path(source) or "", *sorted(packages)]
    environment = {**os.environ, **variables}
    with suppress(OSError, subprocess.SubprocessError):
        probe = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_PROBE_TIMEOUT, check=True
        )
        return packages & set(probe.stdout.split())
    return set()


def _format_missing(need: _Need, *, python: str) -> str:
    if python == sys.executable:
        return missing(need.package, extra=need.extra, subject=need.subject)
    return (
        f"{need.subject} needs the package {need.package} in the environment of {python}; "
        f"install it with: {python} -m pip install {need.package}"
    )
