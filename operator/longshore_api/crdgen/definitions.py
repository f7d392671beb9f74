"""The custom resource definitions: names and columns of each kind for kubectl, and the schema of its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel

from longshore_api.base import API_VERSION
from longshore_api.crdgen.schema import Schema, observed, structural
from longshore_api.validation import KINDS

CATEGORY = "longshore"
GROUP, _, VERSION = API_VERSION.partition("/")


@dataclass(frozen=True)
class Column:
    """One column of `kubectl get`. Fields that may be numbers or strings have string columns."""

    name: str
    path: str  # JSON path
    description: str
    type: str = "string"
    wide: bool = False  # shown with `-o wide` only

    def to_dict(self) -> dict[str, Any]:
        shown = {"name": self.name, "type": self.type, "jsonPath": self.path, "description": self.description}
        return {**shown, "priority": 1} if self.wide else shown


@dataclass(frozen=True)
class Names:
    """Names of a kind in kubectl, and its columns besides NAME and AGE."""

    plural: str
    short: tuple[str, ...]
    columns: tuple[Column, ...]


def _of(condition: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{condition}")].{field}'


_READY = Column("READY", _of("Ready", "status"), "Whether the resource can be used")
_REASON = Column("REASON", _of("Ready", "reason"), "Why the resource can or cannot be used")
_MESSAGE = Column("MESSAGE", _of("Ready", "message"), "The reason in a sentence", wide=True)
_SUCCEEDED = Column("SUCCEEDED", _of("Succeeded", "status"), "Unknown while the resource runs, then True or False")
_STATE = Column("REASON", _of("Succeeded", "reason"), "State, or the reason of the failure")
_WHY = Column("MESSAGE", _of("Succeeded", "message"), "The reason in a sentence", wide=True)
_COMPUTE = Column("COMPUTE", ".spec.computeTarget", "The ComputeCluster", wide=True)
_STEP = Column("STEP", ".status.origin.step", "The step that registered it")
_RUN = Column("RUN", ".status.origin.runId", "The run that registered it")
_AGE = Column("AGE", ".metadata.creationTimestamp", "Time since the creation of the resource", type="date")

# Short names beginning with ls: other projects have pipelines, datasets, environments and models, too.
NAMES: Mapping[str, Names] = {
    "ParallelRunStep": Names(
        "parallelrunsteps",
        ("prs", "parallelrun"),
        (
            _SUCCEEDED,
            _STATE,
            Column("DONE", ".status.progress.columns.done", "Finished mini-batches, of all"),
            Column("FAILED", ".status.progress.columns.failed", "Mini-batches that failed permanently"),
            Column("RATE", ".status.progress.columns.rate", "Mini-batches that finish per minute"),
            Column("ETA", ".status.progress.columns.eta", "Time until the last mini-batch finishes, at that rate"),
            Column("WORKERS", ".status.progress.columns.workers", "Ready workers, of those requested"),
            _COMPUTE,
            Column("OUTPUT", ".status.output.uri", "The output folder", wide=True),
            _WHY,
        ),
    ),
    "ScriptStep": Names(
        "scriptsteps",
        ("lsscript",),
        (
            _SUCCEEDED,
            _STATE,
            _COMPUTE,
            Column("EXIT", ".status.exitCode", "Exit code of the script", type="integer", wide=True),
            _WHY,
        ),
    ),
    "TransferStep": Names("transfersteps", ("lstransfer",), (_SUCCEEDED, _STATE, _WHY)),
    "Pipeline": Names("pipelines", ("lspipeline",), (_READY, _REASON, _MESSAGE)),
    "PipelineRun": Names(
        "pipelineruns",
        ("lsrun",),
        (
            _SUCCEEDED,
            _STATE,
            Column("STEPS", ".status.columns.steps", "Succeeded steps, of all"),
            Column("CURRENT", ".status.columns.current", "Running steps"),
            Column("PIPELINE", ".status.pipeline", "The pipeline of the run", wide=True),
            _WHY,
        ),
    ),
    "ComputeCluster": Names(
        "computeclusters",
        ("amlcompute",),
        (
            Column("STATE", ".status.allocationState", "Steady or Resizing"),
            Column("NODES", ".status.currentNodeCount", "Current number of nodes", type="integer"),
            Column("TARGET", ".status.targetNodeCount", "Target number of nodes", type="integer"),
            Column("MIN", ".spec.minNodes", "Nodes kept while no step runs"),
            Column("MAX", ".spec.maxNodes", "Maximum number of nodes"),
            Column("BUSY", ".status.nodeStateCounts.runningNodeCount", "Running nodes", type="integer", wide=True),
            Column("SIZE", ".spec.vmSize", "Azure's name of the node size", wide=True),
            Column("PRIORITY", ".spec.vmPriority", "Whether nodes may be reclaimed at any time", wide=True),
            Column("REASON", _of("Ready", "reason"), "What the nodes are waiting for"),
            _MESSAGE,
        ),
    ),
    "Datastore": Names(
        "datastores",
        ("lsstore",),
        (
            Column("URI", ".spec.uri", "Root of the store"),
            Column("DEFAULT", ".spec.default", "Whether it is used where no Datastore is named", type="boolean"),
            _READY,
            _REASON,
            _MESSAGE,
        ),
    ),
    "Dataset": Names(
        "datasets",
        ("lsdata",),
        (
            Column("DATASET", ".spec.name", "Name that scripts and steps ask for"),
            Column("VERSION", ".spec.version", "Version"),
            Column("FILES", ".spec.file.paths", "Paths of a file dataset"),
            Column("ROWS", ".spec.tabular.paths", "Paths of a tabular dataset"),
            Column("FORMAT", ".spec.tabular.format", "Format of the rows", wide=True),
            Column("QUERY", ".spec.tabular.query", "Query of rows of a database", wide=True),
            _STEP,
            _RUN,
        ),
    ),
    "Environment": Names(
        "environments",
        ("lsenv",),
        (
            Column("IMAGE", ".spec.image", "Container image"),
            Column("PYTHON", ".spec.python", "Interpreter inside the image", wide=True),
            _READY,
            _REASON,
            _MESSAGE,
        ),
    ),
    "Model": Names(
        "models",
        ("lsmodel",),
        (
            Column("MODEL", ".spec.name", "Name that scripts ask for"),
            Column("VERSION", ".spec.version", "Version"),
            _STEP,
            _RUN,
            Column("PATH", ".spec.path", "File or folder", wide=True),
            Column("DATASTORE", ".spec.datastore", "Datastore that the path is relative to", wide=True),
        ),
    ),
}


def definitions() -> dict[str, dict[str, Any]]:
    """Return the definition of each kind, an object of apiextensions.k8s.io/v1, by the kind's plural."""
    return {names.plural: _definition(kind, names) for kind, names in NAMES.items()}


def _definition(kind: str, names: Names) -> dict[str, Any]:
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [each.to_dict() for each in (*names.columns, _AGE)],
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": _schema(KINDS[kind])},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": names.plural,
                "singular": kind.lower(),
                "shortNames": list(names.short),
                "categories": [CATEGORY],
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def _schema(model: type[BaseModel]) -> Schema:
    """Return the schema of a kind's objects; Kubernetes lets it restrict no metadata except the name."""
    whole = structural(model)
    fields = whole["properties"]
    status, _ = get_args(model.model_fields["status"].annotation)  # or None
    return {
        "description": whole["description"],
        "type": "object",
        "properties": {
            "apiVersion": {"description": fields["apiVersion"]["description"], "type": "string"},
            "kind": {"description": fields["kind"]["description"], "type": "string"},
            "metadata": {"type": "object", "properties": {"name": fields["metadata"]["properties"]["name"]}},
            "spec": fields["spec"],
            "status": {**observed(status), "description": fields["status"]["description"]},
        },
        "required": ["spec"],
    }
