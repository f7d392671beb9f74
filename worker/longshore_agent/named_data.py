"""Models, Datasets and Datastores by name, and whether the step's script may use them.

Everything was frozen with the run. A script may use the Datastores of its job, and the Models and Datasets in them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from longshore_agent.requests import RequestError
from longshore_protocol import messages
from longshore_protocol.catalogue import MODEL, Asset, Catalogue, unpack
from longshore_protocol.job import Datastore, Job
from longshore_protocol.redaction import redacted
from longshore_protocol.script_job import ScriptJob

_ALIAS = "workspaceblobstore"  # Azure ML's name of a workspace's own store: here, the default Datastore
_MACHINE = ""  # the Datastore of a local run that stands for the files of the machine
_SHOWN = 10  # names in a message


class NamedData:
    """Look-up of what a script asks for. All methods raise RequestError."""

    def __init__(self, job: Job | ScriptJob) -> None:
        self._packed = job.catalogue
        self._usable = {each.name: each for each in job.datastores}

    def datastores(self) -> list[Datastore]:
        """Return the Datastores that the script may use."""
        return [each for each in self._usable.values() if each.name != _MACHINE]

    def datastore(self, name: str) -> Datastore:
        """Return a Datastore; for "workspaceblobstore", the default one if none has this name."""
        if name in self._usable and name != _MACHINE:
            return self._usable[name]
        if name in self._catalogue.datastores:
            raise RequestError(
                f'Datastore "{name}" is not among those that this step may use ({self._usable_names()}); add "{name}" '
                "to spec.datastores of the step.",
                messages.NOT_ALLOWED,
            )
        if name == _ALIAS:
            return self.default_datastore()
        text = f'Datastore "{name}" does not exist; those that this step may use: {self._usable_names()}.'
        raise RequestError(text, messages.NOT_FOUND)

    def default_datastore(self) -> Datastore:
        """Return the Datastore that is the default."""
        for each in self.datastores():
            if each.default:
                return each
        text = (
            f"No Datastore that this step may use ({self._usable_names()}) is the default; add the default one to "
            "spec.datastores of the step, or set spec.default of a Datastore."
        )
        raise RequestError(text, messages.NOT_FOUND)

    def assets(self, kind: str, name: str | None = None) -> list[Asset]:
        """Return the Models or Datasets that the script may use, by name and version."""
        found = [each for each in self._of(kind) if name in (None, each.name) and self._refusal(each) is None]
        return sorted(found, key=lambda each: (each.name, -each.version))

    def asset(self, kind: str, name: str, version: int | None) -> Asset:
        """Return a Model or Dataset: of the given version, or of the highest one that exists."""
        named = [each for each in self._of(kind) if each.name == name]
        named = named or [each for each in self._of(kind) if each.resource == name]
        wanted = [each for each in named if version in (None, each.version)]
        if not wanted:
            raise RequestError(self._absence(kind, name, version, named), messages.NOT_FOUND)
        found = max(wanted, key=lambda each: each.version)
        refusal = self._refusal(found)
        if refusal is not None:
            raise RequestError(refusal, messages.NOT_ALLOWED)
        return found

    def uris(self, asset: Asset) -> tuple[str, ...]:
        """Return the locations of a Model or Dataset that the script may use."""
        if asset.tabular is not None and asset.tabular.get("query") is not None:
            text = (
                f"{described(asset)} is a query of a database; declare it in spec.inputs, so that run() receives rows."
            )
            raise RequestError(text, messages.NOT_ALLOWED)
        return tuple(join(self._usable[store].uri, path) for store, path in asset.locations)

    @cached_property
    def _catalogue(self) -> Catalogue:
        return unpack(self._packed)

    def _of(self, kind: str) -> Iterable[Asset]:
        if self._catalogue.refusal:
            raise RequestError(self._catalogue.refusal, messages.NOT_ALLOWED)
        return (each for each in self._catalogue.assets if each.kind == kind)

    def _refusal(self, asset: Asset) -> str | None:
        """Return why the script may not use a Model or Dataset; None if it may."""
        for store, path in asset.locations:
            if store != _MACHINE and store not in self._usable:
                return (
                    f'{described(asset)} is in Datastore "{store}", which is not among those that this step may use '
                    f'({self._usable_names()}); add "{store}" to spec.datastores of the step.'
                )
            if store == _MACHINE and (_MACHINE not in self._usable or not path.startswith("/")):
                return (
                    f'{described(asset)} is at "{redacted(path)}", in no Datastore; create one that contains it, and '
                    "list that in spec.datastores of the step."
                )
            if ".." in path.split("/"):
                return f'{described(asset)} has ".." in its path "{path}"; write it without, below its Datastore.'
        return None

    def _usable_names(self) -> str:
        return _listed(each.name for each in self.datastores())

    def _absence(self, kind: str, name: str, version: int | None, named: list[Asset]) -> str:
        if named:
            versions = _listed(str(each) for each in sorted({each.version for each in named}))
            return f'{kind} "{name}" had no version {version} when this run began; its versions: {versions}.'
        declared = "spec.models" if kind == MODEL else "spec.inputs"
        known = _listed(sorted({each.name for each in self._of(kind)}))
        return (
            f'{kind} "{name}" is not in {declared} of the step and did not exist when this run began; '
            f"{kind}s that existed: {known}."
        )


def described(asset: Asset) -> str:
    """Return a name of a Model or Dataset for messages."""
    return f'{asset.kind} "{asset.name}" version {asset.version}'


def join(root: str, path: str) -> str:
    """Join the root of a Datastore and a path below it."""
    path = path.lstrip("/")
    return f"{root.rstrip('/')}/{path}" if path else root


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return (", ".join(every[:_SHOWN]) or "none") + more
