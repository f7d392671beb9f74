"""The folders and the logger of an entry script's process."""

from longshore_shims.entry_script import EntryScript

__all__ = ["EntryScript"]
