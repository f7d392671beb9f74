"""The inputs of a step."""

from longshore_shims.dataset import Dataset

__all__ = ["Dataset"]
