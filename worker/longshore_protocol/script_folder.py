"""The folder of a script step, which the agent prepares and the host works in.

spec.json        what to run; written by the agent before the host starts
source/          a copy of the source folder: the script's working directory
git.json         git state of the source
inputs/<name>/   downloaded inputs
outputs/<name>/  outputs to be uploaded
models/          downloaded models
SOURCE, INPUTS, OUTPUTS, MODELS, NAMED = "source", "inputs", "outputs", "models", "named"
REGISTRATIONS, CODE = "registrations", "code.txt"
logs/            stdout.txt and stderr.txt, if the run folder is in a store
context.json     the step's context for `longshore_run` and `longshore_shims`
registrations/   what the script registers, see `registrations`
metrics.jsonl    metrics that the script logs through `longshore_run`
result.json      the result, written atomically
agent.sock       where requests of the script are answered, unless the path is too long for a socket
host.lock        locked (flock) while the host is alive; the kernel releases it when the host dies
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Optional, Tuple

from longshore_protocol.reading import read_text

SPEC, GIT, RESULT, LOCK, SOCKET = "spec.json", "git.json", "result.json", "host.lock", "agent.sock"
SOURCE, INPUTS, OUTPUTS, MODELS, NAMED = "source", "inputs", "outputs", "models", "named"
REGISTRATIONS, CODE = "registrations", "code.txt"
LOGS, STDOUT, STDERR, METRICS = "logs", "stdout.txt", "stderr.txt", "metrics.jsonl"


@dataclass(frozen=True)
class ScriptSpec:
    """The specification of a script step for its host: local paths only, no credentials, no URLs."""

    script: str  # path inside source/
    log_dir: str  # stdout.txt and stderr.txt are appended to there
    arguments: Tuple[str, ...] = ()
    variables: Dict[str, str] = field(default_factory=dict)  # added to the environment of the script
    models: Tuple[Tuple[str, int, str], ...] = ()  # name, version, path
    timeout: Optional[float] = None  # seconds; None: no limit
    inputs: Dict[str, str] = field(default_factory=dict)  # name -> file or folder
    tables: Dict[str, Any] = field(default_factory=dict)  # name -> fields of the TabularFormat of an input with rows
    outputs: Dict[str, str] = field(default_factory=dict)  # name -> folder
    experiment: str = ""  # the pipeline, or the step if it runs alone
    parent_id: str = ""  # the id of the pipeline's run
    socket: str = ""  # where requests of the script are answered
    image_source: Optional[str] = None  # the source folder in the host's own image: the host copies it to source/

    def to_json(self) -> str:
        """Return the spec as one JSON document that `from_json` reads back."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> ScriptSpec:
        """Read what `to_json` wrote. Raises ValueError."""
        return read_text(ScriptSpec, text)
