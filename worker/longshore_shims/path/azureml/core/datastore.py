"""The Datastores that a step may use."""

from longshore_shims.datastore import Datastore

__all__ = ["Datastore"]
