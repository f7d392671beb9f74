"""What the pods of all kinds of steps have in common: containers of ours, volumes, and how they are confined.

All pass Pod Security restricted and get no token of the API. Two users of one group: what one writes with umask 007 is
open to the other, on volumes too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubernetes.client import (
    V1Capabilities,
    V1ConfigMapVolumeSource,
    V1Container,
    V1EmptyDirVolumeSource,
    V1EnvFromSource,
    V1EnvVar,
    V1KeyToPath,
    V1ObjectMeta,
    V1Pod,
    V1PodSecurityContext,
    V1PodSpec,
    V1ResourceRequirements,
    V1SeccompProfile,
    V1SecretEnvSource,
    V1SecurityContext,
    V1Volume,
    V1VolumeMount,
)

from longshore_operator.manifests.volumes import DataAccess
from longshore_operator.settings import Settings
from longshore_planner.cluster.pod_requirements import SOURCE, PodRequirements
from longshore_planner.locations import is_url
from longshore_protocol.termination import LOG

OUR_USER, SCRIPT_USER, GROUP = 65532, 65533, 65532
UMASK = "007"
# A Secret of a Datastore is environment of ours: it chooses no interpreter (PATH) and no modules (-I) to run.
PYTHON = ("/opt/longshore/bin/python", "-I", "-u", "-m")
RUN, SECRET, AUTHORITY, WORK, STAGED, PACKAGES, SCRATCH = (
    f"/longshore/{name}" for name in ("run", "secret", "authority", "work", "staged", "packages", "scratch")
)
INJECT, FETCH = "inject", "source"  # init containers of pods that have the user's container
_PACKAGES_SIZE = "64Mi"  # of host and protocol, which take 1
_SOURCE_SIZE = "5Gi"  # which a .zip of the largest size is unpacked in
LAST_WORDS = ("--last-words", LOG)  # arguments of our commands: where a kubelet reads a message
GRACE = 90  # seconds: what runs may finish, and its results be reported
_HAS_IDENTITY = {"azure.workload.identity/use": "true"}  # to AKS, which gives a pod its account's identity only so


def pod(
    metadata: V1ObjectMeta,
    where: dict[str, Any],
    *,
    containers: list[V1Container],
    volumes: list[V1Volume] | None = None,
    init_containers: list[V1Container] | None = None,
    account: str | None = None,
    grace: int = GRACE,
    restart_policy: str = "OnFailure",  # a container that ended well has no more to do
) -> V1Pod:
    """Return a pod that passes Pod Security restricted; `where` is of `placement`, `grace` in seconds.

    `account` is the ServiceAccount whose cloud identity it has. It gets no token of the API all the same.
    """
    if account is not None:
        metadata.labels = {**(metadata.labels or {}), **_HAS_IDENTITY}
    return V1Pod(
        api_version="v1",
        kind="Pod",
        metadata=metadata,
        spec=V1PodSpec(
            restart_policy=restart_policy,
            termination_grace_period_seconds=grace,
            service_account_name=account,
            automount_service_account_token=False,
            enable_service_links=False,
            security_context=V1PodSecurityContext(
                run_as_non_root=True,
                run_as_user=OUR_USER,  # a sandbox with a group needs a user, too; containers set their own
                run_as_group=GROUP,
                fs_group=GROUP,
                fs_group_change_policy="OnRootMismatch",  # not through millions of files at every start
                seccomp_profile=V1SeccompProfile(type="RuntimeDefault"),
            ),
            init_containers=init_containers,
            containers=containers,
            volumes=volumes,
            **where,
        ),
    )


def confined(user: int, *, read_only_root: bool = True) -> V1SecurityContext:
    """Return the security context of a container that Pod Security restricted lets run."""
    return V1SecurityContext(
        run_as_user=user,
        allow_privilege_escalation=False,
        capabilities=V1Capabilities(drop=["ALL"]),
        read_only_root_filesystem=read_only_root,
    )


def ours(**variables: str) -> list[V1EnvVar]:
    """Return the environment of a container of ours, which wins over that of the Secrets: they preload nothing."""
    return environment(LD_PRELOAD="", LD_LIBRARY_PATH="", LD_AUDIT="", LONGSHORE_UMASK=UMASK, **variables)


def environment(**variables: str) -> list[V1EnvVar]:
    """Return variables as a container has them."""
    return [V1EnvVar(name=name, value=value) for name, value in variables.items()]


def credentials(provision: PodRequirements) -> list[V1EnvFromSource] | None:
    """Return the credentials of the stores that a run uses: for containers of ours, never for the user's."""
    return [V1EnvFromSource(secret_ref=V1SecretEnvSource(name=name)) for name in provision.secrets] or None


def item(key: str) -> V1KeyToPath:
    """Return a key of a ConfigMap or Secret as a file of that name."""
    return V1KeyToPath(key=key, path=key)


def packages_volume() -> V1Volume:
    """Return the volume with host and protocol."""
    return own_folder("packages", _PACKAGES_SIZE)


def scratch_volumes(settings: Settings, *names: str) -> list[V1Volume]:
    """Return volumes of the pod's own, for work."""
    return [own_folder(name, settings.scratch_size_limit) for name in names]


def own_folder(name: str, limit: str) -> V1Volume:
    """Return a volume of the pod's own with a size limit."""
    # Above its limit the pod is evicted; without one, the node runs out of disk and evicts others.
    return V1Volume(name=name, empty_dir=V1EmptyDirVolumeSource(size_limit=limit))


def source_volumes(provision: PodRequirements) -> list[V1Volume]:
    """Return the volume with the source folder; none where that is in the image."""
    if provision.source_uri is not None:
        return [own_folder("source", _SOURCE_SIZE)]
    if provision.config_map is None:
        return []
    return [V1Volume(name="source", config_map=V1ConfigMapVolumeSource(name=provision.config_map))]


def our_resources(settings: Settings) -> V1ResourceRequirements:
    """Return what each container of ours asks for and may take, but for the coordinator."""
    limits = {"memory": settings.agent_memory_limit}
    return V1ResourceRequirements(requests={"cpu": "50m", "memory": "64Mi"}, limits=limits)


def our_container(
    name: str,
    settings: Settings,
    command: Sequence[str],
    *,
    mounts: Sequence[V1VolumeMount],
    env: list[V1EnvVar] | None = None,
    stores: PodRequirements | None = None,
    resources: V1ResourceRequirements | None = None,
    **more: Any,
) -> V1Container:
    """Return a container with our image, which runs a module of Python.

    It has the credentials of the `stores`, and our usual resources unless others are given.
    """
    return V1Container(
        name=name,
        image=settings.image,
        image_pull_policy=settings.pull_policy,
        command=[*PYTHON, *command],
        env=env,
        env_from=None if stores is None else credentials(stores),
        resources=resources or our_resources(settings),
        security_context=confined(OUR_USER),
        volume_mounts=list(mounts),
        **more,
    )


def inject(access: DataAccess, settings: Settings) -> V1Container:
    """Return the init container that copies host and protocol to where the user's container finds them.

    It also makes the folders that the script writes to, so that they are there when they are mounted by themselves.
    """
    made, needed = access.made_for_script(), access.needed_by_script()
    folders = [argument for each in made for argument in ("--make", each)]
    folders += [argument for each in needed for argument in ("--need", each)]
    return our_container(
        INJECT,
        settings,
        ["longshore_agent.inject", PACKAGES, *folders],
        env=ours(LONGSHORE_VOLUMES=access.boundary()) if folders else None,
        mounts=[V1VolumeMount(name="packages", mount_path=PACKAGES), *(access.mounts() if folders else [])],
    )


def fetch_source(access: DataAccess, settings: Settings) -> list[V1Container]:
    """Return the init container that fetches the source folder, where a store has it."""
    uri = access.provision.source_uri
    if uri is None:
        return []
    container = our_container(
        FETCH,
        settings,
        ["longshore_agent.fetch_source", uri, SOURCE],
        env=ours(TMPDIR=SCRATCH, LONGSHORE_VOLUMES=access.boundary()),
        stores=access.provision if is_url(uri) else None,  # a volume needs none
        mounts=[
            V1VolumeMount(name="source", mount_path=SOURCE),
            V1VolumeMount(name="scratch", mount_path=SCRATCH),
            *access.mounts(of=uri, read_only=True),
        ],
    )
    return [container]
