"""From the inputs of a job to its plan: the mini-batches in their order.

Nothing in here knows of leases, agents or the ledger. The same inputs give the same mini-batches always, and each is
handed out as soon as it is cut. Files are listed and, where their records must be found, read; none is written.
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
