"""Tables that are read slice by slice, and how reading fails."""

import json
from pathlib import Path

import jobs
import pandas
import pytest
from hypothesis import settings

from longshore_coordinator.enumerate import cut
from longshore_host.tabular import SliceError, load
from longshore_protocol.errors import DATA_ERROR
from longshore_protocol.job import Input, TabularFormat

CSV, LINES, PARQUET = TabularFormat("csv"), TabularFormat("jsonl"), TabularFormat("parquet")
few = settings(max_examples=60, deadline=None)


def read_all(path: Path, format: TabularFormat, unit: str, value: int) -> pandas.DataFrame:
    """Return the table that all slices together make; check each slice on the way."""
    job = jobs.job(Input("rows", (str(path),), tabular=format), unit=unit, size=value)
    frames = []
    for each in cut(job):
        frame = load(json.loads(each.payload), format)
        assert list(frame.index) == list(range(len(frame)))
        assert each.items in (None, len(frame))
        if unit == "rows" and each.items is not None:
            assert 0 < len(frame) <= value
        frames.append(frame)
    return pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame()


def read_one(path: Path, data: bytes, format: TabularFormat = CSV) -> pandas.DataFrame:
    path.write_bytes(data)
    return load({"path": str(path), "start": 0, "end": len(data)}, format)


def failure(slice, format) -> str:
    with pytest.raises(SliceError) as caught:
        load(slice, format)
    assert caught.value.category == DATA_ERROR
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text
