"""Documents that steps refer to: Datasets, Datastores, Environments, ComputeClusters and Models."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from longshore_api.base import API_VERSION
from longshore_api.errors import shown
from longshore_planner.azureml.environments import described, named
from longshore_planner.azureml.locations import Location, asset_name, is_asset, local_url, parse_location
from longshore_planner.azureml.mltable import guessed_table, read_mltable
from longshore_planner.azureml.names import Names, resource_name
from longshore_planner.azureml.notes import Notes, Remarked, plain

MLTABLE = "mltable"
NODES = 4  # Azure ML's default for the maximum

_NO_CLUSTER = ("local", "serverless", "")
_FILL_IN_STORE = "fill in its URL: abfs://CONTAINER@ACCOUNT.dfs.core.windows.net, gs://, s3://, pvc:CLAIM"


def document(kind: str, name: str, spec: Any) -> dict[str, Any]:
    """Return one Longshore document."""
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


class Resources:
    """Builder of the documents that steps refer to; each document is built once.

    Args:
        notes: Receives what is guessed or not translated.
        base: Folder of the YAML file, as the resulting documents see it.
        read: Function that returns the parsed content of a file by its path from that folder, or None if the file does
            not exist or is no YAML.
    """

    def __init__(self, notes: Notes, *, base: str, read: Callable[[str], Any]) -> None:
        self.notes, self.base, self.read = notes, base, read
        self.default_store = ""  # Azure ML's name of it
        self._names: dict[str, Names] = {}
        self._made: dict[tuple[str, str], dict[str, Any]] = {}

    def documents(self, main: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the documents that `main` refers to; a Dataset that became a Model, or is unused, is left out."""
        named = set(_datasets(main))
        return [each for (kind, name), each in self._made.items() if kind != "Dataset" or name in named]

    def location(self, text: str, *, folder: str, origin: str) -> Location:
        """Parse a path of a YAML file in `folder`, which is below the base folder; create its Datastore."""
        store = self.default_store or "workspaceblobstore"
        whole = text.replace("${{default_datastore}}", store)
        return self._with_datastore(parse_location(whole, folder=posixpath.join(self.base, folder)), origin=origin)

    def _with_datastore(self, location: Location, *, origin: str) -> Location:
        """Create the Datastore of a location and note what was guessed about it; return the location."""
        if location.datastore:
            self.datastore(location.datastore)
        if location.remark:
            self.notes.add(origin, location.remark)
        return location

    def datastore(self, theirs: str, *, default: bool = False) -> str:
        """Return the name of the Datastore for Azure ML's datastore `theirs`; the user fills in its URL."""
        name = self._name("Datastore", theirs)
        if ("Datastore", name) not in self._made:
            uri = Remarked(local_url(self.base, f"datastores/{theirs}"), _FILL_IN_STORE)
            self._made["Datastore", name] = document("Datastore", name, {"uri": uri})
            self.notes.add(f"Datastore {name}", "spec.uri is a folder of this machine; fill in the URL of the store")
        if default:
            self._made["Datastore", name]["spec"]["default"] = True
        return name

    def dataset(self, hint: str, text: str, *, type_: str, folder: str, origin: str) -> tuple[str, bool]:
        """Return the name of a Dataset for a path, and whether it is tabular; `hint` is its name if it has none."""
        location = self.location(text, folder=folder, origin=origin)
        name = self._name("Dataset", location.asset or f"{hint}", key=f"{text}|{type_}|{folder}")
        if ("Dataset", name) not in self._made:
            self._made["Dataset", name] = document("Dataset", name, {})  # reserves the name
            self._made["Dataset", name]["spec"] = self._data(location, text, type_=type_, folder=folder, origin=origin)
        return name, "tabular" in self._made["Dataset", name]["spec"]

    def unknown_dataset(self, hint: str, *, tabular: bool) -> str:
        """Return the name of a new Dataset whose data is unknown; the user fills in its paths."""
        name = self._name("Dataset", hint)
        paths = Remarked([local_url(self.base, f"data/{hint}/")], "fill in the location of the data")
        spec = {"tabular": {"paths": paths, "format": "csv"}} if tabular else {"file": {"paths": paths}}
        self._made["Dataset", name] = document("Dataset", name, spec)
        return name

    def guessed_partition(self, keys: Any, source: Mapping[str, Any]) -> dict[str, Any]:
        """Return a guessed partitionFormat for an input of files whose data has none, else nothing."""
        made = self._made.get(("Dataset", source.get("dataset", "")), {"spec": {}})["spec"]
        names = [key for key in keys if isinstance(key, str) and key.isidentifier()] if isinstance(keys, list) else []
        if not names or any("partitionFormat" in data for data in made.values()):
            return {}
        form = "/".join([*(f"{{{name}}}" for name in names), "*"])
        return {"partitionFormat": Remarked(form, "a guess: the end of each path, from the first key on")}

    def environment(self, given: Any, *, folder: str, origin: str) -> str | None:
        """Return the name of an Environment that is registered, described in place, or in a file of `folder`."""
        if isinstance(given, str) and given.endswith((".yml", ".yaml")) and not is_asset(given):
            path = posixpath.normpath(posixpath.join(folder, given.removeprefix("file:")))
            content, folder = self.read(path), posixpath.dirname(path)
            given = content if isinstance(content, Mapping) else posixpath.basename(given)
        if given in (None, "", {}):
            self.notes.add(origin, "is missing: set an Environment with the image or packages of the script")
            return None
        if isinstance(given, str):
            theirs = asset_name(given)
            spec, remark = named(given, theirs, origin=origin, notes=self.notes)
        elif isinstance(given, Mapping):
            theirs = str(given.get("name") or "environment")
            spec, remark = described(given, folder=folder, read=self.read, origin=origin, notes=self.notes)
        else:
            self.notes.lost(origin, f"it is {shown(given)}, but must be a name or a mapping")
            return None
        key = given if isinstance(given, str) else repr(given)
        name = self._name("Environment", theirs.removesuffix(".yml").removesuffix(".yaml"), key=key)
        if ("Environment", name) not in self._made:
            whole: Any = Remarked(spec, remark) if remark else spec
            self._made["Environment", name] = document("Environment", name, whole)
            if not spec:
                self.notes.add(f"Environment {name}", "is empty; set spec.packages, or spec.image for a cluster")
        return name

    def cluster(self, given: str, *, nodes: int, vm_size: str) -> str | None:
        """Return the name of a ComputeCluster; None for this machine and for Azure ML's serverless nodes."""
        theirs = asset_name(given)
        if theirs in _NO_CLUSTER:
            if not vm_size:
                return None
            theirs = "serverless"
        name = self._name("ComputeCluster", theirs)
        if ("ComputeCluster", name) not in self._made:
            size: dict[str, Any] = {"vmSize": vm_size} if vm_size else {}
            self._made["ComputeCluster", name] = document("ComputeCluster", name, {**size, "maxNodes": NODES})
            if not vm_size:
                limit = Remarked(
                    NODES, "fill in vmSize, such as STANDARD_D2_V2, or resources; and the maximum number of nodes"
                )
                self._made["ComputeCluster", name]["spec"]["maxNodes"] = limit
                self.notes.add(f"ComputeCluster {name}", "fill in vmSize and maxNodes, which only the workspace has")
        spec = self._made["ComputeCluster", name]["spec"]
        if nodes > plain(spec["maxNodes"]):
            old = spec["maxNodes"]
            spec["maxNodes"] = Remarked(nodes, old.text) if isinstance(old, Remarked) else nodes
        return name

    def _name(self, kind: str, theirs: str, *, key: str = "") -> str:
        names = self._names.setdefault(kind, Names(lambda text: resource_name(text.partition("|")[0])))
        return names.of(f"{theirs}|{key}")

    def _data(self, location: Location, text: str, *, type_: str, folder: str, origin: str) -> dict[str, Any]:
        if location.asset:
            self.notes.add(
                origin,
                f"only the workspace has the location of {text}; copy it to {location.path}, or fill in its location",
            )
        elif location.local:
            self.notes.add(origin, "is a path of this machine, which a cluster cannot read; upload it to a Datastore")
        locations, table, partition = [location], None, None
        if type_ == MLTABLE:
            locations, table, partition = self._table(location, text, folder=folder, origin=origin)
        store = next((each.datastore for each in locations if each.datastore), "")
        for each in locations:
            if each.datastore not in ("", store):
                why = (
                    f"a Dataset is in one Datastore, and this one is in {store}; create a Dataset and an input for each"
                )
                self.notes.lost(f"{origin} ({each.path} in {each.datastore})", why)
        paths = [each.path for each in locations if each.datastore in ("", store)]
        remark = f"fill in the paths of {text}" if location.asset else ""
        data: dict[str, Any] = {"paths": Remarked(paths, remark) if remark else paths}
        if store:
            data = {"datastore": self._name("Datastore", store), **data}
        if partition:
            data["partitionFormat"] = partition
        return {"file": data} if table is None else {"tabular": {**data, **table}}

    def _table(
        self, location: Location, text: str, *, folder: str, origin: str
    ) -> tuple[list[Location], dict[str, Any] | None, str | None]:
        if location.local and not location.asset and not is_asset(text):
            where = posixpath.normpath(posixpath.join(folder, text.removeprefix("file:")))
            content = self.read(posixpath.join(where, "MLTable"))
            if content is not None:
                inside = posixpath.join(self.base, where)
                locations, table, partition = read_mltable(
                    content, folder=inside, origin=f"{origin} MLTable", notes=self.notes
                )
                return (
                    [self._with_datastore(each, origin=f"{origin} MLTable.paths") for each in locations],
                    table,
                    partition,
                )
        self.notes.add(origin, f"the MLTable file of {text} was not read; CSV files are a guess")
        guessed, table = guessed_table(location)
        return [guessed], {"format": Remarked(table["format"], "a guess: csv, jsonl or parquet")}, None


def _datasets(value: Any) -> Iterator[str]:
    """Yield the names of the Datasets that documents name as inputs or as defaults of parameters."""
    match plain(value):
        case {"type": "dataset", "default": str(name)} | {"dataset": str(name)}:
            yield name
        case dict() as fields:
            for each in fields.values():
                yield from _datasets(each)
        case list() as every:
            for each in every:
                yield from _datasets(each)
        case _:
            pass
