"""Which step needs which, and an order in which they can run."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence

from longshore_api.errors import InvalidDocuments, Problem, listed
from longshore_planner.step_outputs import Need


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
