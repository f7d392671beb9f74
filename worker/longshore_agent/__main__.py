"""`python -m longshore_agent`: the container `agent` of a worker, or an agent process of a local run.

Takes its settings from the environment: LONGSHORE_COORDINATOR (URL), LONGSHORE_TOKEN, LONGSHORE_WORKER,
LONGSHORE_SOCKET, and optionally LONGSHORE_WORK_DIR, LONGSHORE_STAGE_DIR (for inputs, which processes only read there),
LONGSHORE_CA (the run's own certificate authority, a file) and LONGSHORE_UMASK (octal: where host and agent are two
users of one group, what one writes must be open to the other).
"""

from __future__ import annotations

import os
import signal
import sys

from longshore_agent.gateway import bind


def main() -> int:
    """Run one agent: 0 when its work is over, 1 when it could not work (the reason is on stderr)."""
    # Until `run_agent` has one. The first process of a container gets no signal that it has no handler for, and its pod
    # would outlive its deletion by the whole grace.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
    environment = os.environ
    if "LONGSHORE_UMASK" in environment:
        os.umask(int(environment["LONGSHORE_UMASK"], 8))
    listening = bind(environment["LONGSHORE_SOCKET"])  # first of all: the host connects while the rest is imported

    import asyncio

    from longshore_agent.agent import Settings, run_agent
    from longshore_agent.coordinator_client import Refused, Superseded, Unreachable
    from longshore_agent.places import StagingError

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
