"""What is to be looked at before a pipeline's run begins on a cluster, and what was found.

The operator writes a request, which a pod that has the stores' volumes and credentials carries out. Places are as pods
know them. What was found is the container's termination message: packed, because the kubelet keeps few bytes of it.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Optional, Tuple

from longshore_protocol.reading import read_text

# Names in what was found, where digests were folded together: of all files of a source, of all inputs of a step.
ALL_FILES, ALL_INPUTS = "./", "*"


@dataclass(frozen=True)
class SourceToCopy:
    """A source folder or .zip, and where its copy is to be."""

    uri: str
    target: str


@dataclass(frozen=True)
class SurveyRequest:
    """What is to be looked at."""

    sources: Tuple[SourceToCopy, ...] = ()
    contents: Dict[str, Dict[str, Any]] = field(default_factory=dict)  # step -> input or model -> list of places
    by: str = "stamps"  # what counts of their files: "stamps" or "digests"

    def to_json(self) -> str:
        """Return the request as one JSON document that `from_json` reads back: the same for the same request."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> SurveyRequest:
        """Read what `to_json` wrote, in this version or an adjacent one. Raises ValueError."""
        return read_text(SurveyRequest, text)


@dataclass(frozen=True)
class SourceFound:
    """A source as it was copied. A name that ends with a slash is a folder, with one digest for all that is in it."""

    files: Dict[str, str]  # path below the folder -> digest
    git: Optional[Dict[str, Any]] = None  # repository, branch, commit (strings), dirty (bool)


@dataclass(frozen=True)
class SurveyResult:
    """What was found: of each source in the request's order, and of each step's inputs and models by their names.

    `contents` has a digest of each; `held` what names a difference later, as far as there was room for it: `count` of
    files, their own digests (`files`), or why they cannot be compared (`unknown`).
    """

    sources: Tuple[SourceFound, ...] = ()
    contents: Dict[str, Dict[str, str]] = field(default_factory=dict)
    held: Dict[str, Dict[str, Dict[str, Any]]] = field(default_factory=dict)

    def pack(self) -> str:
        """Return the result as printable text that `unpack` reads back."""
        text = json.dumps(asdict(self), separators=(",", ":"), ensure_ascii=False)
        return base64.b64encode(zlib.compress(text.encode("utf-8", "surrogateescape"), 9)).decode()

    @staticmethod
    def unpack(text: str) -> SurveyResult:
        """Read what `pack` wrote, in this version or an adjacent one. Raises ValueError for anything else."""
        try:
            unpacked = zlib.decompress(base64.b64decode(text, validate=True)).decode("utf-8", "surrogateescape")
            return read_text(SurveyResult, unpacked)
        except (ValueError, zlib.error) as error:
            raise ValueError("this is no result of a survey") from error
