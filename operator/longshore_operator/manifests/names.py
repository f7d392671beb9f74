"""Every name and label: functions of the step and, for workers and the pods of tasks, their number."""

from __future__ import annotations

import hashlib

GROUP, VERSION = "longshore.dev", "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
STEP_KIND = "ParallelRunStep"
COMPUTE_KIND = "ComputeCluster"
SCRIPT_KIND = "ScriptStep"
TRANSFER_KIND = "TransferStep"
PIPELINE_KIND = "Pipeline"
RUN_KIND = "PipelineRun"

MANAGER = "longshore"  # who manages the fields it applies
OPERATOR = "longshore-operator"
MANAGED_BY = "app.kubernetes.io/managed-by"
OURS = f"{MANAGED_BY}={MANAGER}"  # label selector of all that we make
APP_NAME = "app.kubernetes.io/name"
STEP_LABEL = f"{GROUP}/step"
TASK_LABEL = f"{GROUP}/task"  # another one: a task and a ParallelRunStep may have the same name
ROLE_LABEL = f"{GROUP}/role"
COMPUTE_LABEL = f"{GROUP}/compute"
RUN_LABEL = f"{GROUP}/pipeline-run"
ENVIRONMENT_LABEL = f"{GROUP}/environment"
KUEUE_QUEUE = "kueue.x-k8s.io/queue-name"
COORDINATOR, WORKER, PLACEHOLDER, BUILDER = "coordinator", "worker", "placeholder", "builder"

PORT = 8443

_LABEL_MAX = 63  # characters of a label's value
_STEP_MAX = 51  # characters of the name of a step that is a resource
_DIGITS = 8


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


def task_objects(step: str) -> str:
    """Return the name of the ConfigMap with a task's frozen run."""
    return f"{step}-task"


def task(step: str, number: int) -> str:
    """Return the name of a task's pod, of which `number` were lost before it."""
    return f"{step}-task-{number}"


def task_number(step: str, name: str) -> int | None:
    """Return the number of the task's pod of that name; None for a name that is none of this task's pods."""
    return _index(f"{step}-task-", name)


def task_labels(step: str) -> dict[str, str]:
    """Return the labels of a task's objects."""
    return {MANAGED_BY: MANAGER, TASK_LABEL: step}


def task_selector(step: str) -> str:
    """Return the label selector of a task's objects."""
    return f"{TASK_LABEL}={step}"


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


def label_value(name: str) -> str:
    """Return a resource's name as a label holds it: one that is too long ends with a digest of itself."""
    return name if len(name) <= _LABEL_MAX else _with_digest(name, name, longest=_LABEL_MAX)


def _with_digest(name: str, of: str, *, longest: int) -> str:
    """Return the beginning of a name with a digest of something behind it."""
    digest = hashlib.sha256(of.encode()).hexdigest()[:_DIGITS]
    return f"{name[: longest - _DIGITS - 1].rstrip('-.')}-{digest}"


def placeholder(compute: str, index: int) -> str:
    """Return the name of a ComputeCluster's index-th placeholder: its pod."""
    return f"{label_value(compute)}-placeholder-{index}"


def placeholder_index(compute: str, name: str) -> int | None:
    """Return the index of the placeholder of that name; None for a name that is none of this ComputeCluster's."""
    return _index(f"{label_value(compute)}-placeholder-", name)


def compute_selector(compute: str) -> str:
    """Return the label selector of the pods that are a ComputeCluster's nodes."""
    return f"{COMPUTE_LABEL}={label_value(compute)}"


def pipeline_run(run: str) -> str:
    """Return the name of the ConfigMap with a frozen PipelineRun."""
    return f"{label_value(run)}-pipeline"


def source_copy(run: str, digest: str) -> str:
    """Return the name of the ConfigMap with a copy of a source that a PipelineRun made, called by what is in it."""
    return f"{label_value(run)}-source-{digest[:_DIGITS]}"


def survey(run: str, digest: str) -> str:
    """Return the name of a PipelineRun's survey, which follows from what it reads: of its ConfigMap, and its pod."""
    return f"{label_value(run)}-survey-{digest[:_DIGITS]}"


def child(run: str, step: str, attempt: int) -> str:
    """Return the name of the resource that runs an attempt of a PipelineRun's step.

    The names of further attempts, and those that would be too long or have a dot, end with a digest of all three.
    """
    plain = f"{run}-{step}"
    if attempt == 1 and len(plain) <= _STEP_MAX and "." not in plain and not plain[0].isdigit():
        return plain
    room = _STEP_MAX - len(step) - _DIGITS - 3
    begin = run.replace(".", "-")[:room].rstrip("-")
    begin = f"r{begin[:-1]}" if begin[0].isdigit() else begin
    return _with_digest(f"{begin}-{step}", f"{run}/{step}/{attempt}", longest=_STEP_MAX)


def run_selector(run: str) -> str:
    """Return the label selector of a PipelineRun's resources."""
    return f"{RUN_LABEL}={label_value(run)}"


def environment(key: str) -> str:
    """Return the name of the ConfigMap that records a built environment."""
    return f"longshore-environment-{key}"


def environment_packages(key: str) -> str:
    """Return the name of the ConfigMap with the packages of an environment, which its builders read."""
    return f"{environment(key)}-packages"


def builder(key: str, number: int) -> str:
    """Return the name of a builder of an environment, before which `number` have failed: its pod."""
    return f"{environment(key)}-{number}"


def builder_number(key: str, name: str) -> int | None:
    """Return the number of the builder of that name; None for a name that is none of this environment's builders."""
    return _index(f"{environment(key)}-", name)


def environment_labels(key: str) -> dict[str, str]:
    """Return the labels of an environment's objects."""
    return {MANAGED_BY: MANAGER, ENVIRONMENT_LABEL: key}


def environment_selector(key: str) -> str:
    """Return the label selector of an environment's objects."""
    return f"{ENVIRONMENT_LABEL}={key}"
