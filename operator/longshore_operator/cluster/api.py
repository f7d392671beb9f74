"""Calls of the Kubernetes API: the only module that makes them and handles the client's exceptions.

ApiError          may pass: the caller retries later
|-- Conflict      another client changed the object first: observe and decide again
|   `-- Taken     an object of that name exists
|-- Refused       a rule of the cluster, such as a quota, forbids it: report it to the user
NotFound          the object to change does not exist; reading one returns None
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote, unquote

from kubernetes import config
from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from longshore_operator.common.pool import Holder, Pool
from longshore_operator.manifests.names import GROUP, MANAGER, VERSION

Manifest = dict[str, Any]

_OURS = f"apis/{GROUP}/{VERSION}"
_PATHS: Mapping[str, tuple[str, str]] = {  # kind -> API, plural
    "ConfigMap": ("api/v1", "configmaps"),
    "Secret": ("api/v1", "secrets"),
    "Service": ("api/v1", "services"),
    "Pod": ("api/v1", "pods"),
    "Event": ("api/v1", "events"),
    "NetworkPolicy": ("apis/networking.k8s.io/v1", "networkpolicies"),
    "Lease": ("apis/coordination.k8s.io/v1", "leases"),
    "Pipeline": (_OURS, "pipelines"),
    "PipelineRun": (_OURS, "pipelineruns"),
    "ParallelRunStep": (_OURS, "parallelrunsteps"),
    "ScriptStep": (_OURS, "scriptsteps"),
    "TransferStep": (_OURS, "transfersteps"),
    "ComputeCluster": (_OURS, "computeclusters"),
    "Datastore": (_OURS, "datastores"),
    "Dataset": (_OURS, "datasets"),
    "Environment": (_OURS, "environments"),
    "Model": (_OURS, "models"),
}
_KINDS = {plural: kind for kind, (_, plural) in _PATHS.items()}
_OBJECTS = re.compile(
    r"/(?:api/v1|apis/[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[a-z]+)(?P<name>/[^/]+)?(?P<sub>/[a-z]+)?"
)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_TIMEOUT = 30.0  # seconds a call may take


class ApiError(Exception):
    """The API server did not carry a call out; it may do so later."""


class Conflict(ApiError):
    """An object of that name exists, or it is another than the one that was observed."""


class Taken(Conflict):
    """There is an object of that name; the message is the API server's own sentence."""


class Refused(ApiError):
    """The API server does not allow it; the message is its own sentence."""


class NotFound(Exception):
    """There is no such object."""


class Kube(Protocol):
    """All that controllers ask of a cluster. Each call raises ApiError.

    Objects that are returned belong to everybody and are never changed.
    """

    def read(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return an object as this operator knows it, None when there is none."""

    def list(self, kind: str, namespace: str, selector: str = "") -> Sequence[Manifest]:
        """Return the objects of a kind with these labels as this operator knows them."""

    def having(self, kind: str, namespace: str, field: str, value: str = "") -> Sequence[Manifest]:
        """Return the objects of a kind whose spec has a field, resumeFrom or retryOf, or those of a "pipeline"."""

    def pool(self, namespace: str, compute: str, *, asking: tuple[Holder, int] | None = None) -> Pool:
        """Return the node pool of a ComputeCluster, with the claims of all steps.

        `asking` is the asking step with the number of its run's workers, which replaces the number in its spec.
        """

    def fetch(self, kind: str, namespace: str, name: str, *, max_age: float = 0.0) -> Manifest | None:
        """Read a Secret or ConfigMap from the API server, None when there is none: those of users are not watched.

        A Secret of a run that was read at most `max_age` seconds ago is not read again.
        """

    def create(self, manifest: Manifest) -> None:
        """Create an object; raise Taken if an object of another owner has its name."""

    def write_status(self, manifest: Manifest) -> None:
        """Apply an object's status. Raises NotFound when there is no such object."""

    def change(self, kind: str, namespace: str, name: str, uid: str, spec: Mapping[str, Any]) -> None:
        """Set fields of this very object's spec. Raises Conflict for another one of its name, NotFound for none."""

    def delete(self, kind: str, namespace: str, name: str, uid: str, *, at_once: bool = False) -> None:
        """Delete the object with this UID, unless it does not exist; raise Conflict if the name has another object.

        With `at_once`, do not wait for a pod's node to confirm the end of the pod.
        """


class Server(Protocol):
    """The API server. Each call raises ApiError."""

    def read(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return an object, None when there is none."""

    def find(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return an object of a kind that may be listed, None when there is none."""

    def list(self, kind: str, namespace: str, selector: str = "") -> tuple[Sequence[Manifest], str]:
        """Return the objects of a kind with these labels, in a namespace or in all (""), and the list's version."""

    def create(self, manifest: Manifest) -> Manifest:
        """Create an object; return it. Raises Taken."""

    def write_status(self, manifest: Manifest) -> Manifest:
        """Apply an object's status; return the object. Raises NotFound."""

    def change(self, kind: str, namespace: str, name: str, uid: str, spec: Mapping[str, Any]) -> Manifest:
        """Set fields of this very object's spec; return the object. Raises Conflict, NotFound."""

    def delete(self, kind: str, namespace: str, name: str, uid: str, *, at_once: bool = False) -> Manifest:
        """Delete the object with this UID; return it, or a Status if none is left. Raises Conflict, NotFound."""


class ApiKube:
    """The API server behind a client; each call's verb, kind and status code ("error" for none) go to `count`.

    Args:
        may_write: Return whether this process may write now: of several operators only the leader may.
        timeout: Seconds that a call may take.
    """

    def __init__(
        self,
        client: ApiClient,
        count: Callable[[str, str, str], None] = lambda verb, kind, code: None,
        *,
        may_write: Callable[[], bool] = lambda: True,
        timeout: float = _TIMEOUT,
    ) -> None:
        self._client = client
        self._count = count
        self._may_write = may_write
        self._timeout = timeout

    def served(self) -> frozenset[str]:
        """Return Longshore's own kinds that the API server serves. Raises ApiError."""
        try:
            found = self._call("GET", f"/{_OURS}")
        except NotFound:
            return frozenset()
        return frozenset(each["kind"] for each in found["resources"])

    def read(self, kind: str, namespace: str, name: str) -> Manifest | None:
        try:
            return self._call("GET", path(kind, namespace, name))
        except NotFound:
            return None

    def find(self, kind: str, namespace: str, name: str) -> Manifest | None:
        found, _ = self._list(kind, namespace, [("fieldSelector", f"metadata.name={name}")])
        return next(iter(found), None)

    def list(self, kind: str, namespace: str, selector: str = "") -> tuple[Sequence[Manifest], str]:
        return self._list(kind, namespace, [("labelSelector", selector)] if selector else [])

    def _list(self, kind: str, namespace: str, query: Sequence[tuple[str, str]]) -> tuple[Sequence[Manifest], str]:
        found = self._call("GET", path(kind, namespace), query=query)
        return elements(kind, found), found["metadata"]["resourceVersion"]

    def create(self, manifest: Manifest) -> Manifest:
        return self._call("POST", path(manifest["kind"], manifest["metadata"]["namespace"]), body=manifest)

    def replace(self, manifest: Manifest) -> None:
        """Replace the very version of an object that was read. Raises Conflict for another one, NotFound for none."""
        metadata = manifest["metadata"]
        self._call("PUT", path(manifest["kind"], metadata["namespace"], metadata["name"]), body=manifest)

    def write_status(self, manifest: Manifest) -> Manifest:
        metadata = manifest["metadata"]
        where = path(manifest["kind"], metadata["namespace"], metadata["name"]) + "/status"
        query = [("fieldManager", MANAGER), ("force", "true")]
        return self._call("PATCH", where, query=query, body=manifest, content="application/apply-patch+yaml")

    def change(self, kind: str, namespace: str, name: str, uid: str, spec: Mapping[str, Any]) -> Manifest:
        body: Manifest = {"metadata": {"uid": uid}, "spec": dict(spec)}
        return self._call("PATCH", path(kind, namespace, name), body=body, content="application/merge-patch+json")

    def delete(self, kind: str, namespace: str, name: str, uid: str, *, at_once: bool = False) -> Manifest:
        options: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        if at_once:
            options["gracePeriodSeconds"] = 0
        return self._call("DELETE", path(kind, namespace, name), body=options)

    def _call(
        self,
        method: str,
        where: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Manifest | None = None,
        content: str = "application/json",
    ) -> Manifest:
        if method != "GET" and not self._may_write():
            raise ApiError(f"{method} {where}: this operator is not the leader, and writes nothing")
        headers = {"Accept": "application/json", "Content-Type": content}
        called, url, headers, sent, _ = self._client.param_serialize(
            method,
            where,
            query_params=list(query),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        code = "error"
        try:
            answer = self._client.call_api(called, url, headers, sent, _request_timeout=self._timeout)
            text: bytes = answer.read()  # type: ignore[no-untyped-call]
            code = str(answer.status)
        except ApiException as error:
            code = str(error.status or code)
            raise _translated(error.status, f"{method} {where}", _message(error.body) or str(error.reason)) from error
        except HTTPError as error:
            raise ApiError(f"{method} {where}: {error}") from error
        finally:
            self._count(*asked(method, where), code)
        if answer.status >= 400:
            raise _translated(answer.status, f"{method} {where}", _message(text))
        found: Manifest = json.loads(text)
        return found


def path(kind: str, namespace: str = "", name: str = "") -> str:
    """Return where an object is, or the objects of a kind, in a namespace or in all."""
    api, plural = _PATHS[kind]
    below = f"/namespaces/{quote(namespace)}" if namespace else ""
    return f"/{api}{below}/{plural}" + (f"/{quote(name)}" if name else "")


def resource(kind: str) -> tuple[str, str, str]:
    """Return group, version and plural of a kind."""
    api, plural = _PATHS[kind]
    group, _, version = api.removeprefix("apis/").rpartition("/")
    return "" if group == "api" else group, version, plural


def elements(kind: str, listed: Mapping[str, Any]) -> list[Manifest]:
    """Return the objects of a list with their kind and apiVersion, which they lack there."""
    version = _PATHS[kind][0].partition("/")[2]
    return [{"apiVersion": version, "kind": kind, **each} for each in listed.get("items") or []]


def listed_by(where: str) -> tuple[str, str] | None:
    """Return kind and namespace ("" for all) of the objects that are listed at a path; None for any other path."""
    found = _OBJECTS.fullmatch(where)
    kind = _KINDS.get(found["plural"]) if found else None
    if found is None or kind is None or found["name"]:
        return None
    return kind, unquote(found["namespace"] or "")


def asked(method: str, where: str) -> tuple[str, str]:
    """Return verb and kind (or kind/subresource) of a call; calls about other objects are a get of "discovery".

    Watches count as lists, because they have the same path.
    """
    found = _OBJECTS.fullmatch(where)
    kind = _KINDS.get(found["plural"]) if found else None
    if found is None or kind is None:
        return _VERBS.get(method, "get"), "discovery"
    reading = "get" if found["name"] else "list"
    return _VERBS.get(method, reading), kind + (found["sub"] or "")


def _translated(status: int | None, call: str, message: str) -> Exception:
    text = f"{call}: {message}"
    match status:
        case 400 | 403 | 413 | 422:
            return Refused(message or text)
        case 404:
            return NotFound(text)
        case 409:
            return Taken(message) if message.endswith("already exists") else Conflict(text)
        case _:
            return ApiError(text)


def _message(body: Any) -> str:
    """Return the API server's own sentence."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, TypeError, KeyError):
        return ""


def client_from_environment(*, connections: int) -> ApiClient:
    """Return a client of the cluster that this process is in, or that its kubeconfig names.

    It keeps so many connections; a call that finds none of them free makes one for itself.
    """
    try:
        config.load_incluster_config()  # type: ignore[no-untyped-call]
    except config.ConfigException:
        config.load_kube_config()  # type: ignore[no-untyped-call]
    configuration = Configuration.get_default_copy()
    configuration.connection_pool_maxsize = connections
    return ApiClient(configuration)
