"""What a step is in."""

from longshore_shims.workspace import Workspace

__all__ = ["Workspace"]
