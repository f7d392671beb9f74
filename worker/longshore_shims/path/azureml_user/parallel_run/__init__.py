"""What an entry script may ask of the process it runs in."""

from longshore_shims.entry_script import EntryScript

__all__ = ["EntryScript"]
