"""`python -m longshore_agent`: the container `agent` of a worker, or an agent process of a local run.

Environment variables:
    LONGSHORE_COORDINATOR: URL of the coordinator.
    LONGSHORE_TOKEN: Bearer token for the coordinator.
    LONGSHORE_WORKER: Name of the worker.
    LONGSHORE_SOCKET: Path of the Unix socket for host and children.
    LONGSHORE_WORK_DIR: Optional parent of the processes' private folders.
    LONGSHORE_STAGE_DIR: Optional folder for staged inputs, read-only to the processes.
    LONGSHORE_CA: Optional file with the run's own certificate authority.
    LONGSHORE_UMASK: Optional umask, octal. Host and agent may be two users of one group that share files.
"""

from __future__ import annotations

import os
import signal
import sys

from longshore_agent.gateway import bind
from longshore_protocol.importing import importing


def main() -> int:
    """Run one agent; return 0 when its work is finished, or 1 after an error, which is printed on stderr."""
    # Until `run_agent` installs its own. The kernel drops signals without a handler for the first process of a
    # container, and deleting the pod would take its whole grace period.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
    environment = os.environ
    if "LONGSHORE_UMASK" in environment:
        os.umask(int(environment["LONGSHORE_UMASK"], 8))
    listening = bind(environment["LONGSHORE_SOCKET"])  # first: the host can connect while the rest is imported

    with importing():
        import asyncio

        from longshore_agent.agent import Settings, run_agent
        from longshore_agent.coordinator_client import Refused, Superseded, Unreachable
        from longshore_agent.paths import StagingError

    settings = Settings(
        coordinator=environment["LONGSHORE_COORDINATOR"],
        token=environment["LONGSHORE_TOKEN"],
        worker=environment["LONGSHORE_WORKER"],
        socket_path=environment["LONGSHORE_SOCKET"],
        work_dir=environment.get("LONGSHORE_WORK_DIR"),
        stage_dir=environment.get("LONGSHORE_STAGE_DIR"),
        ca=environment.get("LONGSHORE_CA"),
    )
    try:
        asyncio.run(run_agent(settings, listening))
    except (Refused, Superseded, Unreachable, StagingError) as error:
        print(f"longshore-agent {settings.worker}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
