"""Models and Datasets of a run's namespace, frozen with the run: what scripts may ask for by name.

The catalogue is one packed text, because a namespace may have thousands of them, and a run must fit into a ConfigMap.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Iterable, Optional, Tuple

from longshore_protocol.reading import read

MODEL, DATASET = "Model", "Dataset"
LARGEST = 256 * 1024  # characters of a packed catalogue: a ConfigMap has 1 MiB
_LARGEST_UNPACKED = 64 * 1024 * 1024  # bytes


@dataclass(frozen=True)
class Asset:
    """One version of a Model or Dataset."""

    kind: str  # MODEL or DATASET
    name: str  # the name that scripts use
    version: int
    resource: str  # name of the resource
    # (Datastore, path below its root) of each file, folder or glob; ("", location) outside of every Datastore
    locations: Tuple[Tuple[str, str], ...]
    description: str = ""
    tags: Dict[str, str] = field(default_factory=dict)
    properties: Dict[str, str] = field(default_factory=dict)  # of a Model
    tabular: Optional[Dict[str, Any]] = None  # the format of a Dataset of rows


@dataclass(frozen=True)
class Catalogue:
    """The Models and Datasets that exist when a run begins, and the names of all Datastores."""

    assets: Tuple[Asset, ...] = ()
    datastores: Tuple[str, ...] = ()
    refusal: str = ""  # why there are none: a sentence for scripts that ask


def pack(assets: Iterable[Asset], datastores: Iterable[str]) -> str:
    """Return a catalogue as a text of at most LARGEST characters; if it is larger, one with a refusal instead."""
    every, stores = [_compact(each) for each in assets], sorted(datastores)
    text = _pack({"assets": every, "datastores": stores}) if every or stores else ""
    if len(text) <= LARGEST:
        return text
    message = (
        "The {:,} Models and Datasets of the namespace are too many to be frozen with a run ({} KiB packed; the limit "
        "is {} KiB); name what the step needs in spec.models or spec.inputs, or delete old versions."
    )
    return _pack({"refusal": message.format(len(every), len(text) // 1024, LARGEST // 1024)})


def unpack(text: str) -> Catalogue:
    """Return the catalogue in a text that `pack` wrote, in this version or an adjacent one. Raises ValueError."""
    if not text:
        return Catalogue()
    try:
        opened = zlib.decompressobj()
        data = opened.decompress(base64.b64decode(text), _LARGEST_UNPACKED)
    except zlib.error as error:
        raise ValueError("a catalogue cannot be unpacked: {}".format(error)) from error
    return read(Catalogue, json.loads(data.decode()))


def _pack(content: Dict[str, Any]) -> str:
    data = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    return base64.b64encode(zlib.compress(data, 9)).decode()


def _compact(asset: Asset) -> Dict[str, Any]:
    """Return the fields of an asset as a JSON object, without empty ones."""
    return {name: value for name, value in asdict(asset).items() if value not in ("", {}, None)}
