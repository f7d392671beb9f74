"""The few calls to the API server that are needed here."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

from localcluster.pki import API_PORT, NODE
from localcluster.places import Places
from localcluster.sandbox import Network

Object = dict[str, Any]  # of the Kubernetes API


class Api:
    """Reads as one of the cluster's users."""

    def __init__(self, place: Places, network: Network, *, user: str = "admin") -> None:
        self._root = f"https://{network.node}:{API_PORT}"
        self._tls = ssl.create_default_context(cafile=str(place.pki / "ca.crt"))
        self._tls.load_cert_chain(place.pki / f"{user}.crt", place.pki / f"{user}.key")
        direct = urllib.request.ProxyHandler({})  # never through the proxy that the environment may name
        self._opener = urllib.request.build_opener(direct, urllib.request.HTTPSHandler(context=self._tls))

    def text(self, path: str) -> str | None:
        """Return what the server answers with; None if it does not, or refuses."""
        try:
            with self._opener.open(self._root + path, timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return None

    def get(self, path: str) -> Object | None:
        """Return the object at a path; None if there is none, or no server."""
        text = self.text(path)
        return None if text is None else dict(json.loads(text))

    def is_ready(self) -> bool:
        return self.text("/readyz") is not None

    def can_make_pods(self) -> bool:
        """Whether the service account that every pod needs is there."""
        return self.get("/api/v1/namespaces/default/serviceaccounts/default") is not None

    def node_is_ready(self) -> bool:
        node = self.get(f"/api/v1/nodes/{NODE}") or {}
        conditions = node.get("status", {}).get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
