"""The models of a step."""

from longshore_shims.model import Model

__all__ = ["Model"]
