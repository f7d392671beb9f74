"""Messages on the Unix socket: each is the header of one frame, a JSON array that begins with the message's kind.

    host  -> agent   HELLO_HOST, EXITED
    agent -> host    SPEC, SPAWN, KILL, STOP
    child -> agent   HELLO_CHILD, READY, INIT_FAILED, BEGUN, LOADED, DONE, FAILED, BYE
    agent -> child   SPEC, RUN, SHUTDOWN
    script -> agent  REQUEST
    agent -> script  ANSWER, REFUSED

The host spawns, watches and kills children. Each child connects to the agent itself, so results pass one socket only.
Any process of the script may send requests: each has a connection of its own, which ends with the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

from longshore_protocol.job import Output, TabularFormat

HELLO_HOST = "hello-host"  # [kind, protocol, pid]
# [kind, process, exit code (negative: signal), whether it was killed because memory ran out, and from its stderr: the
# line with the last exception or fatal error ("" for none), the last lines of dumped thread stacks ("" for none)]
EXITED = "exited"
SPEC = "spec"  # [kind, HostSpec as a dict]
SPAWN = "spawn"  # [kind, process, slot: the index that it takes over from an earlier process]
KILL = "kill"  # [kind, process, title: dump its thread stacks to its stderr under this line first; "": no dump]
STOP = "stop"  # [kind]

HELLO_CHILD = "hello-child"  # [kind, process, pid, device as shown in the status]
# [kind, seconds of import and init()]; an async entry script appends the seconds that it takes to cancel an overdue
# mini-batch
READY = "ready"
INIT_FAILED = "init-failed"  # [kind, category, message, traceback]
BEGUN = "begun"  # [kind, mini-batch, attempt]: an async entry script begins this one
LOADED = "loaded"  # [kind, mini-batch, attempt]: its rows are loaded, run() begins
MAX_COLUMNS = 1 << 20  # characters of the header line in DONE
DONE = "done"  # [kind, fields of `wire.Completion` (see `outbox`), header]; body: the rows
FAILED = "failed"  # [kind, mini-batch, attempt, items, category, message, traceback, started, elapsed]
BYE = "bye"  # [kind]: shutdown() has finished

# [kind, [[mini-batch, attempt, input], ...]], to begin in this order; body: a JSON array of their slices
RUN = "run"
SHUTDOWN = "shutdown"  # [kind]

# [kind, process (LONGSHORE_PROCESS, "" in a script step), operation, parameters as an object]
REQUEST = "request"
ANSWER = "answer"  # [kind, JSON value]
REFUSED = "refused"  # [kind, one of REFUSALS, message]
INVALID, NOT_FOUND, NOT_ALLOWED, FAILED_REQUEST = "invalid", "not-found", "not-allowed", "failed"
REFUSALS = (INVALID, NOT_FOUND, NOT_ALLOWED, FAILED_REQUEST)


@dataclass(frozen=True)
class InputSpec:
    """The specification of an input for a child."""

    name: str
    tabular: Optional[TabularFormat] = None
    paths: Tuple[str, ...] = ()  # locations: local files, folders, globs, or URLs


@dataclass(frozen=True)
class HostSpec:
    """The specification of the job for host and children, without credentials, token or address."""

    source: str  # local folder with the entry script
    entry_script: str
    arguments: Tuple[str, ...]
    variables: Dict[str, str]  # added to the environment of every process
    inputs: Tuple[InputSpec, ...]
    output: Output
    models: Tuple[Tuple[str, int, str], ...]  # name, version, local path
    work_dir: str  # each process gets a private folder below it
    log_dir: str  # the run folder's logs/, or a copy that is uploaded
    worker: str
    output_dir: str  # the output folder, as a path of this machine
    experiment: str = ""  # the pipeline, or the step if it runs alone
    parent_id: str = ""  # id of the pipeline's run
    registrations: str = ""  # each process with a shutdown() has a folder below it for what it registers
    run_timeout: float = 60.0  # seconds of one run()
    processes: int = 1  # slots of this worker
    gpus: int = 0  # GPUs to distribute among the slots; 0: processes inherit the environment
    logging_level: str = "INFO"
    profiling_module: Optional[str] = None
    container_log: str = "failures"  # what the log of the host's container gets, as in `job.Job`
