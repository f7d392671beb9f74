"""Every name and label: functions of the step and, for workers, their index."""

from __future__ import annotations

import hashlib

GROUP, VERSION = "longshore.dev", "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
STEP_KIND, STEP_PLURAL = "ParallelRunStep", "parallelrunsteps"
COMPUTE_KIND, COMPUTE_PLURAL = "ComputeCluster", "computeclusters"

MANAGER = "longshore"  # who manages the fields it applies
OPERATOR = "longshore-operator"
MANAGED_BY = "app.kubernetes.io/managed-by"
OURS = f"{MANAGED_BY}={MANAGER}"  # label selector of all that we make
APP_NAME = "app.kubernetes.io/name"
STEP_LABEL = f"{GROUP}/step"
ROLE_LABEL = f"{GROUP}/role"
COMPUTE_LABEL = f"{GROUP}/compute"
KUEUE_QUEUE = "kueue.x-k8s.io/queue-name"
COORDINATOR, WORKER, PLACEHOLDER = "coordinator", "worker", "placeholder"

PORT = 8443

_LABEL_MAX = 63  # characters of a label's value


def run_objects(step: str) -> str:
    """Return the name of a run's ConfigMap, Secret and NetworkPolicy."""
    return f"{step}-run"


def coordinator(step: str) -> str:
    """Return the name of a step's coordinator: its pod and its service."""
    return f"{step}-coordinator"


def worker(step: str, index: int) -> str:
    """Return the name of a step's index-th worker: its pod."""
    return f"{step}-worker-{index}"


def worker_index(step: str, name: str) -> int | None:
    """Return the index of the worker of that name; None for a name that is none of this step's workers."""
    return _index(f"{step}-worker-", name)


def _index(prefix: str, name: str) -> int | None:
    digits = name.removeprefix(prefix)
    return int(digits) if digits != name and digits.isdecimal() else None


def host(step: str, namespace: str) -> str:
    """Return the name under which a run's agents reach its coordinator, which its certificate is made for."""
    return f"{coordinator(step)}.{namespace}.svc"


def labels(step: str, role: str | None = None) -> dict[str, str]:
    """Return the labels of a run's objects; pods have a role."""
    role_label = {} if role is None else {ROLE_LABEL: role}
    return {MANAGED_BY: MANAGER, STEP_LABEL: step, **role_label}


def selector(step: str) -> str:
    """Return the label selector of a step's objects."""
    return f"{STEP_LABEL}={step}"


def compute_label(compute: str) -> str:
    """Return a ComputeCluster's name as a label holds it: one that is too long ends with a digest of itself."""
    if len(compute) <= _LABEL_MAX:
        return compute
    return f"{compute[: _LABEL_MAX - 9].rstrip('-.')}-{hashlib.sha256(compute.encode()).hexdigest()[:8]}"


def placeholder(compute: str, index: int) -> str:
    """Return the name of a ComputeCluster's index-th placeholder: its pod."""
    return f"{compute_label(compute)}-placeholder-{index}"


def placeholder_index(compute: str, name: str) -> int | None:
    """Return the index of the placeholder of that name; None for a name that is none of this ComputeCluster's."""
    return _index(f"{compute_label(compute)}-placeholder-", name)


def compute_selector(compute: str, role: str | None = None) -> str:
    """Return the label selector of the pods that are a ComputeCluster's nodes: all, or those of one role."""
    return f"{COMPUTE_LABEL}={compute_label(compute)}" + (f",{ROLE_LABEL}={role}" if role else "")
