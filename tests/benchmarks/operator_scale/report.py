"""The table that is printed: a column for each measurement, a row for each figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from lag import percentile
from scenario import Measured

_READS, _LISTS, _WRITES = ("get",), ("list",), ("create", "update", "patch", "delete")
_BYTES = 1 << 20  # of a MiB

Format = Callable[[Measured], str]


def table(found: Sequence[Measured]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    columns = [["", *(_title(each) for each in found)]]
    columns += [[label, *(figure(each) for each in found)] for label, figure in _FIGURES.items()]
    widths = [max(map(len, column)) for column in zip(*columns, strict=True)]
    for number, row in enumerate(columns):
        yield _line(row, widths)
        if number == 0:
            yield _line(["-" * width for width in widths], widths)


def requests(found: Measured) -> Iterator[str]:
    """Yield what was asked of the API server in the window, most frequent first."""
    for (verb, kind), count in found.requests.most_common():
        yield f"{count:8}  {verb} {kind}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = [
        cell.ljust(width) if number == 0 else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join([first, *rest])} |"


def _title(each: Measured) -> str:
    return f"{each.healthy} steps" + (f" + {each.mute} mute" if each.mute else "")


def _per_step_and_minute(each: Measured, verbs: Sequence[str]) -> str:
    count = sum(number for (verb, _), number in each.requests.items() if verb in verbs)
    return f"{count * 60 / each.window / each.steps:.2f}"


def _writes(each: Measured) -> int:
    return sum(number for (verb, _), number in each.requests.items() if verb in _WRITES)


def _cpu(part: str) -> Format:
    return lambda each: f"{each.cpu[part] * 60 / each.window:.1f} s"


def _median_and_worst(values: Sequence[float]) -> str:
    return f"{percentile(values, 50):.1f} / {max(values):.1f} s"


def _running(each: Measured) -> str:
    if each.running < each.healthy:
        return f"only {each.running} in {each.running_after:.0f} s"
    return f"{each.running_after:.0f} s"


def _lag(percent: float) -> Format:
    return lambda each: ("> " if each.lags.open else "") + f"{percentile(each.lags.status, percent):.1f} s"


_FIGURES: dict[str, Format] = {
    "all run after": _running,
    "operator CPU for each start": lambda each: f"{each.start_cpu * 1000:.0f} ms",
    "status lag p50": _lag(50),
    "status lag p95": _lag(95),
    "status lag, worst": _lag(100),
    "snapshot to watch p50": lambda each: f"{percentile(each.lags.delivery, 50):.2f} s",
    "snapshot to watch p95": lambda each: f"{percentile(each.lags.delivery, 95):.2f} s",
    "between statuses p50": lambda each: f"{percentile(each.lags.intervals, 50):.1f} s",
    "between statuses p95": lambda each: f"{percentile(each.lags.intervals, 95):.1f} s",
    "statuses shown a second": lambda each: f"{each.lags.shown / each.window:.1f}",
    "API reads a step and minute": lambda each: _per_step_and_minute(each, _READS),
    "API lists a step and minute": lambda each: _per_step_and_minute(each, _LISTS),
    "API writes a step and minute": lambda each: _per_step_and_minute(each, _WRITES),
    "API writes a second": lambda each: f"{_writes(each) / each.window:.1f}",
    "reconciles for each write": lambda each: f"{each.reconciles / max(1, _writes(each)):.2f}",
    "operator CPU a minute": _cpu("operator"),
    "operator CPU for each status": lambda each: f"{each.cpu['operator'] * 1000 / max(1, each.lags.shown):.1f} ms",
    "operator memory": lambda each: f"{each.memory / _BYTES:.0f} MiB",
    "API server CPU a minute": _cpu("apiserver"),
    "etcd CPU a minute": _cpu("etcd"),
    "simulated kubelets' CPU a minute": _cpu("kubelets"),
    "simulated coordinators' CPU a minute": _cpu("coordinators"),
    "measurement's CPU a minute": _cpu("measurement"),
    "first pod of one more step": lambda each: _median_and_worst(each.first_pod),
    "all pods of one more step": lambda each: _median_and_worst(each.all_pods),
    "load of the machine": lambda each: f"{each.load:.1f}",
}
