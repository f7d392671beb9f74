"""Attempts of a run as its ledger has them, for tests of reports."""

import csv
import dataclasses
import io
import json

from longshore_coordinator.reports import (
    Attempts,
    Done,
    Outcome,
    Tried,
    error_summary,
    failed_jsonl,
)
from longshore_protocol import errors
from longshore_protocol.wire import Completion, Failure

START = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC


def describe(mini_batch):
    return {"input": "images", "items": [f"/data/{mini_batch}.png"]}


def names(mini_batch):
    return [f"/data/{mini_batch}.png"]


def done(mini_batch, *, worker="node-0", attempt=1, tries=1, succeeded=5, items=5, process=0, at=0.0):
    completion = Completion(
        mini_batch,
        attempt,
        offset=0,
        length=10,
        succeeded=succeeded,
        items=items,
        header=-1,
        process=process,
        started_us=int((START + at) * 1e6),
        elapsed_us=2_000_000,
        run_us=1_500_000,
        cpu_us=500_000,
    )
    return Done(worker, completion, tries)


def tried(
    mini_batch,
    *,
    worker="node-0",
    attempt=1,
    terminal=False,
    category=errors.USER_ERROR,
    message="ValueError: no digit",
    process=0,
    items=5,
    traceback="",
):
    log = "logs/user/error/node-0/process000.txt"
    failure = Failure(mini_batch, attempt, items, process, category, message, traceback, START, 1.0, log)
    return Tried(worker, failure, terminal)


def records(committed=(), failed=()):
    """The ledger's records of these attempts."""
    for worker, completion, _ in committed:
        yield {"done": {"worker": worker, "mini_batches": [list(completion)]}}
    for worker, failure, terminal, *_ in failed:
        yield {"tried": {"worker": worker, "terminal": terminal, "failure": list(failure)}}


opened = []


def attempts(committed=(), failed=(), **options):
    opened.append(Attempts.of(records(committed, failed), **options))
    return opened[-1]


def summary_of(failed, committed=()):
    kinds = attempts(committed, failed).count_kinds()
    return error_summary(kinds.ranked(), names=names, others=kinds.others)


OUTCOME = Outcome(
    name="digits",
    run_id="20270115-1",
    succeeded=True,
    message="all 3 mini-batches were processed",
    started=START,
    finished=START + 3723.9,
    mini_batches=3,
    mini_batches_succeeded=3,
    mini_batches_failed=0,
    mini_batches_retried=1,
    items=15,
    items_succeeded=14,
    items_failed=1,
    output="/out/mnist_outputs.txt",
    rows=14,
    bytes=140,
)
FAILED = dataclasses.replace(
    OUTCOME,
    succeeded=False,
    message="errorThreshold is 10 and 15 items failed",
    mini_batches=None,
    output="",
    first_error=tried(1, traceback="Traceback (most recent call last):\n  ...\nValueError: no digit"),
)


def table(parts):
    return list(csv.DictReader(io.StringIO("".join(parts))))


def lost(failed, committed=(), **options):
    return [json.loads(line) for line in failed_jsonl(attempts(committed, failed, **options), describe)]
