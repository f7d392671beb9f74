"""The inputs of a step."""

from longshore_shims.dataset_factory import Dataset

__all__ = ["Dataset"]
