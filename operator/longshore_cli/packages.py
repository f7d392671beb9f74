"""Optional packages that a run needs, in this process and in that of its script: checked before anything is started."""

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
from longshore_protocol.packages import MissingPackageError, missing, require
from longshore_storage.databases import require_database
from longshore_storage.store import local_path
from longshore_storage.systems import require_store

_PATIENCE = 30.0  # seconds that another interpreter may take to look for packages
_LOOK = """
import importlib.util, sys
sys.path.insert(0, sys.argv[1])
print(*(each for each in sys.argv[2:] if importlib.util.find_spec(each) is None))
"""


@dataclass(frozen=True)
class _Need:
    """An optional package, and what needs it."""

    package: str
    extra: str
    subject: str


def missing_packages(job: Job, *, python: str | None, source: str) -> list[str]:
    """Return a sentence for each missing package of a ParallelRunStep.

    `python` is the interpreter that the Environment names, `source` the location of the script's folder.
    """
    checks = list(_checks(_locations(job)))
    checks += [partial(require, each.package, extra=each.extra, subject=each.subject) for each in _parquet(job)[:1]]
    return list(dict.fromkeys([*_missing(checks), *_missing_in_script(job, python=python, source=source)]))


def missing_packages_of_locations(uris: Iterable[str]) -> list[str]:
    """Return a sentence for each missing package of the stores and databases of these locations."""
    return _missing(_checks(uris))


def _locations(job: Job) -> list[str]:
    """Return the locations that a job reads and writes, those of the user first."""
    uris = [uri for each in job.inputs for uri in each.paths]
    uris += [uri for each in job.side_inputs for uri in each.uris]
    return [*uris, *(each.uri for each in job.models), job.source_uri, job.output.uri, job.run_uri]


def _checks(uris: Iterable[str]) -> Iterator[Callable[[], None]]:
    """Yield what imports the packages of each store and database, for the first location of each scheme."""
    first: dict[str, str] = {}
    for uri in uris:
        if local_path(uri) is None:
            first.setdefault(uri.partition("://")[0], uri)
    for uri in first.values():
        yield partial(require_database if is_database(uri) else require_store, uri)


def _missing(checks: Iterable[Callable[[], None]]) -> list[str]:
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


def _missing_in_script(job: Job, *, python: str | None, source: str) -> list[str]:
    tables = [each.name for each in job.inputs if each.tabular is not None and not each.tabular.as_dicts]
    needs = [_Need("pandas", "tables", f'Tabular input "{name}"') for name in tables] + _parquet(job)
    if not needs:
        return []
    try:
        path = interpreter(python)
    except InvalidDocuments:  # which is reported where the interpreter is needed
        return []
    absent = _absent({each.package for each in needs}, python=path, source=source, variables=job.variables)
    first: dict[str, _Need] = {}
    for need in needs:
        first.setdefault(need.package, need)
    return [_sentence(need, python=path) for package, need in first.items() if package in absent]


def _absent(packages: set[str], *, python: str, source: str, variables: dict[str, str]) -> set[str]:
    """Return the packages that an interpreter does not find; none of them where it cannot tell."""
    if python == sys.executable:
        packages = {each for each in packages if importlib.util.find_spec(each) is None}
    if not packages:
        return set()
    command = [python, "-c", _LOOK, local_path(source) or "", *sorted(packages)]
    environment = {**os.environ, **variables}
    with suppress(OSError, subprocess.SubprocessError):
        looked = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_PATIENCE, check=True)
        return packages & set(looked.stdout.split())
    return set()


def _sentence(need: _Need, *, python: str) -> str:
    if python == sys.executable:
        return missing(need.package, extra=need.extra, subject=need.subject)
    where = f"the package {need.package} in the environment of {python}"
    return f"{need.subject} needs {where}; install it with: {python} -m pip install {need.package}"
