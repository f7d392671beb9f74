"""`python -m longshore_host SOCKET`: the container `main` of a worker, or a host process of a local run.

Serves one agent after the other on the same socket: an agent that is restarted finds its host again.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from longshore_host.connection import ConnectionLost, connect
from longshore_host.linux import adopt_orphans, die_with_parent
from longshore_host.supervisor import Supervisor
from longshore_protocol import messages
from longshore_protocol.reading import read
from longshore_protocol.wire import PROTOCOL

PAUSE = 0.1  # seconds before the next try when an agent is lost: one that fails at once is not worth more
PATIENCE = 120.0  # seconds to wait for an agent before giving up


class Ending:
    """What SIGTERM means: the agent was told, too, and says when to stop. Without one, there is nothing to wait for.

    A container's first process must say so: what it has no handler for, the kernel does not deliver.
    """

    told = False
    waits = False  # for an agent

    def tell(self, *_: object) -> None:
        """Handle the signal."""
        self.told = True
        if self.waits:
            raise SystemExit(0)


def main() -> int:
    """Run until the agent says stop (0), none is there to say it (0), or none comes back within PATIENCE (1)."""
    socket_path, ending = sys.argv[1], Ending()
    if len(sys.argv) > 2:  # started by a local run: end with it
        die_with_parent(int(sys.argv[2]))
    else:
        signal.signal(signal.SIGTERM, ending.tell)
    if "LONGSHORE_UMASK" in os.environ:  # a pod's containers may be two users of one group
        os.umask(int(os.environ["LONGSHORE_UMASK"], 8))
    adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        ending.waits = True
        if ending.told:
            return 0
        connection = connect(socket_path, PATIENCE)
        ending.waits = False
        if connection is None:
            print("longshore-host: no agent at {} within {:.0f} s".format(socket_path, PATIENCE), file=sys.stderr)
            return 1
        try:
            connection.send([messages.HELLO_HOST, PROTOCOL, os.getpid()])
            spec = read(messages.HostSpec, connection.receive()[1])
        except ConnectionLost:
            time.sleep(PAUSE)
            continue
        if Supervisor(connection, spec, socket_path=socket_path).run():
            return 0
        connection.close()
        time.sleep(PAUSE)


if __name__ == "__main__":
    sys.exit(main())
