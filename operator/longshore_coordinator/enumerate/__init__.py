"""Enumeration of a job's inputs into its plan: the mini-batches in order.

The package knows no leases, agents or ledger. Equal inputs always give equal mini-batches, and each is yielded as soon
as it is cut. Files are listed and, if their records must be found, read; none is written.
"""

from longshore_coordinator.enumerate.errors import EmptyInputError, InputError
from longshore_coordinator.enumerate.mini_batches import cut, selections
from longshore_coordinator.enumerate.plan import (
    Checkpoint,
    PlanDigest,
    has_stamps,
    last_modified,
    plan_settings,
    setting_difference,
)
from longshore_coordinator.enumerate.slices import Slice

__all__ = [
    "Checkpoint",
    "EmptyInputError",
    "InputError",
    "PlanDigest",
    "Slice",
    "cut",
    "has_stamps",
    "last_modified",
    "plan_settings",
    "selections",
    "setting_difference",
]
