"""Translation of Azure ML's environments: an image, with or without packages that Azure ML installs into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from longshore_planner.azureml.notes import Notes
from longshore_planner.azureml.section import Section, truth

_BUILD = "fill in an image that contains the packages"
_BASE = "image is the base image, without the packages that Azure ML installs into it"
_INSTALLED = "Longshore builds no images; install the packages into an image, and set it as image"
_V1_LOST = {
    "spark": "",
    "databricks": "",
    "r": "",
    "asset_id": "",
    "assetId": "",
    "inferencing_stack_version": "",
    "inferencingStackVersion": "",
}


def named(asset: str) -> tuple[dict[str, Any], str]:
    """Return the spec of an Environment of which only the name is known, and a remark for the user."""
    return {}, f"fill in the image of {asset}; local runs ignore it"


def described(given: Mapping[str, Any], *, origin: str, notes: Notes) -> tuple[dict[str, Any], str]:
    """Return the spec of an Environment described in place, in the form of v1 or v2, and a remark for the user."""
    section = Section(given, origin, notes)
    spec: dict[str, Any] = {}
    image = section.text("image")
    docker = section.section("docker")
    image = image or docker.text("base_image") or docker.text("baseImage")
    built = [each for each in ("base_dockerfile", "baseDockerfile") if each in docker]
    python = section.section("python")
    packages = [name for name in ("conda_file", "build") if name in section]
    packages += [f"python.{each}" for each in ("conda_dependencies", "condaDependencies") if each in python]
    if truth(python.take("user_managed_dependencies") or python.take("userManagedDependencies")):
        packages = [each for each in packages if not each.startswith("python.")]  # Azure ML installs none of them
    for name in [*packages, *(f"docker.{each}" for each in built)]:
        notes.lost(f"{origin}.{name}", _INSTALLED)
    remark = "" if image else _BUILD
    if image:
        spec["image"] = image
        remark = _BASE if packages or built else ""
    variables = (
        section.take("environment_variables") or section.take("environmentVariables") or section.take("variables")
    )
    if isinstance(variables, Mapping):
        spec["variables"] = {str(key): str(value) for key, value in variables.items()}
    for name in ("conda_file", "build", "description", "os_type", "inference_config"):
        section.take(name)
    section.rest(_V1_LOST)
    return spec, remark
