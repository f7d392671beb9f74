"""Calls of the Kubernetes API that readers and submitters of runs make, with the caller's own credentials."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import quote

from longshore_protocol.packages import require

Manifest = dict[str, Any]

FIELD_MANAGER = "longshore-python"
_GROUP = "apis/longshore.dev/v1alpha1"
_PLURALS: Mapping[str, str] = {"ConfigMap": "configmaps"}  # all others have an s at the end, in lower case
_TIMEOUT = 30.0  # seconds a call may take
_SLACK = 5.0  # seconds a watch may take longer than the server was asked for


class ApiError(Exception):
    """The Kubernetes API did not carry out a call; the message has its own words."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status  # HTTP status code, 0 without an answer


class ClusterApi(Protocol):
    """Calls of the API in one namespace. Each raises ApiError."""

    def get(self, kind: str, name: str) -> Manifest | None:
        """Return an object, None if there is none."""

    def list(self, kind: str) -> list[Manifest]:
        """Return all objects of a kind."""

    def create(self, manifest: Manifest) -> Manifest:
        """Create an object; return it."""

    def apply(self, manifest: Manifest) -> Manifest:
        """Create an object, or give an existing one these fields; return it."""

    def change(self, kind: str, name: str, spec: Mapping[str, Any]) -> None:
        """Set fields of an object's spec."""

    def delete(self, kind: str, name: str) -> bool:
        """Delete an object; return False if there is none."""

    def wait(self, kind: str, name: str, version: str, seconds: float) -> None:
        """Return when an object changes after this resourceVersion, at the latest after `seconds`."""


class KubernetesApi:
    """The API server of a context of the kubeconfig, or of the cluster that this process is in.

    Args:
        namespace: The namespace; None for that of the context.
        context: The context; None for the current one.

    Raises:
        MissingPackageError: The package kubernetes is not installed.
        ApiError: No configuration is found.
    """

    def __init__(self, namespace: str | None = None, context: str | None = None) -> None:
        require("kubernetes", extra="kubernetes", subject="Workspace.kubernetes()")
        from kubernetes import config
        from kubernetes.client import ApiClient, Configuration

        try:
            contexts, current = config.list_kube_config_contexts()  # type: ignore[no-untyped-call]
            own = current if context is None else _named(contexts, context)
            self._client = config.new_client_from_config(context=own["name"])  # type: ignore[no-untyped-call]
            self.namespace = namespace or own["context"].get("namespace", "default")
        except config.ConfigException as error:
            if context is not None:
                raise ApiError(f"context {context!r} cannot be used: {error}") from None
            try:
                config.load_incluster_config()  # type: ignore[no-untyped-call]
            except config.ConfigException:
                text = "there is no kubeconfig, and this process is in no cluster; set KUBECONFIG, or pass a context"
                raise ApiError(text) from None
            self._client = ApiClient(Configuration.get_default_copy())
            self.namespace = namespace or _own_namespace()

    def get(self, kind: str, name: str) -> Manifest | None:
        with suppress(_NotFoundError):
            return self._call("GET", self._path(kind, name))
        return None

    def list(self, kind: str) -> list[Manifest]:
        return list(self._call("GET", self._path(kind)).get("items") or [])

    def create(self, manifest: Manifest) -> Manifest:
        return self._call("POST", self._path(manifest["kind"]), body=manifest)

    def apply(self, manifest: Manifest) -> Manifest:
        where = self._path(manifest["kind"], manifest["metadata"]["name"])
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return self._call("PATCH", where, query=query, body=manifest, content="application/apply-patch+yaml")

    def change(self, kind: str, name: str, spec: Mapping[str, Any]) -> None:
        body = {"spec": dict(spec)}
        self._call("PATCH", self._path(kind, name), body=body, content="application/merge-patch+json")

    def delete(self, kind: str, name: str) -> bool:
        with suppress(_NotFoundError):
            self._call("DELETE", self._path(kind, name))
            return True
        return False

    def wait(self, kind: str, name: str, version: str, seconds: float) -> None:
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": version,
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        began = time.monotonic()
        try:
            answer = self._answer("GET", self._path(kind), query=query, timeout=seconds + _SLACK)
            answer.response.readline()  # the first event, or nothing at the end of the watch
            answer.response.close()
        except Exception:  # noqa: BLE001  (a watch that fails is a pause: the caller reads the object anyway)
            time.sleep(max(0.0, min(1.0, seconds) - (time.monotonic() - began)))

    def _path(self, kind: str, name: str = "") -> str:
        plural = _PLURALS.get(kind, f"{kind.lower()}s")
        api = "api/v1" if kind in _PLURALS else _GROUP
        return f"/{api}/namespaces/{quote(self.namespace)}/{plural}" + (f"/{quote(name)}" if name else "")

    def _call(self, method: str, where: str, **options: Any) -> Manifest:
        found: Manifest = json.loads(self._answer(method, where, **options).read())
        return found

    def _answer(
        self,
        method: str,
        where: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content: str = "application/json",
        timeout: float = _TIMEOUT,
    ) -> Any:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        called, url, headers, sent, _ = self._client.param_serialize(
            method,
            where,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json", "Content-Type": content},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = self._client.call_api(called, url, headers, sent, _request_timeout=timeout)
        except ApiException as error:
            raise _error(error.status or 0, f"{method} {where}", error.body or str(error.reason)) from None
        except HTTPError as error:
            raise ApiError(f"{method} {where}: {error}") from None
        if answer.status >= 400:
            raise _error(answer.status, f"{method} {where}", answer.read())
        return answer


class _NotFoundError(ApiError):
    """The object does not exist."""


def _error(status: int, call: str, body: Any) -> ApiError:
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, TypeError, KeyError):
        message = f"{call}: HTTP {status}"
    return (_NotFoundError if status == 404 else ApiError)(message, status)


def _named(listed: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """Return a context of the kubeconfig. Raises ApiError with the known ones."""
    contexts = {each["name"]: each for each in listed}
    if name not in contexts:
        raise ApiError(f"the kubeconfig has no context {name!r}; its contexts are: {', '.join(contexts) or 'none'}")
    return contexts[name]


def _own_namespace() -> str:
    with open("/var/run/secrets/kubernetes.io/serviceaccount/namespace", encoding="utf-8") as file:
        return file.read().strip()
