"""DNS for pods: `python -m localcluster.names STATE NETWORK` answers for services and for pods with a hostname.

What it answers is read from the API server when someone asks, and kept for a second. It knows the cluster's names only:
nothing outside can be reached from the cluster.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from localcluster.api import Api, Object
from localcluster.places import Places
from localcluster.sandbox import Network

DOMAIN = "cluster.local"
KEPT = 1.0  # seconds
_A, _ANY, _INTERNET = 1, 255, 1
_NO_ERROR, _NO_SUCH_NAME = 0, 3
_ANSWER = 0x8580  # a response, authoritative, recursion asked for and available
_HEADER = struct.Struct("!6H")


class Names:
    """The addresses behind each name."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[str, list[str]] = {}
        self._read_at = -KEPT

    def addresses(self, name: str) -> list[str] | None:
        """Return the addresses behind a name; None if there is no such name."""
        if time.monotonic() - self._read_at >= KEPT:
            self._read()
        return self._known.get(name.lower())

    def _read(self) -> None:
        services, endpoints = self._api.get("/api/v1/services"), self._api.get("/api/v1/endpoints")
        if services is None or endpoints is None:
            return  # the API server is away: what was true a moment ago is the best there is
        known: dict[str, list[str]] = {}
        for name, address in (*_of_services(services), *_of_endpoints(endpoints, _headless(services))):
            known.setdefault(f"{name}.svc.{DOMAIN}", []).append(address)
        self._known, self._read_at = known, time.monotonic()


def _name(of: Object) -> str:
    return f"{of['metadata']['name']}.{of['metadata']['namespace']}"


def _headless(services: Object) -> set[str]:
    return {_name(each) for each in services["items"] if each["spec"].get("clusterIP") == "None"}


def _of_services(services: Object) -> Iterator[tuple[str, str]]:
    for each in services["items"]:
        if each["spec"].get("clusterIP", "None") != "None":
            yield _name(each), each["spec"]["clusterIP"]


def _of_endpoints(endpoints: Object, headless: set[str]) -> Iterator[tuple[str, str]]:
    for each in endpoints["items"]:
        for subset in each.get("subsets") or []:
            for address in subset.get("addresses") or []:
                if _name(each) in headless:
                    yield _name(each), address["ip"]
                if "hostname" in address:
                    yield f"{address['hostname']}.{_name(each)}", address["ip"]


def answer(query: bytes, names: Names) -> bytes | None:
    """Return the answer to a query of one question, None where it is no query."""
    if len(query) < _HEADER.size:
        return None
    number, flags, questions, *_ = _HEADER.unpack_from(query)
    if flags & 0x8000 or questions != 1:
        return None
    labels, at = [], _HEADER.size
    try:
        while length := query[at]:
            labels.append(query[at + 1 : at + 1 + length].decode("ascii", "replace"))
            at += 1 + length
        kind, family = struct.unpack_from("!2H", query, at + 1)
    except (IndexError, struct.error):
        return None
    found = names.addresses(".".join(labels))
    shown = (found or []) if kind in (_A, _ANY) and family == _INTERNET else []
    code = _NO_SUCH_NAME if found is None else _NO_ERROR
    header = _HEADER.pack(number, _ANSWER | code, 1, len(shown), 0, 0)
    records = [struct.pack("!HHHIH", 0xC00C, _A, _INTERNET, 1, 4) + socket.inet_aton(each) for each in shown]
    return header + query[_HEADER.size : at + 5] + b"".join(records)


def main() -> None:
    """Answer queries until the process is killed."""
    place, network = Places(Path(sys.argv[1])), Network(int(sys.argv[2]))
    names = Names(Api(place, network, user="proxy"))  # who may read services and endpoints
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind((network.node, 53))
        while True:
            query, client = bound.recvfrom(4096)
            if response := answer(query, names):
                bound.sendto(response, client)


if __name__ == "__main__":
    main()
