"""What a run needs beside its pods: the frozen run, its Secret, its Service, its NetworkPolicy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kubernetes.client import (
    V1ConfigMap,
    V1LabelSelector,
    V1NetworkPolicy,
    V1NetworkPolicyIngressRule,
    V1NetworkPolicyPeer,
    V1NetworkPolicyPort,
    V1NetworkPolicySpec,
    V1ObjectMeta,
    V1Secret,
    V1Service,
    V1ServicePort,
    V1ServiceSpec,
)

from longshore_operator.manifests import names
from longshore_operator.manifests.metadata import immutable_map
from longshore_operator.manifests.metadata import metadata as owned
from longshore_operator.manifests.subject import Subject
from longshore_planner.cluster.step_runs import ClusterRun
from longshore_planner.cluster.task_runs import TaskRun

RUN_KEY, JOB_KEY = "run.json", "job.json"  # of the ConfigMap
TOKEN, CERTIFICATE, KEY, AUTHORITY = "token", "tls.crt", "tls.key", "ca.crt"  # of the Secret


def metadata(
    run: ClusterRun, name: str, *, role: str | None = None, more: Mapping[str, str] | None = None
) -> V1ObjectMeta:
    """Return the metadata of an object that goes with its step; `more` are labels besides."""
    owner = Subject(names.STEP_KIND, run.namespace, run.step, run.uid)
    return owned(owner, name, {**(more or {}), **names.labels(run.step, role)})


def config_map(run: ClusterRun) -> V1ConfigMap:
    """Return the run as it was frozen: later changes of Datasets and others are not for it."""
    return immutable_map(metadata(run, names.run_objects(run.step)), run_data(run))


def run_data(run: ClusterRun) -> dict[str, str]:
    """Return a run as its ConfigMap holds it: for the operator, which needs no catalogue, and for the coordinator."""
    return {RUN_KEY: replace(run, job=replace(run.job, catalogue="")).to_json(), JOB_KEY: run.job.to_json()}


def task_data(run: TaskRun) -> dict[str, str]:
    """Return a task's run as its ConfigMap holds it: for the operator without the catalogue, and for the task's pod."""
    own = {name: value for name, value in run.job.items() if name != "catalogue"}
    return {RUN_KEY: replace(run, job=own).to_json(), JOB_KEY: json.dumps(run.job, separators=(",", ":"))}


def secret(run: ClusterRun, contents: dict[str, str]) -> V1Secret:
    """Return the run's secret; `contents` has TOKEN, CERTIFICATE, KEY and AUTHORITY."""
    return V1Secret(
        api_version="v1",
        kind="Secret",
        type="Opaque",
        metadata=metadata(run, names.run_objects(run.step)),
        immutable=True,
        string_data=contents,
    )


def service(run: ClusterRun) -> V1Service:
    """Return the coordinator's address."""
    return V1Service(
        api_version="v1",
        kind="Service",
        metadata=metadata(run, names.coordinator(run.step)),
        spec=V1ServiceSpec(
            selector={names.STEP_LABEL: run.step, names.ROLE_LABEL: names.COORDINATOR},
            ports=[V1ServicePort(name="https", port=names.PORT, target_port=names.PORT, protocol="TCP")],
            publish_not_ready_addresses=True,  # agents repeat their calls anyway: the sooner the better
        ),
    )


def network_policy(run: ClusterRun) -> V1NetworkPolicy:
    """Return the policy that admits only the run's workers and the operator to its coordinator, and none to workers."""
    workers = V1NetworkPolicyPeer(
        pod_selector=V1LabelSelector(match_labels={names.STEP_LABEL: run.step, names.ROLE_LABEL: names.WORKER})
    )
    operator = V1NetworkPolicyPeer(
        namespace_selector=V1LabelSelector(),
        pod_selector=V1LabelSelector(match_labels={names.APP_NAME: names.OPERATOR}),
    )
    port = V1NetworkPolicyPort(port=names.PORT, protocol="TCP")
    return V1NetworkPolicy(
        api_version="networking.k8s.io/v1",
        kind="NetworkPolicy",
        metadata=metadata(run, names.run_objects(run.step)),
        spec=V1NetworkPolicySpec(
            pod_selector=V1LabelSelector(match_labels={names.STEP_LABEL: run.step}),
            policy_types=["Ingress"],
            ingress=[V1NetworkPolicyIngressRule(_from=[workers, operator], ports=[port])],
        ),
    )


def body(model: Any) -> dict[str, Any]:
    """Return a model of the Kubernetes client as the API takes it: its own spelling, nothing that is absent."""
    dumped: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dumped
