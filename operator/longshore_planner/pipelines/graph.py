"""Which step needs which: references between steps, and an order in which they can run."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longshore_api.errors import InvalidDocuments, Problem, listed
from longshore_api.validation import Loc, field_path

_REFERENCE = re.compile(r"\$\(steps\.([^()]*)\)")
_OUTPUT = re.compile(r"([^.]+)\.outputs\.([^.]+)")
# A reference on its way through models and resolution, where it must look like the place that it will be.
_PLACE = re.compile(r"longshore-step://([a-z][-a-z0-9]*)/([A-Za-z_][-A-Za-z0-9_]*)")


@dataclass(frozen=True)
class Need:
    """One step needs another: an output of it, or only that it has succeeded."""

    step: str  # who needs
    on: str  # whom
    output: str | None  # None: runAfter
    path: str  # the field that says so: "spec.steps[1].script.inputs[0].from"


def hold_places(value: Any, *, step: str, loc: Loc, needs: list[Need], problems: list[Problem], where: str) -> Any:
    """Return a value of a step with each `$(steps.X.outputs.Y)` as a place that is filled in when the step starts.

    Adds what it finds to `needs`, and what is no such reference to `problems`.
    """

    def held(found: re.Match[str]) -> str:
        output = _OUTPUT.fullmatch(found[1])
        if output is None:
            text = f"refers to {found[0]}: a reference to another step is $(steps.STEP.outputs.NAME)"
            problems.append(Problem(where, field_path(loc), text))
            return found[0]
        needs.append(Need(step, output[1], output[2], field_path(loc)))
        return f"longshore-step://{output[1]}/{output[2]}"

    match value:
        case dict():
            return {
                key: hold_places(each, step=step, loc=(*loc, str(key)), needs=needs, problems=problems, where=where)
                for key, each in value.items()
            }
        case list():
            return [
                hold_places(each, step=step, loc=(*loc, index), needs=needs, problems=problems, where=where)
                for index, each in enumerate(value)
            ]
        case str() if "$(" in value:
            return _REFERENCE.sub(held, value)
        case _:
            return value


def is_held(place: str) -> bool:
    """Tell whether a place is an output of another step, or below one."""
    return _PLACE.match(place) is not None


def fill_places(value: Any, outputs: Mapping[tuple[str, str], str]) -> Any:
    """Return a value with each place that is held replaced by the URI of that (step, output).

    One that nothing was asked of, as somebody wrote it by hand, stays: who is to open it says that there is no such.
    """
    match value:
        case dict():
            return {key: fill_places(each, outputs) for key, each in value.items()}
        case list() | tuple():
            return [fill_places(each, outputs) for each in value]
        case str():
            return _PLACE.sub(lambda found: outputs.get((found[1], found[2]), found[0]), value)
        case _:
            return value


def arrange(names: Sequence[str], needs: Sequence[Need], outputs: Mapping[str, Sequence[str]], where: str) -> list[str]:
    """Return the steps so that each stands behind those it needs, and as they are written where that leaves a choice.

    Raises InvalidDocuments for a step or output that is not there, and for steps that need one another in a circle.
    """
    problems = list(_unknown(needs, outputs, where))
    if problems:
        raise InvalidDocuments(problems)
    position = {name: index for index, name in enumerate(names)}
    waiting: dict[str, set[str]] = {name: set() for name in names}
    for each in needs:
        waiting[each.step].add(each.on)
    readers: dict[str, list[str]] = {name: [] for name in names}
    for name, on in waiting.items():
        for other in on:
            readers[other].append(name)
    ready = [position[name] for name in names if not waiting[name]]
    order = []
    while ready:
        name = names[heapq.heappop(ready)]
        order.append(name)
        for reader in readers[name]:
            waiting[reader].discard(name)
            if not waiting[reader]:
                heapq.heappush(ready, position[reader])
    if len(order) < len(names):
        raise InvalidDocuments([_circle({name: on for name, on in waiting.items() if on}, needs, where)])
    return order


def _unknown(needs: Sequence[Need], outputs: Mapping[str, Sequence[str]], where: str) -> Iterator[Problem]:
    for need in needs:
        if need.on not in outputs:
            yield Problem(where, need.path, f"refers to the step {need.on!r}: the steps are {listed(outputs)}")
        elif need.output is not None and need.output not in outputs[need.on]:
            known = listed(outputs[need.on])
            yield Problem(
                where, need.path, f"refers to the output {need.output!r} of {need.on}: its outputs are {known}"
            )


def _circle(stuck: Mapping[str, set[str]], needs: Sequence[Need], where: str) -> Problem:
    """Return the problem that some of the steps in `stuck` need one another; data flows as the arrows show."""
    chain: list[str] = []
    name = next(iter(stuck))
    while name not in chain:
        chain.append(name)
        name = min(on for on in stuck[name] if on in stuck)
    circle = [*chain[chain.index(name) :], name]
    path = next(each.path for each in needs if (each.step, each.on) == (circle[0], circle[1]))
    return Problem(where, path, f"closes a circle: {' → '.join(reversed(circle))}; no step can need itself")
