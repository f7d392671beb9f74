"""The pods of a run: one coordinator, and workers of an agent (our image) and a host (the user's image).

    worker pod   init: inject      copies host and protocol into `packages`, for an image that has nothing of ours
                 init: source      fetches the source folder, where a store has it; credentials of stores
                 agent             token, credentials of stores; no user code
                 main              the user's code; no token, no credential of ours
                 both              `work` with the agent's socket and the processes' folders, and the data volumes

All pass Pod Security restricted and get no token of the API. Two users of one group: what one writes with umask 007 is
open to the other, on volumes too.
"""

from __future__ import annotations

from typing import Any

from kubernetes.client import (
    V1Capabilities,
    V1ConfigMapVolumeSource,
    V1Container,
    V1ContainerPort,
    V1EmptyDirVolumeSource,
    V1EnvFromSource,
    V1EnvVar,
    V1EnvVarSource,
    V1HostPathVolumeSource,
    V1HTTPGetAction,
    V1KeyToPath,
    V1ObjectMeta,
    V1PersistentVolumeClaimVolumeSource,
    V1Pod,
    V1PodSecurityContext,
    V1PodSpec,
    V1Probe,
    V1ResourceRequirements,
    V1SeccompProfile,
    V1SecretEnvSource,
    V1SecretKeySelector,
    V1SecretVolumeSource,
    V1SecurityContext,
    V1Volume,
    V1VolumeMount,
)

from longshore_operator.build import names, objects, placement
from longshore_operator.settings import Settings
from longshore_planner.cluster import SOURCE, ClusterRun

OUR_USER, SCRIPT_USER, GROUP = 65532, 65533, 65532
_UMASK = "007"
# A Secret of a Datastore is environment of ours: it chooses no interpreter (PATH) and no modules (-I) to run.
_PYTHON = ("/opt/longshore/bin/python", "-I", "-u", "-m")
_RUN, _SECRET, _AUTHORITY, _WORK, _PACKAGES, _SCRATCH = (
    f"/longshore/{name}" for name in ("run", "secret", "authority", "work", "packages", "scratch")
)
_SOCKET = f"{_WORK}/agent.sock"
_GRACE = 90  # seconds: what runs may finish, and its results be reported
_LONGEST_START = 360  # probes, of 10 seconds each: an hour
_OURS = V1ResourceRequirements(requests={"cpu": "50m", "memory": "64Mi"})


def coordinator_pod(run: ClusterRun, settings: Settings) -> V1Pod:
    """Return the coordinator's pod: started again in place until its work is over."""
    command = [*_PYTHON, "longshore_coordinator", "--job", f"{_RUN}/{objects.JOB_KEY}", "--secret", _SECRET]
    health = V1HTTPGetAction(path="/healthz", port=names.PORT, scheme="HTTPS")
    container = V1Container(
        name="coordinator",
        image=settings.image,
        image_pull_policy=settings.pull_policy,
        command=[*command, "--port", str(names.PORT), "--last-words", "/dev/termination-log"],
        ports=[V1ContainerPort(name="https", container_port=names.PORT)],
        # It answers once it has read its ledger, which may take very long; one that is killed meanwhile begins anew.
        startup_probe=V1Probe(http_get=health, period_seconds=10, timeout_seconds=10, failure_threshold=_LONGEST_START),
        liveness_probe=V1Probe(http_get=health, period_seconds=20, timeout_seconds=10, failure_threshold=9),
        env=_ours(TMPDIR=_WORK),
        env_from=_credentials(run),
        resources=_OURS,
        security_context=confined(OUR_USER),
        volume_mounts=[
            V1VolumeMount(name="run", mount_path=_RUN, read_only=True),
            V1VolumeMount(name="secret", mount_path=_SECRET, read_only=True),
            V1VolumeMount(name="work", mount_path=_WORK),
            *_data_mounts(run),
        ],
    )
    job = V1ConfigMapVolumeSource(name=names.run_objects(run.step), items=[_item(objects.JOB_KEY)])
    keys = (objects.TOKEN, objects.CERTIFICATE, objects.KEY)
    secret = V1SecretVolumeSource(
        secret_name=names.run_objects(run.step), default_mode=0o440, items=[_item(key) for key in keys]
    )
    volumes = [
        V1Volume(name="run", config_map=job),
        V1Volume(name="secret", secret=secret),
        V1Volume(name="work", empty_dir=V1EmptyDirVolumeSource()),
        *_data_volumes(run),
    ]
    metadata = objects.metadata(run, names.coordinator(run.step), role=names.COORDINATOR)
    return pod(metadata, placement.anywhere(settings), containers=[container], volumes=volumes)


def worker_pod(run: ClusterRun, settings: Settings, index: int) -> V1Pod:
    """Return the pod of the run's index-th worker."""
    source = _source_volumes(run)
    authority = V1SecretVolumeSource(
        secret_name=names.run_objects(run.step), default_mode=0o440, items=[_item(objects.AUTHORITY)]
    )
    volumes = [
        V1Volume(name="packages", empty_dir=V1EmptyDirVolumeSource()),
        V1Volume(name="work", empty_dir=V1EmptyDirVolumeSource()),
        V1Volume(name="scratch", empty_dir=V1EmptyDirVolumeSource()),
        V1Volume(name="authority", secret=authority),
        *source,
        *_data_volumes(run),
        *placement.volumes(run.node),
    ]
    name, labels = names.worker(run.step, index), placement.labels_of(run.node)
    metadata = objects.metadata(run, name, role=names.WORKER, more=labels)
    metadata.annotations = placement.annotations_of(run.node)
    return pod(
        metadata,
        placement.on_node(run.node, settings),
        containers=[_agent(run, settings, index), _main(run, has_source=bool(source))],
        init_containers=[_inject(settings), *_fetch_source(run, settings)],
        volumes=volumes,
    )


def _inject(settings: Settings) -> V1Container:
    return V1Container(
        name="inject",
        image=settings.image,
        image_pull_policy=settings.pull_policy,
        command=[*_PYTHON, "longshore_agent.inject", _PACKAGES],
        resources=_OURS,
        security_context=confined(OUR_USER),
        volume_mounts=[V1VolumeMount(name="packages", mount_path=_PACKAGES)],
    )


def _fetch_source(run: ClusterRun, settings: Settings) -> list[V1Container]:
    if run.source_uri is None:
        return []
    container = V1Container(
        name="source",
        image=settings.image,
        image_pull_policy=settings.pull_policy,
        command=[*_PYTHON, "longshore_agent.fetch_source", run.source_uri, SOURCE],
        env=_ours(TMPDIR=_SCRATCH),
        env_from=_credentials(run),
        resources=_OURS,
        security_context=confined(OUR_USER),
        volume_mounts=[
            V1VolumeMount(name="source", mount_path=SOURCE),
            V1VolumeMount(name="scratch", mount_path=_SCRATCH),
            *_data_mounts(run),
        ],
    )
    return [container]


def _agent(run: ClusterRun, settings: Settings, index: int) -> V1Container:
    token = V1EnvVarSource(secret_key_ref=V1SecretKeySelector(name=names.run_objects(run.step), key=objects.TOKEN))
    return V1Container(
        name="agent",
        image=settings.image,
        image_pull_policy=settings.pull_policy,
        command=[*_PYTHON, "longshore_agent"],
        env=[
            V1EnvVar(name="LONGSHORE_TOKEN", value_from=token),
            *_ours(
                LONGSHORE_COORDINATOR=f"https://{names.host(run.step, run.namespace)}:{names.PORT}",
                LONGSHORE_WORKER=names.worker(run.step, index),
                LONGSHORE_SOCKET=_SOCKET,
                LONGSHORE_WORK_DIR=_WORK,
                LONGSHORE_CA=f"{_AUTHORITY}/{objects.AUTHORITY}",
                TMPDIR=_SCRATCH,
            ),
        ],
        env_from=_credentials(run),
        resources=_OURS,
        security_context=confined(OUR_USER),
        volume_mounts=[
            V1VolumeMount(name="work", mount_path=_WORK),
            V1VolumeMount(name="scratch", mount_path=_SCRATCH),  # what the agent keeps to itself
            V1VolumeMount(name="authority", mount_path=_AUTHORITY, read_only=True),
            *_data_mounts(run),
        ],
    )


def _main(run: ClusterRun, *, has_source: bool) -> V1Container:
    """Return the user's container. Its root stays writable: what its image does there is the user's affair."""
    mounts = [
        V1VolumeMount(name="packages", mount_path=_PACKAGES, read_only=True),
        V1VolumeMount(name="work", mount_path=_WORK),
    ]
    if has_source:
        mounts.append(V1VolumeMount(name="source", mount_path=SOURCE, read_only=True))
    return V1Container(
        name="main",
        image=run.image,
        command=[run.interpreter, "-m", "longshore_host", _SOCKET],
        # This user is no one in the image: scripts that look for a home find one that can be written.
        env=_environment(PYTHONPATH=_PACKAGES, LONGSHORE_UMASK=_UMASK, HOME="/tmp"),  # noqa: S108
        resources=placement.resources_of(run.node),
        security_context=confined(SCRIPT_USER, read_only_root=False),
        volume_mounts=[*mounts, *_data_mounts(run), *placement.mounts(run.node)],
    )


def pod(
    metadata: V1ObjectMeta,
    where: dict[str, Any],
    *,
    containers: list[V1Container],
    volumes: list[V1Volume] | None = None,
    init_containers: list[V1Container] | None = None,
    grace: int = _GRACE,
) -> V1Pod:
    """Return a pod that passes Pod Security restricted; `where` is of `placement`, `grace` in seconds."""
    return V1Pod(
        api_version="v1",
        kind="Pod",
        metadata=metadata,
        spec=V1PodSpec(
            restart_policy="OnFailure",  # a container that ended well has no more to do
            termination_grace_period_seconds=grace,
            automount_service_account_token=False,
            enable_service_links=False,
            security_context=V1PodSecurityContext(
                run_as_non_root=True,
                run_as_user=OUR_USER,  # a sandbox with a group must have a user too; containers say their own
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


def _ours(**variables: str) -> list[V1EnvVar]:
    """Return the environment of a container of ours, which wins over that of the Secrets: they preload nothing."""
    return _environment(LD_PRELOAD="", LD_LIBRARY_PATH="", LD_AUDIT="", LONGSHORE_UMASK=_UMASK, **variables)


def _environment(**variables: str) -> list[V1EnvVar]:
    return [V1EnvVar(name=name, value=value) for name, value in variables.items()]


def _credentials(run: ClusterRun) -> list[V1EnvFromSource] | None:
    return [V1EnvFromSource(secret_ref=V1SecretEnvSource(name=name)) for name in run.secrets] or None


def _item(key: str) -> V1KeyToPath:
    return V1KeyToPath(key=key, path=key)


def _source_volumes(run: ClusterRun) -> list[V1Volume]:
    if run.source_uri is not None:
        return [V1Volume(name="source", empty_dir=V1EmptyDirVolumeSource())]
    if run.config_map is None:
        return []
    return [V1Volume(name="source", config_map=V1ConfigMapVolumeSource(name=run.config_map))]


def _data_volumes(run: ClusterRun) -> list[V1Volume]:
    return [
        V1Volume(
            name=f"data-{index}",
            persistent_volume_claim=V1PersistentVolumeClaimVolumeSource(claim_name=each.claim) if each.claim else None,
            host_path=V1HostPathVolumeSource(path=each.host_path, type="Directory") if each.host_path else None,
        )
        for index, each in enumerate(run.volumes)
    ]


def _data_mounts(run: ClusterRun) -> list[V1VolumeMount]:
    return [V1VolumeMount(name=f"data-{index}", mount_path=each.mount_path) for index, each in enumerate(run.volumes)]
