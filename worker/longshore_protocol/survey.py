"""Requests and results of the survey before a pipeline run begins on a cluster.

The operator writes a request; a pod with the volumes and credentials of the stores carries it out. Locations are those
of the pod. The result is the container's termination message, packed because the kubelet keeps only a few bytes.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Optional, Tuple

from longshore_protocol.reading import read_text

# Names of combined digests: of all files of a source, and of all inputs of a step.
ALL_FILES, ALL_INPUTS = "./", "*"


@dataclass(frozen=True)
class SourceToCopy:
    """A source folder or .zip file, and the location of its copy."""

    uri: str
    target: str


@dataclass(frozen=True)
class SurveyRequest:
    """The sources to copy, and the inputs and models to compute digests of."""

    sources: Tuple[SourceToCopy, ...] = ()
    contents: Dict[str, Dict[str, Any]] = field(default_factory=dict)  # step -> input or model -> locations
    by: str = "stamps"  # what to compute digests from: "stamps" or "digests" of files

    def to_json(self) -> str:
        """Return the request as one JSON document that `from_json` reads back; equal requests give equal documents."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> SurveyRequest:
        """Read what `to_json` wrote, in this version or an adjacent one. Raises ValueError."""
        return read_text(SurveyRequest, text)


@dataclass(frozen=True)
class SourceFound:
    """A copied source. A name that ends with a slash is a folder with one digest for all of its files."""

    files: Dict[str, str]  # path below the folder -> digest
    git: Optional[Dict[str, Any]] = None  # repository, branch, commit (strings), dirty (bool)


@dataclass(frozen=True)
class SurveyResult:
    """The copied sources in the order of the request, and the contents of inputs and models by step and name.

    `contents` has their digests. `held` describes them for later comparisons, as far as there is room: `count` of
    files, digests of single files (`files`), or why they cannot be compared (`unknown`).
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
            raise ValueError("the text is not the result of a survey") from error
