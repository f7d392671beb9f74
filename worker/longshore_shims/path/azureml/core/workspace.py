"""The workspace of a step."""

from longshore_shims.workspace import Workspace

__all__ = ["Workspace"]
