"""Model: the models of a step by name."""

from __future__ import annotations

import os
import shutil
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from longshore_run import context
from longshore_shims import registering
from longshore_shims.absent import Refusing
from longshore_shims.errors import ModelNotFoundException, UserErrorException
from longshore_shims.named import ask, is_answered

FOLDER = "azureml-models"  # in the working directory: <name>/<version>/


class Model(Refusing):
    """One version of a model: `name`, `version`, `id`, and the `path` of its file or folder."""

    def __init__(
        self,
        workspace: Any = None,
        name: Optional[str] = None,
        id: Optional[str] = None,
        tags: Any = None,
        properties: Any = None,
        version: Optional[int] = None,
        **_: Any,
    ) -> None:
        if id is not None:
            name, _colon, number = id.partition(":")
            version = int(number) if number else version
        if name is None:
            raise UserErrorException('Model needs a name, or an id such as "iris:1".')
        self.name = name
        self._path: Optional[str] = None
        shown: Dict[str, Any] = {}
        try:
            self.version, self._path = _find(name, None if version is None else int(version))
        except ModelNotFoundException:
            if not is_answered():
                raise
            shown = ask("find-model", ModelNotFoundException, name=name, version=version)
            self.name, self.version = shown["name"], shown["version"]
        else:
            shown = _shown(name, self.version)
        self.id = "{}:{}".format(self.name, self.version)
        self.tags: Dict[str, str] = shown.get("tags", {})
        self.properties: Dict[str, str] = shown.get("properties", {})
        self.description: str = shown.get("description", "")

    @property
    def path(self) -> str:
        """The path of the model's file or folder; the step's agent downloads it at the first use.

        Raises UserErrorException.
        """
        if self._path is None:
            self._path = _fetch(self.name, self.version)
        return self._path

    @path.setter
    def path(self, path: str) -> None:
        self._path = path

    @staticmethod
    def register(
        workspace: Any = None,
        model_path: str = "",
        model_name: str = "",
        tags: Optional[Mapping[str, Any]] = None,
        properties: Optional[Mapping[str, Any]] = None,
        description: Optional[str] = None,
        **_: Any,
    ) -> Model:
        """Register a file or folder as a new version of a model once the step has succeeded.

        Return the model with the version that it will probably have; another run may take that version first.

        Raises:
            UserErrorException: The path does not exist, or the call is in init() or run().
        """
        return Model.registered("Model.register", model_path, model_name, tags, properties, description)

    @staticmethod
    def registered(
        call: str,
        path: str,
        name: str,
        tags: Optional[Mapping[str, Any]],
        properties: Optional[Mapping[str, Any]],
        description: Optional[str],
    ) -> Model:
        """Record the registration of a model by a method of Azure ML; return the model. Raises UserErrorException."""
        known = [version for each, version in _models() if each == name]
        known += registering.known_versions("find-models", name)
        made = Model.__new__(Model)
        made.version = registering.register_model(
            call, path, name=name, known=known, tags=tags, properties=properties, description=description
        )
        made.name, made.path, made.id = name, os.path.abspath(path), "{}:{}".format(name, made.version)
        made.tags, made.properties = registering.texts(tags), registering.texts(properties)
        made.description = description or ""
        return made

    def __repr__(self) -> str:
        return "Model(name={}, version={}, path={})".format(self.name, self.version, self._path)

    @staticmethod
    def get_model_path(model_name: str, version: Optional[int] = None, _workspace: Any = None) -> str:
        """Return the path of a model: its file if it has only one, otherwise its folder.

        Searches azureml-models/<name>/<version>, the step's models, ./<name>, and the Models that existed when the run
        began, which the step's agent downloads. Without `version`, the highest one is used.

        Raises:
            ModelNotFoundException: There is no such model.
            UserErrorException: The step may not use the Datastore of the model, or the download failed.
        """
        number = None if version is None else int(version)
        try:
            return _find(model_name, number)[1]
        except ModelNotFoundException:
            if version is None and os.path.exists(model_name):
                return os.path.abspath(model_name)
            if not is_answered():
                raise
        return _fetch(model_name, number)

    @staticmethod
    def list(
        workspace: Any = None,
        name: Optional[str] = None,
        tags: Optional[Sequence[Any]] = None,
        properties: Optional[Sequence[Any]] = None,
        run_id: Optional[str] = None,
        latest: bool = False,
        **_: Any,
    ) -> List[Model]:
        """Return the step's models, and those that it may use, by name, the latest version first.

        Args:
            workspace: Ignored.
            name: The name of the models; all if not given.
            tags: Keep models with these tags: keys, or pairs of key and value.
            properties: The same for properties.
            run_id: Ignored.
            latest: Keep only the latest version of each name.
        """
        found = {(each, version) for each, version in _models() if name in (None, each)}
        if is_answered():
            found |= {(each["name"], each["version"]) for each in ask("find-models", name=name)}
        made, seen = [], set()
        for each, version in sorted(found, key=lambda pair: (pair[0], -pair[1])):
            if latest and each in seen:
                continue
            seen.add(each)
            model = Model(workspace, each, version=version)
            if _has_all(model.tags, tags) and _has_all(model.properties, properties):
                made.append(model)
        return made

    def download(self, target_dir: str = ".", exist_ok: bool = False, exists_ok: Optional[bool] = None) -> str:
        """Copy the model into a folder; return the copy's path. Raises UserErrorException if it exists already."""
        target = os.path.join(target_dir, os.path.basename(self.path) if os.path.isfile(self.path) else self.name)
        if os.path.lexists(target):
            if not (exist_ok or exists_ok):
                raise UserErrorException("{} exists already; set exist_ok=True to replace it.".format(target))
            shutil.rmtree(target) if os.path.isdir(target) else os.remove(target)
        os.makedirs(target_dir, exist_ok=True)
        shutil.copytree(self.path, target) if os.path.isdir(self.path) else shutil.copy(self.path, target)
        return target


def _fetch(name: str, version: Optional[int]) -> str:
    """Have the step's agent download a model; return the path of its file or folder. Raises UserErrorException."""
    found = ask("fetch-model", ModelNotFoundException, name=name, version=version)
    path: str = found["paths"][0]
    return _one(path) if os.path.isdir(path) else path


def _shown(name: str, version: int) -> Dict[str, Any]:
    """Return tags, properties and description of one of the step's models, if it is known by its name."""
    try:
        found: Dict[str, Any] = ask("find-model", name=name, version=version) if is_answered() else {}
    except UserErrorException:
        return {}  # it is in the working directory only, or in a Datastore that may be used for it alone
    return found


def _has_all(known: Mapping[str, str], wanted: Optional[Sequence[Any]]) -> bool:
    """Return whether tags or properties have all wanted ones: keys, or pairs of key and value."""
    for each in wanted or ():
        if isinstance(each, str):
            if each not in known:
                return False
        elif known.get(str(each[0])) != str(each[1]):
            return False
    return True


def _find(name: str, version: Optional[int]) -> Tuple[int, str]:
    """Return version and path of a model. Raises ModelNotFoundException."""
    models = _models()
    versions = [each for known, each in models if known == name and version in (None, each)]
    if versions:
        return max(versions), models[name, max(versions)]
    wanted = 'Model "{}"'.format(name) + ("" if version is None else ", version {},".format(version))
    known = ", ".join("{} (version {})".format(*each) for each in sorted(models)) or "none"
    text = "{} does not exist; the step's models are: {}. List the models that a step needs in spec.models."
    raise ModelNotFoundException(text.format(wanted, known))


def _models() -> Dict[Tuple[str, int], str]:
    """Return the paths of all models by name and version; those in the working directory take precedence."""
    step = context.current()
    found = {} if step is None else {(name, version): path for name, version, path in step.models}
    for name in _listed(FOLDER):
        for version in _listed(os.path.join(FOLDER, name)):
            if version.isdigit():
                found[name, int(version)] = _one(os.path.abspath(os.path.join(FOLDER, name, version)))
    return found


def _one(folder: str) -> str:
    """Return the only file of a folder, or the folder if it has other entries."""
    names = _listed(folder)
    file = os.path.join(folder, names[0]) if len(names) == 1 else folder
    return file if os.path.isfile(file) else folder


def _listed(folder: str) -> List[str]:
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []
