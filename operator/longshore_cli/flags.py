"""Options of `longshore run` that are not for every run."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from longshore_api.errors import InvalidDocuments, Problem

PIPELINE_FLAGS = ("pipeline", "regenerate_outputs", "continue_on_step_failure", "content_fingerprint")


def refuse(options: argparse.Namespace, names: Iterable[str], *, rule: str) -> None:
    """Raise InvalidDocuments for each option of these names that is given."""
    flags = {"parameters": "-p"}
    given = [flags.get(name, "--" + name.replace("_", "-")) for name in names if getattr(options, name)]
    if given:
        raise InvalidDocuments(Problem(flag, "", rule) for flag in given)
