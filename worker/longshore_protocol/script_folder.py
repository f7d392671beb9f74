"""The folder that the agent prepares for a script step, and that its host works in.

spec.json        what to run; written by the agent before the host starts
source/          a copy of the source folder: the script's working directory
git.json         what git says of the source
inputs/<name>/   inputs that were brought
outputs/<name>/  outputs that are uploaded
models/          models that were brought
logs/            stdout.txt and stderr.txt, where the run's folder is in a store
context.json     what `longshore_run` and `longshore_shims` tell the script of its step
metrics.jsonl    what the script logs by `longshore_run`
result.json      how it ended: whole, or not there
host.lock        locked (flock) by the host for as long as it lives: the kernel releases it, whatever killed the host
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Dict, Optional, Tuple

from longshore_protocol.reading import read_text

SPEC, GIT, RESULT, LOCK = "spec.json", "git.json", "result.json", "host.lock"
SOURCE, INPUTS, OUTPUTS, MODELS = "source", "inputs", "outputs", "models"
LOGS, STDOUT, STDERR, METRICS = "logs", "stdout.txt", "stderr.txt", "metrics.jsonl"


@dataclass(frozen=True)
class ScriptSpec:
    """What the host needs to know of a script step: no credential, no URL. All places are paths of this machine."""

    script: str  # path inside source/
    log_dir: str  # stdout.txt and stderr.txt are continued there
    arguments: Tuple[str, ...] = ()
    variables: Dict[str, str] = field(default_factory=dict)  # added to the environment of the script
    models: Tuple[Tuple[str, int, str], ...] = ()  # name, version, path
    timeout: Optional[float] = None  # seconds; None: no limit
    inputs: Dict[str, str] = field(default_factory=dict)  # name -> file or folder
    outputs: Dict[str, str] = field(default_factory=dict)  # name -> folder
    experiment: str = ""  # the pipeline, or the step where it is by itself
    parent_id: str = ""  # the id of the pipeline's run
    image_source: Optional[str] = None  # the source folder in the host's own image: the host copies it to source/

    def to_json(self) -> str:
        """Return the spec as one JSON document that `from_json` reads back."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> ScriptSpec:
        """Read what `to_json` wrote. Raises ValueError."""
        return read_text(ScriptSpec, text)
