"""Options of `longshore run` that are supported for some kinds of runs only."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from longshore_api.errors import InvalidDocuments, Problem

PIPELINE_FLAGS = ("pipeline", "regenerate_outputs", "continue_on_step_failure", "content_fingerprint")


def reject_options(options: argparse.Namespace, names: Iterable[str], *, rule: str) -> None:
    """Raise InvalidDocuments, with `rule` as message, if any of the named options is given."""
    flags = {"parameters": "-p"}
    given = [flags.get(name, "--" + name.replace("_", "-")) for name in names if getattr(options, name)]
    if given:
        raise InvalidDocuments(Problem(flag, "", rule) for flag in given)
