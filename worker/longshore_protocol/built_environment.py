"""A built environment in a store: an archive, and a manifest that appears once the archive is complete.

    <Datastore>/longshore/environments/<key>/<digest>.zst
    <Datastore>/longshore/environments/<key>/environment.json

The manifest is created once, so builders that ran at the same time agree on one archive.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from longshore_protocol.reading import read_text

FOLDER = "environments"  # below the folder of runs in a Datastore
MANIFEST = "environment.json"
MISSING = 3  # exit code of the container that unpacks an environment: the store has none


@dataclass(frozen=True)
class BuiltEnvironment:
    """The manifest of a built environment."""

    archive: str  # name of the archive in the same folder
    digest: str  # SHA-256 of the archive, as hexadecimal digits
    size: int  # bytes of the archive
    is_new: bool = True  # False: an earlier builder published it

    def to_json(self) -> str:
        """Return the manifest as one JSON document that `from_json` reads back."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> BuiltEnvironment:
        """Read what `to_json` wrote, in this version or an adjacent one. Raises ValueError."""
        return read_text(BuiltEnvironment, text)
