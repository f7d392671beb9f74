"""The run of a step."""

from longshore_shims.run import OfflineRun as _OfflineRun  # by this name, scripts tell where they are
from longshore_shims.run import Run

__all__ = ["Run", "_OfflineRun"]
