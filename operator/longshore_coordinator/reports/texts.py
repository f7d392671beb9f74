"""Text reports of a run: layout of the logs, verdict, and errors grouped by kind."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files

from longshore_coordinator.reports.kinds import Kind
from longshore_coordinator.reports.records import Names, Outcome, Tried, duration, utc
from longshore_protocol.wire import process_name

_KINDS = 100  # kinds of error in a summary


def readme_txt() -> str:
    """Return the description of the logs' layout."""
    return files(__package__).joinpath("readme.txt").read_text(encoding="utf-8")


def result_text(outcome: Outcome) -> str:
    """Return the final verdict with its reason, the counts and the first error."""
    total = "not all cut" if outcome.mini_batches is None else f"{outcome.mini_batches} in all"
    mini_batches = (
        f"{total}, {outcome.mini_batches_succeeded} succeeded, {outcome.mini_batches_failed} failed, "
        f"{outcome.mini_batches_retried} retried"
    )
    items = f"{outcome.items} processed, {outcome.items_succeeded} succeeded, {outcome.items_failed} failed"
    lines = [
        ("Verdict", f"Succeeded{' with failures' * outcome.with_failures}" if outcome.succeeded else "Failed"),
        ("Reason", outcome.message),
        ("Step", f"{outcome.name}, run {outcome.run_id}"),
        ("Started", f"{utc(outcome.started)} UTC"),
        ("Duration", duration(outcome.finished - outcome.started)),
        ("Mini-batches", mini_batches),
        ("Items", items),
    ]
    if outcome.output:
        lines.append(("Output", f"{outcome.output}, {outcome.rows} rows, {outcome.bytes} bytes"))
    if outcome.first_error is not None:
        lines.append(("First error", _sentence(outcome.first_error)))
        lines += [("Its items", ", ".join(outcome.first_items))] if outcome.first_items else []
    if outcome.warning:
        lines.append(("Warning", outcome.warning))
    return "".join(f"{name + ':':<14}{text}\n" for name, text in lines)


def error_text(outcome: Outcome) -> str:
    """Return the message of a failed run, with its first error, the traceback and the location of the log."""
    parts = [outcome.message]
    if outcome.first_error is not None:
        failure = outcome.first_error.failure
        items = f"\nIts items: {', '.join(outcome.first_items)}" if outcome.first_items else ""
        parts += [f"First error: {_sentence(outcome.first_error)}{items}", failure.traceback.rstrip("\n")]
        parts += [f"Log: {failure.log}"] if failure.log else []
    return "\n\n".join(part for part in parts if part) + "\n"


def error_summary(kinds: Iterable[Kind], *, names: Names, others: int = 0) -> str:
    """Return the failed attempts by kind of error, in the order of `kinds`; "" for none.

    `others` is the number of attempts of kinds that are not among `kinds`.
    """
    kinds = list(kinds)
    parts = [_kind_text(each, names) for each in kinds[:_KINDS]]
    left_out = others + sum(each.attempts for each in kinds[_KINDS:])
    if left_out:
        parts.append(f"{left_out} failed attempts of rarer kinds are left out here.\n")
    return "\n".join(parts)


def _kind_text(kind: Kind, names: Names) -> str:
    failure = kind.example.failure
    title = f"{failure.category}: {failure.message}"
    if kind.texts_differ:
        title += " (and other texts of this kind)"
    named = ", ".join(map(str, kind.first)) + (", ..." if kind.mini_batches > len(kind.first) else "")
    counts = f"mini-batches: {kind.mini_batches} ({named}); failed permanently: {kind.terminal}"
    lines = [title, f"  failed attempts: {kind.attempts}; {counts}"]
    if failure.mini_batch >= 0:
        lines.append(f"  items of mini-batch {failure.mini_batch}: {', '.join(names(failure.mini_batch))}")
    lines += [f"  log: {failure.log}"] if failure.log else []
    lines += [f"  | {line}" for line in failure.traceback.splitlines()]
    return "\n".join(lines) + "\n"


def _sentence(each: Tried) -> str:
    failure = each.failure
    starting = failure.mini_batch < 0
    where = "while starting" if starting else f"in mini-batch {failure.mini_batch}, attempt {failure.attempt}"
    process = f"{process_name(failure.process)} of {each.worker}" if failure.process >= 0 else each.worker
    return f"{failure.category} {where}, {process}: {failure.message}"
