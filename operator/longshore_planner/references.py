"""Resolution of a step's references: Datasets, Datastores, Models, Environments and locations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from longshore_api.base import NameRef, Resource
from longshore_api.data import Datastore, FileDataset, TabularDataset
from longshore_api.errors import InvalidDocuments, Problem, listed
from longshore_api.parallel_run_step import Source, StepModel
from longshore_api.resources import Environment, Model
from longshore_planner.catalogue import Document, Documents
from longshore_planner.locations import is_database, is_url, join, locate
from longshore_protocol import job
from longshore_protocol.package_set import PackageSet

R = TypeVar("R", bound=Resource)


@dataclass
class References:
    """Resolver of a step's references; collects all problems in `problems` instead of raising the first."""

    documents: Documents
    step: Document[Resource]
    problems: list[Problem] = field(default_factory=list)

    def environment(self, given: NameRef | None) -> Document[Environment] | None:
        """Return the Environment that a step names; None if it names none, or one that does not exist."""
        return None if given is None else self.find(Environment, given.name, self.step, "spec.environment.name")

    def packages(self, environment: Document[Environment] | None) -> PackageSet | None:
        """Return the packages of an Environment; None if it has none, or if there are problems."""
        if environment is None or environment.resource.spec.packages is None:
            return None
        from longshore_planner.packages.freeze import freeze_packages  # late: few Environments have packages

        try:
            return freeze_packages(environment)
        except InvalidDocuments as error:
            for problem in error.problems:
                self.report(problem)
            return None

    def source_uri(self, source: Source | None) -> str:
        """Return the location of a step's source folder: the YAML file's folder if the step names none."""
        if source is None:
            return self.step.folder
        if source.uri is None:
            name = "configMap" if source.config_map else "image"
            text = "is supported on clusters only; for a local run, set spec.source.uri"
            self.problems.append(self.step.problem(f"spec.source.{name}", text))
            return self.step.folder
        return self.locate(source.uri, self.step, "spec.source.uri")

    def models(self, given: list[StepModel]) -> tuple[job.Model, ...]:
        """Return the Models that a step names, with their locations."""
        found = [self._model(each, f"spec.models[{index}]") for index, each in enumerate(given)]
        return tuple(filter(None, found))

    def paths(self, data: FileDataset | TabularDataset, where: Document[Resource], path: str) -> tuple[str, ...]:
        """Return the locations of the data that document `where` describes at `path`; for a query, its database."""
        if isinstance(data, TabularDataset) and data.query is not None:
            store = self._store(data.datastore, where, f"{path}.datastore")
            if store is None and data.datastore is None:
                text = "is missing, and no Datastore is the default; format sql needs one whose uri is a database"
                self.report(where.problem(f"{path}.datastore", text, missing=Datastore.__name__))
            if store is not None and not is_database(store.resource.spec.uri):
                rule = "must be postgresql://... or mssql://... for data of format sql"
                self.report(store.wrong("spec.uri", store.resource.spec.uri, rule))
            return () if store is None else (store.resource.spec.uri,)
        return tuple(
            self.location(each, data.datastore, where, f"{path}.paths[{index}]")
            for index, each in enumerate(data.paths)
        )

    def location(self, location: str, datastore: str | None, where: Document[Resource], path: str) -> str:
        """Resolve a location that is absolute, relative to a Datastore, or without one relative to the YAML file."""
        if is_url(location) or (location.startswith("/") and datastore is None):
            return self.locate(location, where, path)
        store = self.datastore(datastore, where, path.rpartition(".")[0] + ".datastore")
        return self.locate(location, where, path) if store is None else join(store, location)

    def datastore(self, name: str | None, where: Document[Resource], path: str) -> str | None:
        """Return the root of a Datastore, of the default one for None; None if neither exists."""
        store = self._store(name, where, path)
        if store is None:
            return None
        if is_database(store.resource.spec.uri):
            text = f"is {store.name!r}, a database, which supports only tabular data of format sql"
            self.report(where.problem(path, text if name is not None else f"is missing, and the default one {text}"))
        return self.locate(store.resource.spec.uri, store, "spec.uri")

    def database_name(self, data: TabularDataset) -> str:
        """Return the name of the Datastore whose database is queried, "" if there is none."""
        defaults = [each.name for each in self.documents.of(Datastore) if each.resource.spec.default]
        return "" if data.query is None else data.datastore or next(iter(defaults), "")

    def _store(self, name: str | None, where: Document[Resource], path: str) -> Document[Datastore] | None:
        if name is not None:
            return self.find(Datastore, name, where, path)
        defaults = [each for each in self.documents.of(Datastore) if each.resource.spec.default]
        if len(defaults) > 1:
            text = f"is missing, and several Datastores are the default: {listed(each.name for each in defaults)}"
            self.report(where.problem(path, text))
        return next(iter(defaults), None)

    def find(self, kind: type[R], name: str, where: Document[Resource], path: str) -> Document[R] | None:
        """Return the document that the field at `path` of `where` names; report a problem if it does not exist."""
        found = self.documents.find(kind, name)
        if found is None:
            known = listed(self.documents.names(kind))
            rule = f"there is no such {kind.__name__}; the documents have {known}"
            self.report(where.wrong(path, name, rule, missing=kind.__name__))
        return found

    def locate(self, location: str, where: Document[Resource], path: str) -> str:
        """Resolve a location, relative to the file of `where`; report a problem if a local run cannot access it."""
        try:
            return locate(location, folder=where.folder)
        except ValueError as error:
            self.report(where.problem(path, f"is {location!r}: it {error}"))
            return location

    def report(self, problem: Problem) -> None:
        """Add a problem, unless it is already listed."""
        if problem not in self.problems:  # several paths may use the same invalid Datastore
            self.problems.append(problem)

    def _model(self, given: StepModel, path: str) -> job.Model | None:
        models = self.documents.of(Model)
        named = [each for each in models if (each.resource.spec.name or each.name) == given.name]
        named = named or [each for each in models if each.name == given.name]
        wanted = [each for each in named if given.version in (None, each.resource.spec.version)]
        if not wanted:
            known = listed(sorted(f"{m.resource.spec.name or m.name} {m.resource.spec.version}" for m in models))
            version = "" if given.version is None else f" of version {given.version}"
            rule = f"there is no such Model{version}; Models and their versions: {known}"
            self.problems.append(self.step.wrong(f"{path}.name", given.name, rule, missing=Model.__name__))
            return None
        model = max(wanted, key=lambda each: each.resource.spec.version)
        spec = model.resource.spec
        twins = [each for each in wanted if each.resource.spec.version == spec.version]
        if len(twins) > 1:
            rule = f"two Models have this name and version {spec.version}: {listed(each.name for each in twins)}"
            self.problems.append(self.step.wrong(f"{path}.name", given.name, rule))
            return None
        uri = self.location(spec.path, spec.datastore, model, "spec.path")
        return job.Model(spec.name or model.name, spec.version, uri)


def python_of(environment: Document[Environment] | None) -> str | None:
    """Return the interpreter as a name to look up on PATH, or as a path resolved from the Environment's file."""
    python = None if environment is None else environment.resource.spec.python
    if python is None or environment is None or "/" not in python:
        return python
    return locate(python, folder=environment.folder)
