"""The pods of a run: one coordinator, and workers with an agent (Longshore's image) and a host (the user's image).

worker pod   init: inject      copies host and protocol into `packages`, because the user's image lacks them, and
                               creates the folders that the script writes to
             init: source      downloads the source folder from a store; credentials of stores, if it is a URL
             init: environment unpacks packages that a builder has installed and stored, if the Environment has any
             agent             token, credentials of stores, the data volumes; no user code
             main              the user's code; no token, none of Longshore's credentials; of the data volumes only what
                               it reads and writes, and no run's state
             both              `work` with the agent's socket and the processes' folders; `staged` with inputs that the
                               agent downloads, read-only for main
"""

from __future__ import annotations

from kubernetes.client import (
    V1ConfigMapVolumeSource,
    V1Container,
    V1ContainerPort,
    V1EnvVar,
    V1EnvVarSource,
    V1HTTPGetAction,
    V1Pod,
    V1Probe,
    V1ResourceRequirements,
    V1SecretKeySelector,
    V1SecretVolumeSource,
    V1Volume,
    V1VolumeMount,
)

from longshore_operator.manifests import names, objects, placement
from longshore_operator.manifests.environments import UNPACK, environment_mounts, environment_volumes, unpack
from longshore_operator.manifests.parts import (
    AUTHORITY,
    FETCH,
    INJECT,
    LAST_WORDS,
    PACKAGES,
    RUN,
    SCRATCH,
    SCRIPT_USER,
    SECRET,
    STAGED,
    UMASK,
    WORK,
    confined,
    environment,
    fetch_source,
    inject,
    item,
    our_container,
    ours,
    packages_volume,
    pod,
    scratch_volumes,
    source_volumes,
)
from longshore_operator.manifests.volumes import DataAccess
from longshore_operator.settings import Settings
from longshore_planner.cluster.nodes import amount
from longshore_planner.cluster.pod_requirements import SOURCE
from longshore_planner.cluster.step_runs import ClusterRun
from longshore_planner.locations import is_url, join

_SOCKET = f"{WORK}/agent.sock"
_LONGEST_START = 360  # probes, of 10 seconds each: an hour


def coordinator_pod(run: ClusterRun, settings: Settings) -> V1Pod:
    """Return the coordinator's pod, which restarts in place until the run has finished."""
    access = _access(run)
    command = ["longshore_coordinator", "--job", f"{RUN}/{objects.JOB_KEY}", "--secret", SECRET]
    health = V1HTTPGetAction(path="/healthz", port=names.PORT, scheme="HTTPS")
    container = our_container(
        "coordinator",
        settings,
        [*command, "--port", str(names.PORT), *LAST_WORDS],
        ports=[V1ContainerPort(name="https", container_port=names.PORT)],
        # It answers once it has read its ledger, which may take very long; after a kill it would start again.
        startup_probe=V1Probe(http_get=health, period_seconds=10, timeout_seconds=10, failure_threshold=_LONGEST_START),
        liveness_probe=V1Probe(http_get=health, period_seconds=20, timeout_seconds=10, failure_threshold=9),
        env=ours(TMPDIR=WORK, LONGSHORE_VOLUMES=access.boundary()),
        stores=run.provision,
        resources=V1ResourceRequirements(
            requests={"cpu": "50m", "memory": settings.coordinator_memory},
            limits={"memory": settings.coordinator_memory_limit},
        ),
        mounts=[
            V1VolumeMount(name="run", mount_path=RUN, read_only=True),
            V1VolumeMount(name="secret", mount_path=SECRET, read_only=True),
            V1VolumeMount(name="work", mount_path=WORK),
            *access.mounts(),
        ],
    )
    job = V1ConfigMapVolumeSource(name=names.run_objects(run.step), items=[item(objects.JOB_KEY)])
    keys = (objects.TOKEN, objects.CERTIFICATE, objects.KEY)
    secret = V1SecretVolumeSource(
        secret_name=names.run_objects(run.step), default_mode=0o440, items=[item(key) for key in keys]
    )
    volumes = [
        V1Volume(name="run", config_map=job),
        V1Volume(name="secret", secret=secret),
        *scratch_volumes(settings, "work"),
        *access.volumes(),
    ]
    metadata = objects.metadata(run, names.coordinator(run.step), role=names.COORDINATOR)
    account = run.provision.service_account
    return pod(metadata, placement.anywhere(settings), containers=[container], volumes=volumes, account=account)


def worker_pod(run: ClusterRun, settings: Settings, index: int) -> V1Pod:
    """Return the pod of the run's index-th worker."""
    source, access = source_volumes(run.provision), _access(run)
    authority = V1SecretVolumeSource(
        secret_name=names.run_objects(run.step), default_mode=0o440, items=[item(objects.AUTHORITY)]
    )
    volumes = [
        packages_volume(),
        *scratch_volumes(settings, "work", "staged", "scratch"),
        V1Volume(name="authority", secret=authority),
        *source,
        *environment_volumes(run.provision, settings),
        *access.volumes(),
        *placement.volumes(run.provision.node),
    ]
    name, labels = names.worker(run.step, index), placement.labels_of(run.provision.node)
    metadata = objects.metadata(run, name, role=names.WORKER, more=labels)
    fetched = run.provision.source_uri
    unpacked = run.provision.environment.uri if run.provision.environment is not None else None
    alone = [name for name, uri in ((FETCH, fetched), (UNPACK, unpacked)) if uri is not None and not is_url(uri)]
    metadata.annotations = placement.annotations_of(run.provision.node, "main", INJECT, *alone)
    return pod(
        metadata,
        placement.on_node(run.provision.node, settings),
        containers=[_agent(run, access, settings, index), _main(run, access, has_source=bool(source))],
        init_containers=[inject(access, settings), *fetch_source(access, settings), *unpack(access, settings)],
        volumes=volumes,
        account=run.provision.service_account,
    )


def _access(run: ClusterRun) -> DataAccess:
    job = run.job
    paths = [path for each in job.inputs for path in each.paths]
    paths += [uri for each in job.side_inputs for uri in each.uris] + [each.uri for each in job.models]
    paths += [each.rpartition("=")[2] for each in job.arguments] + [*job.variables.values()]  # a location may be in one
    return DataAccess(
        run.provision,
        writes=(job.run_uri, job.output.uri, *(each.uri for each in job.datastores if not each.read_only)),
        script_reads=tuple(paths),
        script_writes=(join(job.run_uri, "logs"), job.output.uri),
    )


def _agent(run: ClusterRun, access: DataAccess, settings: Settings, index: int) -> V1Container:
    token = V1EnvVarSource(secret_key_ref=V1SecretKeySelector(name=names.run_objects(run.step), key=objects.TOKEN))
    return our_container(
        "agent",
        settings,
        ["longshore_agent"],
        env=[
            V1EnvVar(name="LONGSHORE_TOKEN", value_from=token),
            *ours(
                LONGSHORE_COORDINATOR=f"https://{names.host(run.step, run.namespace)}:{names.PORT}",
                LONGSHORE_WORKER=names.worker(run.step, index),
                LONGSHORE_SOCKET=_SOCKET,
                LONGSHORE_WORK_DIR=WORK,
                LONGSHORE_STAGE_DIR=STAGED,
                LONGSHORE_CA=f"{AUTHORITY}/{objects.AUTHORITY}",
                LONGSHORE_VOLUMES=access.boundary(WORK),
                LONGSHORE_SPACE=str(int(amount(settings.scratch_size_limit))),
                TMPDIR=SCRATCH,
            ),
        ],
        stores=run.provision,
        mounts=[
            V1VolumeMount(name="work", mount_path=WORK),
            V1VolumeMount(name="staged", mount_path=STAGED),
            V1VolumeMount(name="scratch", mount_path=SCRATCH),  # what the agent keeps to itself
            V1VolumeMount(name="authority", mount_path=AUTHORITY, read_only=True),
            *access.mounts(),
        ],
    )


def _main(run: ClusterRun, access: DataAccess, *, has_source: bool) -> V1Container:
    """Return the user's container. Its root stays writable: what its image does there is the user's affair."""
    mounts = [
        V1VolumeMount(name="packages", mount_path=PACKAGES, read_only=True),
        V1VolumeMount(name="work", mount_path=WORK),
        # A script that could move what the agent writes to would have it write elsewhere, such as to the run's state.
        V1VolumeMount(name="staged", mount_path=STAGED, read_only=True),
    ]
    if has_source:
        mounts.append(V1VolumeMount(name="source", mount_path=SOURCE, read_only=True))
    return V1Container(
        name="main",
        image=run.provision.image,
        command=[run.provision.script_interpreter, "-m", "longshore_host", _SOCKET],
        # This user is no one in the image: scripts that look for a home find one that can be written.
        env=environment(PYTHONPATH=PACKAGES, LONGSHORE_UMASK=UMASK, HOME="/tmp"),  # noqa: S108
        resources=placement.resources_of(run.provision.node),
        security_context=confined(SCRIPT_USER, read_only_root=False),
        volume_mounts=[
            *mounts,
            *environment_mounts(run.provision),
            *access.script_mounts(),
            *placement.mounts(run.provision.node),
        ],
    )
