"""Jobs over partitioned inputs, and the mini-batches that they are cut into."""

import json

import jobs

from longshore_coordinator.enumerate import cut
from longshore_host.tabular import load
from longshore_protocol import slices
from longshore_protocol.job import Input, Job, TabularFormat

CSV, LINES, PARQUET = TabularFormat("csv"), TabularFormat("jsonl"), TabularFormat("parquet")


def job(*inputs, keys=(), unit="bytes", value=100, coalesce=False) -> Job:
    return jobs.job(*inputs, unit=unit, size=value, partition_keys=keys, coalesce=coalesce)


def rows(path, tabular=CSV, form=None) -> Input:
    return Input("rows", (str(path),), tabular=tabular, partition_format=form)


def groups(job) -> list:
    """Return items, key values and rows of each mini-batch of a tabular job."""
    found = []
    for each in cut(job):
        piece = json.loads(each.payload)
        frame = load(piece, job.inputs[each.input].tabular)
        assert each.items in (None, len(frame))
        found.append((slices.values(piece["partition"]), frame.to_dict("list")))
    return found


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
