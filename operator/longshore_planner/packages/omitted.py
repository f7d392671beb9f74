"""Packages of Azure ML that are not installed, because Longshore provides their modules itself."""

from __future__ import annotations

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# Extras of omitted packages, and what scripts import because of them.
_EXTRAS = {("azureml-dataset-runtime", "pandas"): ("pandas", "pyarrow"), ("azureml-dataprep", "pandas"): ("pandas",)}


def is_omitted(name: str) -> bool:
    """Return whether a package is one of Azure ML's SDK, whose modules Longshore provides."""
    return canonicalize_name(name).startswith("azureml-")


def replacements(requirement: Requirement) -> list[str]:
    """Return the packages to install for the extras of an omitted package."""
    name = canonicalize_name(requirement.name)
    found = [each for extra in sorted(requirement.extras) for each in _EXTRAS.get((name, extra), ())]
    return list(dict.fromkeys(found))
