"""The other ends of a worker's connections: hosts and processes."""

from fakes import Transport

from longshore_agent.work import Lease
from longshore_protocol import messages
from longshore_protocol.frames import encode
from longshore_protocol.wire import PROTOCOL, Grant

PROCESS = 0


class Peer:
    """The other end of a connection: keeps what it is sent."""

    device = "gpu:0"

    def __init__(self):
        self.received = []
        self.closed = False

    def send(self, header, body=b""):
        self.received.append(header)

    def close(self):
        self.closed = True

    def was_to_run(self):
        """Return the [mini-batch, attempt] of all that it was to run."""
        runs = [header[1] for header in self.received if header[0] == messages.RUN]
        return [list(grant[:2]) for grants in runs for grant in grants]


def leases(*pairs):
    return [Lease(Grant(mini_batch, attempt, 0, b'["/in/a"]'), tabular=False) for mini_batch, attempt in pairs]


class Connection(Transport):
    """A connection to which messages are given, and not bytes."""

    def send(self, *headers, body=b""):
        super().send(b"".join(encode(header, body) for header in headers))

    def spawned(self):
        return [header[1] for header in self.received if header[0] == messages.SPAWN]


HELLO_HOST = [messages.HELLO_HOST, PROTOCOL, 1]


def hello(process):
    return [messages.HELLO_CHILD, process, 1, "cpu"]
