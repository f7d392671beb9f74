"""The messages on the unix socket, each the header of one frame: a JSON array that starts with the message's kind.

    host  -> agent   HELLO_HOST, EXITED
    agent -> host    SPEC, SPAWN, KILL, STOP
    child -> agent   HELLO_CHILD, READY, INIT_FAILED, BEGUN, LOADED, DONE, FAILED, BYE
    agent -> child   SPEC, RUN, SHUTDOWN

The host spawns, watches and kills; each child speaks with the agent itself, so results pass through one socket only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

from longshore_protocol.job import Output, TabularFormat

HELLO_HOST = "hello-host"  # [kind, protocol, pid]
# [kind, process, exit code (negative: signal), killed for memory, and of its stderr: the line that names the last
# exception or fatal error ("" for none), the last lines of the stacks of its threads ("" where they were not dumped)]
EXITED = "exited"
SPEC = "spec"  # [kind, HostSpec as a dict]
SPAWN = "spawn"  # [kind, process, its slot: the place that it takes over from an earlier process]
KILL = (
    "kill"  # [kind, process, why: the stacks of its threads are dumped into its stderr under this line first; "": not]
)
STOP = "stop"  # [kind]

HELLO_CHILD = "hello-child"  # [kind, process, pid, device: what it was given to compute on, as the status says it]
# [kind, seconds of import and init()]; of one that runs several mini-batches at once, the seconds follow in which it
# itself ends one that is above its time
READY = "ready"
INIT_FAILED = "init-failed"  # [kind, category, message, traceback]
BEGUN = "begun"  # [kind, mini-batch, attempt], of one that runs several at once: it begins this one
LOADED = "loaded"  # [kind, mini-batch, attempt]: its rows are read, run() begins
MAX_COLUMNS = 1 << 20  # characters of the header line in DONE
DONE = "done"  # the kind, the fields of `wire.Completion` that a child knows (see `outbox`), header; body: the rows
FAILED = "failed"  # [kind, mini-batch, attempt, items, category, message, traceback, started, elapsed]
BYE = "bye"  # [kind]: shutdown() is through

# [kind, [[mini-batch, attempt, input], ...]], to be begun in this order; body: a JSON array of their slices
RUN = "run"
SHUTDOWN = "shutdown"  # [kind]


@dataclass(frozen=True)
class InputSpec:
    """What a child needs to know of an input."""

    name: str
    tabular: Optional[TabularFormat] = None
    paths: Tuple[str, ...] = ()  # where it lies: local files, folders, globs, or URLs


@dataclass(frozen=True)
class HostSpec:
    """What host and children need to know of the job: no credential, no token, no address."""

    source: str  # local folder with the entry script
    entry_script: str
    arguments: Tuple[str, ...]
    variables: Dict[str, str]  # added to the environment of every process
    inputs: Tuple[InputSpec, ...]
    output: Output
    models: Tuple[Tuple[str, int, str], ...]  # name, version, local path
    work_dir: str  # each process gets a private folder below it
    log_dir: str  # the run folder's logs/ (or what is later copied there)
    worker: str
    output_dir: str  # the output folder, as a path of this machine
    experiment: str = ""  # the pipeline, or the step where it is by itself
    parent_id: str = ""  # the id of the pipeline's run
    run_timeout: float = 60.0  # seconds of one run()
    processes: int = 1  # slots of this worker...
    gpus: int = 0  # ...among which so many GPUs are shared out; 0: what processes inherit is left alone
    logging_level: str = "INFO"
    profiling_module: Optional[str] = None
