"""Reasons of conditions, and what each means: to events, and to the nodes of a ComputeCluster."""

from __future__ import annotations

from longshore_protocol.snapshot import SUCCEEDED_WITH_FAILURES

INVALID = "InvalidInput"
MISSING = "WaitingForReferences"  # it refers to something that does not exist yet
NOT_FROZEN = "WaitingForPipelineRun"  # the PipelineRun that created it has not frozen its run yet
WAITING_FOR_STEP = "WaitingForStep"  # another step continues the run, or has to finish first
WAITING_FOR_RUN = "WaitingForRun"  # another PipelineRun does
WAITING_FOR_NODES = "WaitingForNodes"
LOST = "PodLost"
PREPARING_ENVIRONMENT = "PreparingEnvironment"  # its packages are being installed
UNSCHEDULABLE, IMAGE_PULL = "Unschedulable", "ImagePull"
NOT_STARTED = (
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
)  # kubelets'
NAME_TAKEN, QUOTA, REFUSED = REFUSALS = ("NameTaken", "QuotaExceeded", "Refused")  # the API server's

WARNINGS = frozenset(
    {*REFUSALS, *NOT_STARTED, UNSCHEDULABLE, IMAGE_PULL, LOST, MISSING, INVALID, SUCCEEDED_WITH_FAILURES}
)
WITHOUT_NODES = frozenset(
    {INVALID, MISSING, NOT_FROZEN, NAME_TAKEN, REFUSED, WAITING_FOR_STEP, PREPARING_ENVIRONMENT}
)  # such a step uses none
