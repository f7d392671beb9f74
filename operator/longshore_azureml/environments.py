"""Environments: images, packages and environment variables of scripts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml
from packaging.requirements import InvalidRequirement, Requirement

import longshore
from longshore_azureml.errors import UserErrorException
from longshore_azureml.keywords import checked
from longshore_azureml.names import resource_name
from longshore_azureml.unsupported import Supported

if TYPE_CHECKING:
    from longshore_azureml.workspace import Workspace

DEFAULT_CPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"
DEFAULT_GPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-cuda11.8-cudnn8-ubuntu22.04"
_OF_AZURE = "mcr.microsoft.com/azureml/"
_CURATED = "AzureML-"
_OWN = ("azureml-", "azureml_")  # packages that steps get from Longshore


class Section:
    """Settings that Longshore accepts and ignores: any attribute may be set and read."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.__dict__.setdefault(name, Section())


@checked
class DockerSection(Supported):
    """The image of an environment."""

    def __init__(
        self,
        enabled: bool | None = None,
        base_image: str | None = None,
        base_dockerfile: str | None = None,
        use_docker: bool | None = None,
    ) -> None:
        self.enabled = enabled
        self.use_docker = use_docker
        self.base_image = base_image
        self.base_dockerfile = base_dockerfile
        self.base_image_registry = Section()
        self.platform = Section()
        self.arguments: list[str] = []
        self.shared_volumes: bool | None = None
        self.shm_size: str | None = None
        self.gpu_support: bool | None = None


@checked
class DockerConfiguration(DockerSection):
    """Whether a run uses a container; on a cluster, all do."""

    def __init__(
        self,
        use_docker: bool | None = None,
        shared_volumes: bool | None = None,
        arguments: list[str] | None = None,
        shm_size: str | None = None,
    ) -> None:
        super().__init__(use_docker=use_docker)


@checked
class CondaDependencies(Supported):
    """Packages of an environment, as in a conda file.

    Args:
        conda_dependencies_file_path: A conda file to begin with.
    """

    def __init__(self, conda_dependencies_file_path: str | None = None) -> None:
        self.python_version: str | None = None
        self.channels: list[str] = []
        self._conda: list[str] = []
        self._pip: list[str] = []
        if conda_dependencies_file_path is not None:
            self._read(Path(conda_dependencies_file_path))

    @staticmethod
    def create(
        pip_indexurl: str | None = None,
        pip_packages: list[str] | None = None,
        conda_packages: list[str] | None = None,
        python_version: str | None = None,
        pin_sdk_version: bool = True,
    ) -> CondaDependencies:
        """Return the packages of these lists. `pin_sdk_version` is ignored: steps get no packages of Azure ML."""
        made = CondaDependencies()
        made.python_version = python_version
        for each in conda_packages or ():
            made.add_conda_package(each)
        for each in pip_packages or ():
            made.add_pip_package(each)
        return made

    @property
    def conda_packages(self) -> list[str]:
        """The conda packages."""
        return list(self._conda)

    @property
    def pip_packages(self) -> list[str]:
        """The packages of a package index."""
        return list(self._pip)

    def add_pip_package(self, pip_package: str) -> None:
        """Add a requirement, such as scikit-learn==1.5."""
        _put(self._pip, pip_package)

    def add_conda_package(self, conda_package: str) -> None:
        """Add a conda package, such as pandas=2."""
        _put(self._conda, conda_package)

    def add_channel(self, channel: str) -> None:
        """Add a conda channel."""
        _put(self.channels, channel)

    def set_python_version(self, version: str) -> None:
        """Set the version of Python."""
        self.python_version = version

    def remove_pip_package(self, pip_package: str) -> None:
        """Remove a requirement by the name of its package."""
        self._pip = [each for each in self._pip if _package(each) != _package(pip_package)]

    def remove_conda_package(self, conda_package: str) -> None:
        """Remove a conda package by its name."""
        self._conda = [each for each in self._conda if _package(each) != _package(conda_package)]

    def as_dict(self) -> dict[str, Any]:
        """Return the content of a conda file."""
        python = [f"python={self.python_version}"] if self.python_version else []
        pip = [{"pip": list(self._pip)}] if self._pip else []
        channels = {"channels": list(self.channels)} if self.channels else {}
        return {"name": "project_environment", **channels, "dependencies": [*python, *self._conda, *pip]}

    def serialize_to_string(self) -> str:
        """Return the text of a conda file."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False)

    def save(self, path: str) -> str:
        """Write a conda file; return its path."""
        Path(path).write_text(self.serialize_to_string(), encoding="utf-8")
        return path

    def save_to_file(self, base_directory: str, conda_file_path: str | None = None) -> str:
        """Write a conda file into a folder; return its name."""
        name = conda_file_path or "conda_dependencies.yml"
        self.save(str(Path(base_directory, name)))
        return name

    def _read(self, path: Path) -> None:
        try:
            found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except OSError as error:
            raise UserErrorException(f'conda file "{path}" cannot be read: {error.strerror}.') from None
        self.channels += found.get("channels") or []
        for each in found.get("dependencies") or []:
            if isinstance(each, Mapping):
                self._pip += each.get("pip") or []
            elif _package(each) == "python":
                self.python_version = re.sub(r"^python\s*=*\s*", "", each) or None
            else:
                self._conda.append(each)


def _put(lines: list[str], line: str) -> None:
    lines[:] = [*(each for each in lines if _package(each) != _package(line)), line]


def _package(line: str) -> str:
    return re.split(r"[\s=<>!~\[;]", line.strip(), maxsplit=1)[0].lower().replace("_", "-")


@checked
class PythonSection(Supported):
    """Packages and interpreter of an environment."""

    def __init__(self) -> None:
        self.user_managed_dependencies = False
        self.interpreter_path = "python"
        self.conda_dependencies: CondaDependencies = CondaDependencies()
        self.conda_dependencies_file: str | None = None
        self.base_conda_environment: str | None = None


@checked
class Environment(Supported):
    """Image, packages and environment variables of scripts.

    In a local workspace, scripts run with this interpreter, and packages that it lacks are listed at submission. On a
    cluster, an image is needed: `docker.base_image`, or an Environment of this name in the namespace.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name or "environment"
        self.version: str | None = None
        self.python = PythonSection()
        self.docker = DockerSection()
        self.environment_variables: dict[str, Any] = {}
        self.inferencing_stack_version: str | None = None
        self.spark = Section()
        self.r: Any = None

    def __repr__(self) -> str:
        return f"Environment(name={self.name!r}, version={self.version!r})"

    @staticmethod
    def from_conda_specification(name: str, file_path: str) -> Environment:
        """Return an environment with the packages of a conda file. Raises UserErrorException."""
        return _with_packages(name, CondaDependencies(file_path))

    @staticmethod
    def from_pip_requirements(name: str, file_path: str, pip_version: str | None = None) -> Environment:
        """Return an environment with the requirements of a file. Raises UserErrorException."""
        try:
            lines = Path(file_path).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise UserErrorException(f'file_path "{file_path}" cannot be read: {error.strerror}.') from None
        wanted = [text for line in lines if (text := line.partition("#")[0].strip())]
        return _with_packages(name, CondaDependencies.create(pip_packages=wanted))

    @staticmethod
    def load_from_directory(path: str) -> Environment:
        """Return the environment that a folder describes: conda_dependencies.yml, named after the folder."""
        return _with_packages(
            os.path.basename(os.path.abspath(path)), CondaDependencies(os.path.join(path, "conda_dependencies.yml"))
        )

    @staticmethod
    def from_docker_image(
        name: str,
        image: str,
        container_registry: Any = None,
        conda_specification: str | None = None,
        pip_requirements: str | None = None,
    ) -> Environment:
        """Return an environment with an image, and the packages of a conda file."""
        made = Environment(name) if conda_specification is None else _with_packages(
            name, CondaDependencies(conda_specification)
        )  # fmt: skip
        made.docker.base_image = image
        return made

    @staticmethod
    def get(workspace: Workspace, name: str, version: str | None = None, label: str | None = None) -> Environment:
        """Return a registered environment, or one of Azure's curated ones, which has no packages.

        Raises UserErrorException.
        """
        records = workspace.records("environments")
        if name in records:
            return _from_record(name, records[name])
        if name.startswith(_CURATED):
            return Environment(name)
        known = ", ".join(records) or "none"
        raise UserErrorException(
            f'Environment "{name}" does not exist in workspace "{workspace.name}"; its environments are: {known}.'
        )

    def register(self, workspace: Workspace) -> Environment:
        """Keep the description in the workspace; return this environment."""
        records = workspace.records("environments")
        number = int(records[self.name]["version"]) if self.name in records else 0
        record = {**_record(self), "version": str(number)}
        if self.name not in records or records[self.name] != record:
            record["version"] = str(number + 1)
        records.put(self.name, record)
        self.version = record["version"]
        return self

    def build(self, workspace: Workspace, image_build_compute: str | None = None) -> ImageBuildDetails:
        """Print that Longshore builds no image; return a finished build."""
        print(f'Environment "{self.name}": no image is built; steps install the packages when they start.')
        return ImageBuildDetails()

    def clone(self, new_name: str) -> Environment:
        """Return a copy under another name."""
        return _from_record(new_name, _record(self))

    def python_lines(self) -> list[str]:
        """Return the requirements without those that steps get from Longshore."""
        return [each for each in self.python.conda_dependencies.pip_packages if not each.startswith(_OWN)]

    def missing(self) -> list[str]:
        """Return the requirements that this interpreter does not satisfy."""
        return [each for each in self.python_lines() if not _is_satisfied(each)]

    def native(self, *, local: bool) -> longshore.Environment:
        """Return the Environment document; packages are left out if `local`, where this interpreter is used."""
        image = self.docker.base_image
        variables = {name: str(value) for name, value in self.environment_variables.items()}
        packages: dict[str, Any] = {}
        if not local:
            conda = self.python.conda_dependencies
            listed = {"pip": self.python_lines(), "python": conda.python_version}
            packages = {name: value for name, value in listed.items() if value}
        return longshore.Environment(
            resource_name(self.name),
            image=None if image is None or image.startswith(_OF_AZURE) else image,
            variables=variables or None,
            packages=packages or None,
        )

    @staticmethod
    def list(workspace: Workspace) -> dict[str, Environment]:
        """Return the registered environments by name."""
        return {name: _from_record(name, record) for name, record in workspace.records("environments").items()}


class ImageBuildDetails:
    """The build of an image: none takes place."""

    status = "Succeeded"

    def wait_for_completion(self, show_output: bool = True) -> Self:
        """Return at once."""
        return self


def _with_packages(name: str, packages: CondaDependencies) -> Environment:
    made = Environment(name)
    made.python.conda_dependencies = packages
    return made


def _record(environment: Environment) -> dict[str, Any]:
    conda = environment.python.conda_dependencies
    return {
        "image": environment.docker.base_image,
        "python_version": conda.python_version,
        "channels": conda.channels,
        "conda": conda.conda_packages,
        "pip": conda.pip_packages,
        "variables": environment.environment_variables,
        "version": environment.version,
    }


def _from_record(name: str, record: Mapping[str, Any]) -> Environment:
    made = Environment(name)
    made.version = record["version"]
    made.docker.base_image = record["image"]
    made.environment_variables = dict(record["variables"])
    made.python.conda_dependencies = CondaDependencies.create(
        pip_packages=record["pip"], conda_packages=record["conda"], python_version=record["python_version"]
    )
    for each in record["channels"]:
        made.python.conda_dependencies.add_channel(each)
    return made


def _is_satisfied(line: str) -> bool:
    try:
        wanted = Requirement(line)
        return wanted.specifier.contains(metadata.version(wanted.name), prereleases=True)
    except (InvalidRequirement, metadata.PackageNotFoundError):
        return False


@checked
class RunConfiguration(Supported):
    """Environment and compute target of a step."""

    def __init__(
        self,
        script: str | None = None,
        arguments: list[Any] | None = None,
        framework: str | None = None,
        communicator: str | None = None,
        conda_dependencies: CondaDependencies | None = None,
        _history_enabled: bool | None = None,
        _path: str | None = None,
        _name: str | None = None,
    ) -> None:
        self.script = script
        self.arguments = arguments or []
        self.framework = framework or "Python"
        self.communicator = communicator
        self.target: Any = None
        self.environment = Environment("run-configuration")
        if conda_dependencies is not None:
            self.environment.python.conda_dependencies = conda_dependencies
        self.docker: Any = DockerConfiguration()
        self.node_count = 1
        self.history = Section()
        self.spark = Section()
        self.hdi = Section()
        self.data: dict[str, Any] = {}
        self.data_references: dict[str, Any] = {}
        self.output_data: dict[str, Any] = {}
        self.source_directory_data_store: str | None = None
        self.max_run_duration_seconds: int | None = None
        self.auto_prepare_environment: bool | None = None

    @property
    def environment_variables(self) -> dict[str, Any]:
        """The environment variables of the environment."""
        return self.environment.environment_variables


@checked
class ScriptRunConfig(Supported):
    """A script with its arguments, compute target and environment: submitted, or a part of a step."""

    def __init__(
        self,
        source_directory: str | None = None,
        script: str | None = None,
        arguments: list[Any] | None = None,
        run_config: RunConfiguration | None = None,
        _telemetry_values: Any = None,
        compute_target: Any = None,
        environment: Environment | None = None,
        distributed_job_config: Any = None,
        resume_from: Any = None,
        max_run_duration_seconds: int | None = None,
        command: str | list[Any] | None = None,
        docker_runtime_config: Any = None,
    ) -> None:
        if distributed_job_config is not None:
            from longshore_azureml.unsupported import refuse

            refuse("MpiConfiguration")
        self.source_directory = source_directory or "."
        self.script = script
        self.arguments = arguments or []
        self.command = command
        self.run_config = run_config or RunConfiguration()
        if compute_target is not None:
            self.run_config.target = compute_target
        if environment is not None:
            self.run_config.environment = environment
