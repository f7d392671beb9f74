"""Every name and label: functions of the step and, for workers, their index."""

from __future__ import annotations

GROUP, VERSION = "longshore.dev", "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
STEP_KIND, STEP_PLURAL = "ParallelRunStep", "parallelrunsteps"

MANAGER = "longshore"  # who manages the fields it applies
OPERATOR = "longshore-operator"
MANAGED_BY = "app.kubernetes.io/managed-by"
APP_NAME = "app.kubernetes.io/name"
STEP_LABEL = f"{GROUP}/step"
ROLE_LABEL = f"{GROUP}/role"
COORDINATOR, WORKER = "coordinator", "worker"

PORT = 8443


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
    digits = name.removeprefix(f"{step}-worker-")
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
