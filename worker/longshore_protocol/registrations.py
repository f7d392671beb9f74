"""Registrations: the Models and Datasets that a step requests, and that exist once it has succeeded.

A script records each call as one line of the file CALLS in a folder of its own, beside the files of Models:

calls.jsonl            one registration a line
<key>/<file name>      the file or folder of a Model, complete before its line is written

The agent uploads the files below `registered/` of the run folder and packs the registrations into the step's result.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Iterable, Optional, Tuple

from longshore_protocol.reading import read
from longshore_protocol.text import is_encodable, printable

MODEL, DATASET = "Model", "Dataset"
CALLS = "calls.jsonl"
FILES = "registered"  # below the run folder
RUN, OUTPUT = "run:", "output:"  # prefixes of paths below the run folder, or below an output
LONGEST = 2400  # characters of packed registrations, which are a part of a container's termination message
_MOST = 1 << 20  # characters of unpacked registrations
_NAME = re.compile(r"[^\s./]([^/\r\n\t]*[^\s/])?")  # `AssetName` of the custom resources
_LONGEST_NAME = 255
_FORMATS = ("csv", "jsonl", "parquet")


@dataclass(frozen=True)
class Registration:
    """One Model or Dataset to register."""

    kind: str  # MODEL or DATASET
    name: str
    # Below the run folder ("run:registered/..."), below an output ("output:NAME/..."), URLs, or relative to `datastore`
    paths: Tuple[str, ...]
    datastore: str = ""  # "": the default one
    description: str = ""
    tags: Dict[str, str] = field(default_factory=dict)
    properties: Dict[str, str] = field(default_factory=dict)
    tabular: Optional[Dict[str, Any]] = None  # of a table: format, separator, header, encoding

    def to_json(self) -> str:
        """Return the registration as one line of JSON, without fields that have their default."""
        return json.dumps({name: value for name, value in asdict(self).items() if value not in ("", {}, None)})


def read_registration(text: str) -> Registration:
    """Decode and validate one line of CALLS. Raises ValueError with a sentence."""
    try:
        found = read(Registration, json.loads(text))
    except RecursionError as error:
        raise ValueError("a registration is nested too deeply") from error
    why = fault(found)
    if why is not None:
        raise ValueError(why)
    return found


def fault(given: Registration) -> Optional[str]:
    """Return a sentence about the first invalid field of a registration, or None."""
    name = given.name
    if type(name) is not str or len(name) > _LONGEST_NAME or not _NAME.fullmatch(name) or printable(name, 300) != name:
        shown = printable(str(name), 60)
        return 'The name "{}" is invalid: it must be at most 255 characters without "/" and line ends.'.format(shown)
    texts = [given.description, given.datastore, *given.paths]
    for each in (given.tags, given.properties):
        texts += [*each, *each.values()]
    if not all(type(each) is str and is_encodable(each) and "\0" not in each for each in texts):
        return 'A tag, property or path of "{}" is not a text.'.format(name)
    if given.kind not in (MODEL, DATASET) or not given.paths or (given.kind == MODEL and len(given.paths) > 1):
        return '"{}" is neither a Model with one path nor a Dataset.'.format(name)
    if any(".." in each.split("/") for each in given.paths):
        return 'A path of "{}" contains "..".'.format(name)
    table = given.tabular
    if table is not None and (
        table.get("format") not in _FORMATS
        or type(table.get("header", True)) is not bool
        or not all(type(table.get(each, "x")) is str for each in ("separator", "encoding"))
        or not {*table} <= {"format", "separator", "header", "encoding"}
    ):
        return 'The table format of "{}" is invalid.'.format(name)
    return None


def pack(registrations: Iterable[Registration]) -> str:
    """Encode registrations as a short text; "" for none."""
    lines = [each.to_json() for each in registrations]
    return base64.b64encode(zlib.compress("\n".join(lines).encode(), 9)).decode() if lines else ""


def unpack(text: str) -> Tuple[Registration, ...]:
    """Decode and validate what `pack` encoded. Raises ValueError."""
    if not text:
        return ()
    try:
        decoder = zlib.decompressobj()
        lines = decoder.decompress(base64.b64decode(text, validate=True), _MOST).decode()
    except zlib.error as error:
        raise ValueError("the registrations cannot be decoded: {}".format(error)) from error
    return tuple(read_registration(each) for each in lines.split("\n"))


def require_room(registrations: Iterable[Registration]) -> None:
    """Raise ValueError, with the remedy, if the registrations of a step do not fit into its result."""
    given = list(registrations)
    if len(pack(given)) > LONGEST:
        text = (
            '"{}" cannot be registered: names, tags, properties and descriptions of the {} registrations of this step '
            "have more than {} characters when compressed; shorten them, or register in several steps."
        )
        raise ValueError(text.format(given[-1].name, len(given), LONGEST))
