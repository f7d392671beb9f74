"""`python -m longshore_host SOCKET`: the container `main` of a worker, or a host process of a local run.

Serves one agent after the other on the same socket: an agent that is restarted finds its host again.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial

from longshore_host import orphans, parent_death
from longshore_host.connection import ConnectionLost, connect
from longshore_host.container_log import ContainerLog
from longshore_host.records import NONE
from longshore_host.supervisor import Supervisor
from longshore_protocol import messages
from longshore_protocol.reading import read
from longshore_protocol.wire import PROTOCOL

PAUSE = 0.1  # seconds before the next attempt to connect after an agent is lost
PATIENCE = 120.0  # seconds to wait for an agent before giving up


class Termination:
    """The reaction to SIGTERM.

    The host of a local run ends, with all that it started. In a pod the agent receives the signal as well, and decides
    when the host stops; the host ends by itself only while it has no agent. A container's first process needs a handler
    for that: the kernel delivers no other signal to it.
    """

    def __init__(self, *, is_local: bool) -> None:
        self._is_local = is_local
        self._is_requested = False
        self.waits_for_agent = False

    def request(self, *_: object) -> None:
        """Handle the signal."""
        self._is_requested = True
        if self.waits_for_agent:
            raise SystemExit(0)

    def is_due(self, *, has_agent: bool) -> bool:
        """Return whether the host ends now."""
        return self._is_requested and (self._is_local or not has_agent)


def main() -> int:
    """Serve agents until one sends stop or SIGTERM ends the host (0), or none connects within PATIENCE (1)."""
    socket_path, is_local = sys.argv[1], len(sys.argv) > 2
    termination = Termination(is_local=is_local)
    signal.signal(signal.SIGTERM, termination.request)
    if is_local:
        parent_death.end_with_parent(sys.argv[2], by=signal.SIGTERM)  # which leaves time to kill what scripts started
    if "LONGSHORE_UMASK" in os.environ:  # a pod's containers may be two users of one group
        os.umask(int(os.environ["LONGSHORE_UMASK"], 8))
    orphans.adopt()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        termination.waits_for_agent = True
        if termination.is_due(has_agent=False):
            return 0
        connection = connect(socket_path, PATIENCE)
        termination.waits_for_agent = False
        if connection is None:
            print("longshore-host: no agent at {} within {:.0f} s".format(socket_path, PATIENCE), file=sys.stderr)
            return 1
        try:
            connection.send([messages.HELLO_HOST, PROTOCOL, os.getpid()])
            spec = read(messages.HostSpec, connection.receive()[1])
        except ConnectionLost:
            time.sleep(PAUSE)
            continue
        is_due = partial(termination.is_due, has_agent=True)
        log = ContainerLog(NONE if is_local else spec.container_log)  # a local run has no container
        supervisor = Supervisor(connection, spec, socket_path=socket_path, is_ending=is_due, container_log=log)
        if supervisor.run():
            return 0
        connection.close()
        time.sleep(PAUSE)


if __name__ == "__main__":
    sys.exit(main())
