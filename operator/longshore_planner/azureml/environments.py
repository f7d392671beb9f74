"""Translation of Azure ML's environments: an image, packages that are installed on top of it, or one by name."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from longshore_api.errors import listed
from longshore_planner.azureml.notes import Notes
from longshore_planner.azureml.section import Section, truth
from longshore_planner.packages.conda import read_conda
from longshore_planner.packages.curated import curated_families, curated_spec, image_with, is_curated

_REGISTRY = "azureml://registries/azureml/environments/"  # of the environments that Azure ML provides
_BASE_IMAGES = ("mcr.microsoft.com/azureml/",)
_BUILD = "Longshore builds no images from Dockerfiles; build it, and set it as image"
_FILL_IN = "fill in the image that the Dockerfile builds"
_REPLACED = "it is one of Azure ML's base images, in which packages have an interpreter of their own; replaced by"
_DEFAULT_IMAGE = "the cluster's default image"
_V1_LOST = {
    "spark": "",
    "databricks": "",
    "r": "",
    "asset_id": "",
    "assetId": "",
    "inferencing_stack_version": "",
    "inferencingStackVersion": "",
}


def named(asset: str, name: str, *, origin: str, notes: Notes) -> tuple[dict[str, Any], str]:
    """Return the spec of an Environment of which only the name is known, and a remark for the user.

    Args:
        asset: reference of the environment, such as azureml:NAME@latest.
        name: its name.
        origin: path of the reference.
        notes: receives what is not translated.
    """
    if not is_curated(name) and not asset.startswith(_REGISTRY):
        return {}, f"fill in packages, or the image of {asset}; local runs ignore images"
    spec = curated_spec(name)
    if spec is None:
        known = listed(curated_families())
        notes.lost(origin, f"{name} is no environment of Azure ML that Longshore knows; those of {known} are")
        return {}, f"fill in packages or the image of {asset}"
    return spec, f"like {name} of Azure ML; remove the packages that the script does not need"


def described(
    given: Mapping[str, Any], *, folder: str, read: Callable[[str], Any], origin: str, notes: Notes
) -> tuple[dict[str, Any], str]:
    """Return the spec of an Environment described in place, in the form of v1 or v2, and a remark for the user.

    Args:
        given: the environment.
        folder: folder of its file, for paths of conda files.
        read: returns the parsed content of a file, or None.
        origin: path of the environment.
        notes: receives what is not translated.
    """
    section = Section(given, origin, notes)
    docker, python = section.section("docker"), section.section("python")
    image = section.text("image") or docker.text("base_image") or docker.text("baseImage")
    built = ["build"] if "build" in section else []
    built += [f"docker.{each}" for each in ("base_dockerfile", "baseDockerfile") if each in docker]
    for name in built:
        notes.lost(f"{origin}.{name}", _BUILD)
    source, conda = _conda(section, python)
    if isinstance(conda, str):
        conda = _file(conda, folder, read, origin=f"{origin}.{source}", notes=notes)
    packages = _packages(conda, origin=f"{origin}.{source}", notes=notes) if isinstance(conda, Mapping) else {}
    spec: dict[str, Any] = {}
    if packages:
        image = _image_for(packages, image, origin=origin, notes=notes)
        spec["packages"] = packages
    if image:
        spec["image"] = image
    variables = (
        section.take("environment_variables") or section.take("environmentVariables") or section.take("variables")
    )
    if isinstance(variables, Mapping):
        spec["variables"] = {str(key): str(value) for key, value in variables.items()}
    for name in ("build", "description", "os_type", "inference_config"):
        section.take(name)
    section.rest(_V1_LOST)
    return spec, _FILL_IN if built and not image else ""


def _conda(section: Section, python: Section) -> tuple[str, Any]:
    """Return the field with the conda file, and its content or path; None if Azure ML installs no packages."""
    if (conda := section.take("conda_file")) is not None:
        return "conda_file", conda
    names = ("conda_dependencies", "condaDependencies", "conda_dependencies_file", "condaDependenciesFile")
    given = [(f"python.{each}", python.take(each)) for each in names]
    if truth(python.take("user_managed_dependencies") or python.take("userManagedDependencies")):
        return "", None
    return next((each for each in given if each[1] is not None), ("", None))


def _file(path: str, folder: str, read: Callable[[str], Any], *, origin: str, notes: Notes) -> Any:
    content = read(posixpath.normpath(posixpath.join(folder, path.removeprefix("file:"))))
    if not isinstance(content, Mapping):
        notes.lost(origin, f"{path} is no conda file that can be read; put its content into packages.conda")
    return content


def _packages(conda: Mapping[str, Any], *, origin: str, notes: Notes) -> dict[str, Any]:
    """Return spec.packages with the content of a conda file, without the lines that a run would refuse."""
    kept = {key: each for key, each in conda.items() if key in ("channels", "dependencies")}
    problems = read_conda(_text(kept)).problems
    for _, line, rule in problems:
        notes.add(origin, f"{line or 'a line'} is not carried over: it {rule}")
    kept["dependencies"] = _without(kept.get("dependencies"), {line for _, line, _ in problems})
    text = _text(kept)
    return {"conda": text} if kept["dependencies"] and not read_conda(text).problems else {}


def _without(dependencies: Any, lines: set[str | None]) -> Any:
    """Return dependencies, and those of their pip section, without some lines."""
    match dependencies:
        case list():
            return [_without(each, lines) for each in dependencies if not isinstance(each, str) or each not in lines]
        case {"pip": requirements}:
            return {"pip": _without(requirements, lines)}
        case _:
            return dependencies


def _text(conda: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(conda), sort_keys=False, default_flow_style=False)


def _image_for(packages: Mapping[str, Any], image: str, *, origin: str, notes: Notes) -> str:
    """Return the image for packages: the given one, unless it is one of Azure ML's base images."""
    if not image.startswith(_BASE_IMAGES):
        return image
    pythons = read_conda(packages["conda"]).pythons
    other = image_with(pythons[0]) if len(pythons) == 1 else ""
    notes.lost(f"{origin}.image", f"{_REPLACED} {other or _DEFAULT_IMAGE}")
    return other
