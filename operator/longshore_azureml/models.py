"""Models: versions of a file or folder that scripts ask for by name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import longshore
from longshore_azureml.errors import ModelNotFoundException, UserErrorException
from longshore_azureml.keywords import checked
from longshore_azureml.names import resource_name
from longshore_azureml.unsupported import Supported

if TYPE_CHECKING:
    from longshore_azureml.workspace import Workspace

# Scripts get the file of a model that has one file only; this one makes the path of a registered folder a folder.
_FOLDER, _FOLDER_TEXT = ".longshore-model", "This model was registered as a folder.\n"


@checked
class Model(Supported):
    """One version of a model.

    Args:
        workspace: The workspace.
        name: Name of the model.
        id: NAME:VERSION, instead of `name`.
        version: The highest one if not given.
    """

    def __init__(
        self,
        workspace: Workspace,
        name: str | None = None,
        id: str | None = None,
        tags: Any = None,
        properties: Any = None,
        version: int | str | None = None,
        run_id: str | None = None,
    ) -> None:
        if id is not None:
            name, _, number = id.partition(":")
            version = number or version
        found = [each for each in _all(workspace) if name in (each.model_name, each.name)]
        wanted = [each for each in found if version is None or _version(each) == int(version)]
        if not wanted:
            known = ", ".join(f"{each.model_name} (version {_version(each)})" for each in _all(workspace)) or "none"
            raise ModelNotFoundException(
                f'Model "{name}"{"" if version is None else f", version {version}"} does not exist in workspace '
                f'"{workspace.name}"; its models are: {known}.'
            )
        self._fill(workspace, max(wanted, key=_version))

    def _fill(self, workspace: Workspace, document: longshore.Model) -> None:
        self.workspace = workspace
        self.document = document
        self.name = str(document.model_name or document.name)
        self.version = _version(document)
        self.id = f"{self.name}:{self.version}"
        self.description = document.description
        self.tags = dict(document.tags or {})
        self.properties = dict(document.properties or {})

    def __repr__(self) -> str:
        return f"Model(workspace={self.workspace!r}, name={self.name}, id={self.id}, version={self.version})"

    @staticmethod
    def register(
        workspace: Workspace,
        model_path: str,
        model_name: str,
        tags: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        description: str | None = None,
        datasets: Any = None,
        model_framework: str | None = None,
        model_framework_version: str | None = None,
        child_paths: list[str] | None = None,
        sample_input_dataset: Any = None,
        sample_output_dataset: Any = None,
        resource_configuration: Any = None,
    ) -> Model:
        """Copy a file or folder into the workspace as the next version of a model; return it.

        Raises:
            UserErrorException: There is nothing at `model_path`.
        """
        if not os.path.exists(model_path):
            raise UserErrorException(f'model_path is "{model_path}": there is no such file or folder.')
        print(f"Registering model {model_name}")
        version = 1 + max((_version(each) for each in _all(workspace) if each.model_name == model_name), default=0)
        slug = f"{resource_name(model_name)[:50]}-{version}"
        base = os.path.basename(os.path.normpath(os.path.abspath(model_path)))
        target = os.path.join(workspace.folder, "models", slug, base)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.isdir(model_path):
            shutil.copytree(model_path, target)
            Path(target, _FOLDER).write_text(_FOLDER_TEXT, encoding="utf-8")
        else:
            shutil.copy(model_path, target)
        document = longshore.Model(
            slug,
            f"file:{target}",
            model_name=model_name,
            version=version,
            description=description,
            tags=_texts(tags),
            properties=_texts(properties),
        )
        workspace.native.apply(document)
        return Model(workspace, model_name, version=version)

    @staticmethod
    def list(
        workspace: Workspace,
        name: str | None = None,
        tags: Any = None,
        properties: Any = None,
        run_id: str | None = None,
        latest: bool = False,
    ) -> list[Model]:
        """Return the models by name, the latest version first; `tags` are names, or [name, value]."""
        found = []
        names = sorted({str(each.model_name or each.name) for each in _all(workspace)})
        for each in names if name is None else [name]:
            versions = [doc for doc in _all(workspace) if (doc.model_name or doc.name) == each]
            ordered = sorted(versions, key=_version, reverse=True)
            found += [Model(workspace, each, version=_version(doc)) for doc in ordered[: 1 if latest else None]]
        return [each for each in found if _has(each.tags, tags) and _has(each.properties, properties)]

    @staticmethod
    def get_model_path(model_name: str, version: int | None = None, _workspace: Workspace | None = None) -> str:
        """Return the path of a model on this machine. Raises ModelNotFoundException."""
        from longshore_azureml.workspace import Workspace

        return Model(_workspace or Workspace.from_config(), model_name, version=version).path

    @property
    def path(self) -> str:
        """The path of the file or folder on this machine."""
        return str(self.document.path).removeprefix("file:")

    @property
    def url(self) -> str:
        """The location of the file or folder."""
        return str(self.document.path)

    def download(self, target_dir: str = ".", exist_ok: bool = False, exists_ok: bool | None = None) -> str:
        """Copy the model into a folder; return the path of the copy. Raises UserErrorException if it exists."""
        target = os.path.join(target_dir, os.path.basename(self.path))
        if os.path.exists(target):
            if not (exist_ok or exists_ok):
                raise UserErrorException(f"{target} exists already; set exist_ok=True to replace it.")
            shutil.rmtree(target) if os.path.isdir(target) else os.remove(target)
        os.makedirs(target_dir, exist_ok=True)
        shutil.copytree(self.path, target) if os.path.isdir(self.path) else shutil.copy(self.path, target)
        return target

    def delete(self) -> None:
        """Remove this version from the workspace."""
        self.workspace.native.delete("Model", self.document.name)


def _all(workspace: Workspace) -> list[longshore.Model]:
    return [each for each in workspace.native.resources("Model") if isinstance(each, longshore.Model)]


def _version(document: longshore.Model) -> int:
    return int(str(document.version or 1))


def _texts(given: Mapping[str, Any] | None) -> dict[str, str] | None:
    return {str(key): str(value) for key, value in given.items()} if given else None


def _has(tags: Mapping[str, str], wanted: Any) -> bool:
    for each in wanted or ():
        name, value = (each, None) if isinstance(each, str) else (each[0], each[1] if len(each) > 1 else None)
        if name not in tags or (value is not None and tags[name] != value):
            return False
    return True
