"""The objects of an environment: its packages, its builders, the record of its archive; and what unpacks the archive.

builder pod   init: inject    copies uv and the module that installs into `packages`
              init: find      credentials of stores: looks for an archive that an earlier builder published
              init: install   the user's image, and code of packages; credentials of the package index, and no others
              publish         credentials of stores: packs what was installed, and uploads it
              find, install   `work` with what was found
              install, publish   `environment` with the installed packages

No container restarts in place. A lost pod is replaced by another one, which begins again.
"""

from __future__ import annotations

from dataclasses import replace

from kubernetes.client import (
    V1ConfigMap,
    V1ConfigMapVolumeSource,
    V1Container,
    V1EnvVar,
    V1EnvVarSource,
    V1Pod,
    V1ResourceRequirements,
    V1SecretKeySelector,
    V1Volume,
    V1VolumeMount,
)

from longshore_operator.manifests import names, placement
from longshore_operator.manifests.metadata import immutable_map, metadata
from longshore_operator.manifests.parts import (
    INJECT,
    LAST_WORDS,
    PACKAGES,
    RUN,
    SCRATCH,
    SCRIPT_USER,
    UMASK,
    WORK,
    confined,
    environment,
    item,
    our_container,
    ours,
    own_folder,
    pod,
    scratch_volumes,
)
from longshore_operator.manifests.subject import Subject
from longshore_operator.manifests.volumes import DataAccess
from longshore_operator.settings import Settings
from longshore_planner.cluster.environments import ENVIRONMENT, INSTALLED, PackedEnvironment
from longshore_planner.cluster.pod_requirements import PodRequirements
from longshore_planner.locations import is_url
from longshore_planner.pod_locations import is_below
from longshore_protocol.built_environment import MANIFEST, BuiltEnvironment

FIND, INSTALL, PUBLISH, UNPACK = "find", "install", "publish", "environment"  # containers
PACKAGES_KEY, BUILT_KEY = "packages.json", MANIFEST  # of the ConfigMaps
USERNAME, PASSWORD = "username", "password"  # of the Secret of a package index

_UV = f"{PACKAGES}/uv"
_CACHE = f"{INSTALLED}/cache"  # beside what is installed, which then has its files as links
_UV_SIZE = "256Mi"  # of the volume with uv, which takes 60
_FOUND_SIZE = "1Mi"
_GRACE = 5  # seconds: it has nothing to finish


def packages_map(owner: Subject, packed: PackedEnvironment) -> V1ConfigMap:
    """Return the packages that builders install."""
    about = metadata(owner, names.environment_packages(packed.key), names.environment_labels(packed.key))
    return immutable_map(about, {PACKAGES_KEY: packed.packages.to_json()})


def built_map(owner: Subject, packed: PackedEnvironment, built: BuiltEnvironment) -> V1ConfigMap:
    """Return the record that the archive of an environment is complete."""
    about = metadata(owner, names.environment(packed.key), names.environment_labels(packed.key))
    return immutable_map(about, {BUILT_KEY: built.to_json()})


def builder_pod(
    owner: Subject, packed: PackedEnvironment, provision: PodRequirements, settings: Settings, number: int
) -> V1Pod:
    """Return the pod that builds an environment, after `number` that failed."""
    access = _access(packed, provision)
    about = metadata(
        owner,
        names.builder(packed.key, number),
        {**names.environment_labels(packed.key), names.ROLE_LABEL: names.BUILDER},
    )
    about.annotations = placement.annotations_of(provision.node, INJECT, INSTALL)
    found = V1VolumeMount(name="work", mount_path=WORK)
    installed = V1VolumeMount(name="environment", mount_path=INSTALLED, read_only=True)
    packages = V1ConfigMapVolumeSource(name=names.environment_packages(packed.key), items=[item(PACKAGES_KEY)])
    return pod(
        about,
        placement.beside_node(provision.node, settings),
        init_containers=[
            _inject(settings),
            _ours(FIND, packed.uri, WORK, access, settings, mount=found),
            _install(packed, provision, settings),
        ],
        containers=[_ours(PUBLISH, packed.uri, ENVIRONMENT, access, settings, mount=installed)],
        volumes=[
            own_folder("packages", _UV_SIZE),
            own_folder("work", _FOUND_SIZE),
            V1Volume(name="run", config_map=packages),
            *scratch_volumes(settings, "environment", "build", "scratch"),
            *access.volumes(),
        ],
        account=provision.service_account,
        grace=_GRACE,
        restart_policy="Never",
    )


def environment_volumes(provision: PodRequirements, settings: Settings) -> list[V1Volume]:
    """Return the volume with the packages of a step; none if its image has them all."""
    return scratch_volumes(settings, "environment") if provision.environment is not None else []


def environment_mounts(provision: PodRequirements) -> list[V1VolumeMount]:
    """Return where the user's container sees them."""
    if provision.environment is None:
        return []
    return [V1VolumeMount(name="environment", mount_path=INSTALLED, read_only=True)]


def unpack(access: DataAccess, settings: Settings) -> list[V1Container]:
    """Return the init container that unpacks the packages of a step; none if its image has them all."""
    packed = access.provision.environment
    if packed is None:
        return []
    container = our_container(
        UNPACK,
        settings,
        ["longshore_agent.environment", "unpack", packed.uri, ENVIRONMENT],
        env=ours(TMPDIR=SCRATCH, LONGSHORE_VOLUMES=access.boundary()),
        stores=access.provision if is_url(packed.uri) else None,  # a volume needs none
        mounts=[
            V1VolumeMount(name="environment", mount_path=INSTALLED),
            V1VolumeMount(name="scratch", mount_path=SCRATCH),
            *access.mounts(of=packed.uri, read_only=True),
        ],
    )
    return [container]


def _access(packed: PackedEnvironment, provision: PodRequirements) -> DataAccess:
    """Return the access to the volume of the archive alone, if it is on one."""
    whole = DataAccess(provision)
    used = {each.mount_path for each in whole.mounts(of=packed.uri)}
    volumes = tuple(each for each in provision.volumes if each.mount_path in used)
    folders = tuple(each for each in provision.folders if is_below(packed.uri, each))
    return DataAccess(replace(provision, volumes=volumes, folders=folders), writes=(packed.uri,))


def _inject(settings: Settings) -> V1Container:
    return our_container(
        INJECT,
        settings,
        ["longshore_agent.inject", PACKAGES, "--builder"],
        mounts=[V1VolumeMount(name="packages", mount_path=PACKAGES)],
    )


def _ours(
    command: str, uri: str, folder: str, access: DataAccess, settings: Settings, *, mount: V1VolumeMount
) -> V1Container:
    """Return a container of ours, called after its command; it has the credentials of stores."""
    return our_container(
        command,
        settings,
        ["longshore_agent.environment", command, uri, folder, *LAST_WORDS],
        env=ours(TMPDIR=SCRATCH, LONGSHORE_VOLUMES=access.boundary()),
        stores=access.provision if is_url(uri) else None,
        mounts=[mount, V1VolumeMount(name="scratch", mount_path=SCRATCH), *access.mounts()],
    )


def _install(packed: PackedEnvironment, provision: PodRequirements, settings: Settings) -> V1Container:
    """Return the user's container, which runs code of packages."""
    secret = packed.packages.secret
    return V1Container(
        name=INSTALL,
        image=provision.image,
        command=[packed.interpreter, "-m", "longshore_packages", f"{RUN}/{PACKAGES_KEY}", ENVIRONMENT],
        args=["--uv", _UV, "--cache", _CACHE, "--unless", f"{WORK}/{MANIFEST}", *LAST_WORDS],
        env=[
            *environment(PYTHONPATH=PACKAGES, LONGSHORE_UMASK=UMASK, HOME=SCRATCH, TMPDIR=SCRATCH),
            *([_index("USERNAME", secret, USERNAME), _index("PASSWORD", secret, PASSWORD)] if secret else []),
        ],
        resources=V1ResourceRequirements(
            requests={"cpu": "100m", "memory": settings.builder_memory},
            limits={"memory": settings.builder_memory_limit},
        ),
        security_context=confined(SCRIPT_USER, read_only_root=False),
        termination_message_policy="FallbackToLogsOnError",  # why an interpreter could not start is on its stderr
        volume_mounts=[
            V1VolumeMount(name="packages", mount_path=PACKAGES, read_only=True),
            V1VolumeMount(name="run", mount_path=RUN, read_only=True),
            V1VolumeMount(name="work", mount_path=WORK, read_only=True),
            V1VolumeMount(name="environment", mount_path=INSTALLED),
            V1VolumeMount(name="build", mount_path=SCRATCH),
        ],
    )


def _index(variable: str, secret: str, key: str) -> V1EnvVar:
    source = V1EnvVarSource(secret_key_ref=V1SecretKeySelector(name=secret, key=key))
    return V1EnvVar(name=f"LONGSHORE_INDEX_{variable}", value_from=source)
