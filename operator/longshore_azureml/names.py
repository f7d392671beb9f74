"""Names inside and outside: what Kubernetes does not allow becomes a slug; scripts read their own names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from longshore_planner.azureml.names import STEP_LONGEST, port_name, resource_name, step_name

__all__ = ["digest", "port_name", "resource_name", "unique"]


def unique(text: str, taken: dict[str, Any], form: Callable[[str], str] = step_name) -> str:
    """Return the slug of a text, with a number if it is taken: "train-model", then "train-model-2"."""
    slug = form(text)
    name, number = slug, 1
    while name in taken:
        number += 1
        name = f"{slug[: STEP_LONGEST - 4].rstrip('-_')}-{number}"
    return name


def digest(value: Any) -> str:
    """Return eight characters that identify a value of JSON's types."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]
