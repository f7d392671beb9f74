"""Earlier runs of steps, of any pipeline, whose outputs can be reused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from longshore_api.status import Registered
from longshore_planner.pipelines.fingerprint import digest, distance, without_contents
from longshore_planner.pipelines.records import Origin


@dataclass(frozen=True)
class EarlierStep:
    """A step that succeeded without reuse."""

    origin: Origin
    pipeline: str
    parts: Mapping[str, Any]
    outputs: Mapping[str, str]
    ended: float
    metrics: Mapping[str, Any] = field(default_factory=dict)
    git: Mapping[str, Any] | None = None
    registered: Sequence[Registered] = ()
    failures: str = ""  # message about failed items, if it succeeded with too many


class History:
    """Earlier steps, indexed by fingerprint and by name."""

    def __init__(self, steps: Iterable[EarlierStep] = ()) -> None:
        self._equal: dict[str, list[EarlierStep]] = {}
        self._equal_but_contents: dict[str, list[EarlierStep]] = {}
        self._named: dict[str, list[EarlierStep]] = {}
        for each in sorted(steps, key=lambda each: each.ended):
            self._equal.setdefault(digest(each.parts), []).append(each)
            self._equal_but_contents.setdefault(digest(without_contents(each.parts)), []).append(each)
            self._named.setdefault(each.origin.step, []).append(each)

    def equal(self, parts: Mapping[str, Any], *, step: str, contents: bool = True) -> EarlierStep | None:
        """Return the latest earlier step with the same fingerprint, preferably of the same name; None if none exists.

        Without `contents`, the contents of inputs and models are ignored.
        """
        found = (
            self._equal.get(digest(parts), [])
            if contents
            else self._equal_but_contents.get(digest(without_contents(parts)), [])
        )
        return max(found, key=lambda each: (each.origin.step == step, each.ended), default=None)

    def nearest(self, parts: Mapping[str, Any], *, step: str, pipeline: str) -> EarlierStep | None:
        """Return the earlier run of a step with the fewest differences, the latest of several; None if none exists."""
        named = self._named.get(step, [])
        of_pipeline = [each for each in named if each.pipeline == pipeline]
        return min(of_pipeline or named, key=lambda each: (distance(parts, each.parts), -each.ended), default=None)
