"""The run of a step."""

from longshore_shims.run import OfflineRun as _OfflineRun  # scripts detect an offline run by this name
from longshore_shims.run import Run

__all__ = ["Run", "_OfflineRun"]
