"""The packages of an Environment, frozen when a run begins: what a builder resolves, locks and installs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Dict, Tuple

from longshore_protocol.reading import read_text


@dataclass(frozen=True)
class PackageSet:
    """Requirements in one normal form, so that equal sets have equal digests; it holds no credentials."""

    requirements: Tuple[str, ...]  # lines of a requirements.txt, normalised and sorted
    pythons: Tuple[str, ...] = ()  # accepted versions of Python, such as ("3.10", "3.11"); empty: any
    index_url: str = ""  # "": the resolver's own index
    extra_index_urls: Tuple[str, ...] = ()
    secret: str = ""  # name of the Secret with the credentials of the index; "": none
    notes: Tuple[str, ...] = ()  # sentences for the user about what was changed or omitted

    @property
    def digest(self) -> str:
        """Digest of everything that determines which packages are installed; 64 hexadecimal digits."""
        settings = [self.requirements, self.pythons, self.index_url, self.extra_index_urls]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()

    def accepts(self, version: str) -> bool:
        """Return whether an interpreter of this version ("3.10" or "3.10.13") is accepted."""
        return not self.pythons or ".".join(version.split(".")[:2]) in self.pythons

    def to_dict(self) -> Dict[str, Any]:
        """Return the set as a JSON object that `from_json` reads back."""
        return asdict(self)

    def to_json(self) -> str:
        """Return the set as one JSON document that `from_json` reads back."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> PackageSet:
        """Read what `to_json` wrote, in this version or an adjacent one. Raises ValueError."""
        return read_text(PackageSet, text)
