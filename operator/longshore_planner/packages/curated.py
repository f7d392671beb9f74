"""Environments that Azure ML provides by name, such as AzureML-sklearn-1.0-ubuntu20.04-py38-cpu, as packages."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

_PREFIX = "azureml-"
_NAME = re.compile(rf"({_PREFIX})?(acpt-)?(?P<family>[a-z-]*[a-z])(-(?P<version>\d+(\.\d+)*))?(?P<rest>-.*)?")
_PYTHON = re.compile(r"-py3(?P<minor>\d+)(-|$)")


def is_curated(name: str) -> bool:
    """Return whether a name is one of those that Azure ML reserves for its own environments."""
    return name.lower().startswith(_PREFIX)


def curated_families() -> list[str]:
    """Return the names of the families of environments that `curated_spec` knows."""
    return [each["names"][0] for each in _families()]


def curated_spec(name: str) -> dict[str, Any] | None:
    """Return the spec of an Environment like Azure ML's; None for a name that is not known.

    Its image has the version of Python that the name states.
    """
    found = _NAME.fullmatch(name.lower())
    known = {each: family for family in _families() for each in family["names"]}
    if found is None or found["family"] not in known:
        return None
    family, version = known[found["family"]], found["version"]
    first = [f"{family['package']}=={version}.*" if version else family["package"]] if "package" in family else []
    packages: dict[str, Any] = {"pip": [*first, *family["with"]]} if first else {}
    python = _PYTHON.search(found["rest"] or "")
    if python is None:
        return {"packages": packages} if packages else {}
    release = f"3.{python['minor']}"
    return {"image": image_with(release), "packages": {**packages, "python": release}}


def image_with(release: str) -> str:
    """Return an image that has this release of Python, such as "3.8"."""
    return f"docker.io/library/python:{release}"


@cache
def _families() -> list[dict[str, Any]]:
    text = (files("longshore_planner.packages") / "curated.toml").read_text(encoding="utf-8")
    return list(tomllib.loads(text)["family"])
