"""A resolved script step and its result.

The operator or `longshore run` resolves a script step into a `ScriptJob`; running it gives a `ScriptResult`. Durations
are in seconds, times in seconds since 1970, and locations are absolute local paths or fsspec URLs.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Optional, Tuple

from longshore_protocol.job import MOUNT, Datastore, Model, ScriptInput
from longshore_protocol.reading import read_text
from longshore_protocol.registrations import Registration

UPLOAD = "upload"
SUCCEEDED, FAILED, TIMED_OUT, CANCELLED = "succeeded", "failed", "timed_out", "cancelled"
OUT_OF_MEMORY, INPUT_ERROR, STORAGE_ERROR = "OutOfMemory", "InputError", "StorageError"
TRANSFER_FAILED = "TransferFailed"


@dataclass(frozen=True)
class ScriptOutput:
    """An output folder, created before the script starts; its path replaces `$(outputs.NAME)` in the arguments."""

    name: str
    uri: str
    mode: str = MOUNT  # "mount": written in place if local; "upload": uploaded after success
    overwrite: bool = True  # False: the folder must be empty when the step begins
    registration: Optional[Registration] = None  # of the folder, after success


@dataclass(frozen=True)
class ScriptJob:
    """One resolved script step."""

    name: str
    run_id: str
    run_uri: str  # the folder of this step's run: logs/ and outputs/ are its artifacts
    source_uri: str  # folder, or .zip, with the script
    script: str  # path inside the source folder
    arguments: Tuple[str, ...] = ()  # with $(inputs.NAME) and $(outputs.NAME) still in them
    inputs: Tuple[ScriptInput, ...] = ()
    outputs: Tuple[ScriptOutput, ...] = ()
    variables: Dict[str, str] = field(default_factory=dict)  # environment of the script
    params: Dict[str, str] = field(default_factory=dict)  # the same as AML_PARAMETER_<name>
    models: Tuple[Model, ...] = ()
    datastores: Tuple[Datastore, ...] = ()
    catalogue: str = ""  # what the script may ask for by name, see `longshore_protocol.catalogue`
    timeout: Optional[float] = None  # seconds, of the script without staging; None: no limit
    logging_level: str = "INFO"
    experiment: str = ""  # the pipeline of the step
    parent_id: str = ""  # id of the pipeline's run
    pipeline_parameters: Dict[str, str] = field(default_factory=dict)  # values of the pipeline's parameters

    def to_dict(self) -> Dict[str, Any]:
        """Return the job as a JSON object. `asdict` would copy each string: a pipeline may have hundreds of jobs."""
        return {
            **vars(self),
            "arguments": list(self.arguments),
            "inputs": [_input(each) for each in self.inputs],
            "outputs": [asdict(each) for each in self.outputs],
            "variables": dict(self.variables),
            "params": dict(self.params),
            "pipeline_parameters": dict(self.pipeline_parameters),
            "models": [asdict(each) for each in self.models],
            "datastores": [asdict(each) for each in self.datastores],
        }

    def to_json(self) -> str:
        """Return the job as one JSON document that `from_json` reads back."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> ScriptJob:
        """Read what `to_json` wrote, in this version or an adjacent one. Raises ValueError."""
        return read_text(ScriptJob, text)


def _input(given: ScriptInput) -> Dict[str, Any]:
    return {
        **vars(given),
        "uris": list(given.uris),
        "tabular": None if given.tabular is None else asdict(given.tabular),
    }


@dataclass(frozen=True)
class ScriptResult:
    """The result of one execution of a script step."""

    state: str  # "succeeded", "failed", "timed_out" or "cancelled"
    exit_code: Optional[int]  # negative: the signal that killed the script; None: it never started
    message: str  # one sentence, or the last line of the script's traceback
    metrics: Dict[str, Any]  # name -> number, string, or list of those or of rows
    started: float  # seconds since 1970
    finished: float
    git: Optional[Dict[str, Any]] = None  # repository, branch, commit (strings), dirty (bool) of the source
    reason: str = ""  # one of the reasons above, if the failure was not the script's own
    registered: str = ""  # packed `Registration`s of a success
    code: str = ""  # digest of the files of the source, "" if unknown

    def to_json(self) -> str:
        """Return the result as one JSON document that `from_json` reads back."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> ScriptResult:
        """Read what `to_json` wrote, in this version or an adjacent one. Raises ValueError."""
        return read_text(ScriptResult, text)
