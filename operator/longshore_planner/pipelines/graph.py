"""Order of a pipeline's steps by their dependencies."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from longshore_api.errors import InvalidDocuments, Problem, listed
from longshore_planner.step_outputs import Need


def arrange(names: Sequence[str], needs: Sequence[Need], outputs: Mapping[str, Sequence[str]], where: str) -> list[str]:
    """Sort the steps topologically by their dependencies, keeping the written order where possible.

    Raises:
        InvalidDocuments: for a step or output that does not exist, and for cyclic dependencies.
    """
    problems = list(_unknown(needs, outputs, where))
    if problems:
        raise InvalidDocuments(problems)
    position = {name: index for index, name in enumerate(names)}
    steps = TopologicalSorter(dict.fromkeys(names, ()))
    for each in needs:
        steps.add(each.step, each.on)
    try:
        steps.prepare()
    except CycleError as error:
        raise InvalidDocuments([_circle(error.args[1], needs, where)]) from None
    ready: list[int] = []  # a heap of positions
    order = []
    while steps.is_active():
        for name in steps.get_ready():
            heapq.heappush(ready, position[name])
        order.append(names[heapq.heappop(ready)])
        steps.done(order[-1])
    return order


def _unknown(needs: Sequence[Need], outputs: Mapping[str, Sequence[str]], where: str) -> Iterator[Problem]:
    for need in needs:
        if need.on not in outputs:
            yield Problem(
                where,
                need.path,
                f"refers to the step {need.on!r}, which does not exist; the steps are {listed(outputs)}",
            )
        elif need.output is not None and need.output not in outputs[need.on]:
            known = listed(outputs[need.on])
            text = f"refers to the output {need.output!r} of {need.on!r}, which does not exist; its outputs are {known}"
            yield Problem(where, need.path, text)


def _circle(circle: Sequence[str], needs: Sequence[Need], where: str) -> Problem:
    """Return the problem of a cycle, whose first and last step are the same."""
    edges = set(pairwise(circle))
    path = next(each.path for each in needs if (each.on, each.step) in edges)
    return Problem(where, path, f"closes a cycle of dependencies: {' → '.join(circle)}; remove one of them")
