"""The objects of a task: its frozen run, and its pod.

ScriptStep     init: inject    copies host and protocol into `packages`, because the user's image lacks them
               init: prepare   credentials of stores: stages the folder that the script works in
               init: environment  unpacks installed packages that a builder stored, if the Environment has any
               main            the user's code; none of Longshore's credentials. Holds a lock in the folder
               collect         credentials of stores: gives the script the data that it asks for by name, waits for the
                               lock, then uploads what the script wrote
               all but inject  `work` with that folder
               main, collect   `staged` with that data, which only `collect` writes
               all but main    the data volumes; of these, `main` has what the script reads and writes
TransferStep   transfer        credentials of stores: copies

No container restarts in place, because the lock would not show it. A lost pod is replaced by another one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from kubernetes.client import (
    V1ConfigMap,
    V1ConfigMapVolumeSource,
    V1Container,
    V1ObjectMeta,
    V1Pod,
    V1Volume,
    V1VolumeMount,
)

from longshore_operator.manifests import names, objects, placement
from longshore_operator.manifests.environments import environment_mounts, environment_volumes, unpack
from longshore_operator.manifests.metadata import immutable_map, metadata
from longshore_operator.manifests.parts import (
    INJECT,
    LAST_WORDS,
    PACKAGES,
    RUN,
    SCRATCH,
    SCRIPT_USER,
    STAGED,
    UMASK,
    WORK,
    confined,
    environment,
    inject,
    item,
    our_container,
    ours,
    packages_volume,
    pod,
    scratch_volumes,
)
from longshore_operator.manifests.subject import Subject
from longshore_operator.manifests.volumes import DataAccess
from longshore_operator.settings import Settings
from longshore_planner.cluster.nodes import amount
from longshore_planner.cluster.pod_requirements import SOURCE
from longshore_planner.cluster.task_runs import TaskRun
from longshore_planner.locations import join
from longshore_protocol import script_folder
from longshore_protocol.script_job import UPLOAD, ScriptJob

MAIN, PREPARE, COLLECT, TRANSFER = "main", "prepare", "collect", "transfer"  # containers

_FOLDER = f"{WORK}/step"
_JOB = f"{RUN}/{objects.JOB_KEY}"
_AT_WORK = {names.ROLE_LABEL: names.WORKER}


def task_map(run: TaskRun) -> V1ConfigMap:
    """Return the run as it was frozen."""
    return immutable_map(_metadata(run, names.task_objects(run.step)), objects.task_data(run))


def task_pod(run: TaskRun, settings: Settings, number: int) -> V1Pod:
    """Return the pod that does the task, after `number` that were lost."""
    return _script_pod(run, settings, number) if run.kind == names.SCRIPT_KIND else _transfer_pod(run, settings, number)


def _script_pod(run: TaskRun, settings: Settings, number: int) -> V1Pod:
    given, node, access = run.provision, run.provision.node, _access_of_script(run)
    about = _metadata(run, names.task(run.step, number), more={**placement.labels_of(node), **_AT_WORK})
    about.annotations = placement.annotations_of(node, MAIN, INJECT)
    source = [V1Volume(name="source", config_map=V1ConfigMapVolumeSource(name=given.config_map))]
    return pod(
        about,
        placement.on_node(node, settings),
        containers=[_main(access), _collect(access, settings)],
        init_containers=[inject(access, settings), _prepare(access, settings), *unpack(access, settings)],
        volumes=[
            packages_volume(),
            *scratch_volumes(settings, "work", "staged", "scratch"),
            _job(run),
            *(source if given.config_map is not None else []),
            *environment_volumes(given, settings),
            *access.volumes(),
            *placement.volumes(node),
        ],
        account=given.service_account,
        restart_policy="Never",
    )


def _access_of_script(run: TaskRun) -> DataAccess:
    job = ScriptJob.from_json(json.dumps(run.job))
    paths = [uri for each in job.inputs for uri in each.uris] + [each.uri for each in job.models]
    paths += [each.rpartition("=")[2] for each in job.arguments] + [*job.variables.values()]  # a location may be in one
    return DataAccess(
        run.provision,
        writes=(
            job.run_uri,
            *(each.uri for each in job.outputs),
            *(each.uri for each in job.datastores if not each.read_only),
        ),
        script_reads=tuple(paths),
        script_writes=(
            join(job.run_uri, script_folder.LOGS),
            *(each.uri for each in job.outputs if each.mode != UPLOAD),
        ),
    )


def _transfer_pod(run: TaskRun, settings: Settings, number: int) -> V1Pod:
    access = DataAccess(run.provision, writes=(run.job["destination"],))
    return pod(
        _metadata(run, names.task(run.step, number), more=_AT_WORK),
        placement.anywhere(settings),
        containers=[_ours(TRANSFER, [_JOB], access, settings, work=False)],
        volumes=[
            *scratch_volumes(settings, "scratch"),
            _job(run),
            *access.volumes(),
        ],
        account=run.provision.service_account,
        restart_policy="Never",
    )


def _prepare(access: DataAccess, settings: Settings) -> V1Container:
    """Return the init container that downloads what the script needs; the host takes a source in the image."""
    given, arguments = access.provision, [_JOB, _FOLDER]
    if given.source_uri is not None:
        arguments += ["--source", given.source_uri]
    if given.source_image is not None:
        arguments += ["--image-source", given.source_image]
    container = _ours(PREPARE, arguments, access, settings)
    if given.config_map is not None:
        mounts = container.volume_mounts or []
        container.volume_mounts = [V1VolumeMount(name="source", mount_path=SOURCE, read_only=True), *mounts]
    return container


def _ours(name: str, arguments: list[str], access: DataAccess, settings: Settings, *, work: bool = True) -> V1Container:
    """Return a container of ours, called after what it does; it has the credentials of stores."""
    return our_container(
        name,
        settings,
        ["longshore_agent.task", name, *arguments, *LAST_WORDS],
        env=ours(TMPDIR=SCRATCH, LONGSHORE_VOLUMES=access.boundary(*([WORK] if work else []))),
        stores=access.provision,
        mounts=[
            V1VolumeMount(name="run", mount_path=RUN, read_only=True),
            *([V1VolumeMount(name="work", mount_path=WORK)] if work else []),
            V1VolumeMount(name="scratch", mount_path=SCRATCH),
            *access.mounts(),
        ],
    )


def _collect(access: DataAccess, settings: Settings) -> V1Container:
    """Return the container that answers the script's requests, and uploads what it wrote."""
    container = _ours(COLLECT, [_JOB, _FOLDER], access, settings)
    space = str(int(amount(settings.scratch_size_limit)))
    container.env = [*(container.env or []), *environment(LONGSHORE_STAGE_DIR=STAGED, LONGSHORE_SPACE=space)]
    container.volume_mounts = [*(container.volume_mounts or []), V1VolumeMount(name="staged", mount_path=STAGED)]
    return container


def _main(access: DataAccess) -> V1Container:
    """Return the user's container. Its root stays writable: what its image does there is the user's affair."""
    given = access.provision
    return V1Container(
        name=MAIN,
        image=given.image,
        command=[given.script_interpreter, "-m", "longshore_host.script", _FOLDER],
        # This user is no one in the image: scripts that look for a home find one that can be written.
        env=environment(PYTHONPATH=PACKAGES, LONGSHORE_UMASK=UMASK, LONGSHORE_ECHO="1", HOME="/tmp"),  # noqa: S108
        resources=placement.resources_of(given.node),
        security_context=confined(SCRIPT_USER, read_only_root=False),
        termination_message_policy="FallbackToLogsOnError",  # why a host could not start is on its stderr
        volume_mounts=[
            V1VolumeMount(name="packages", mount_path=PACKAGES, read_only=True),
            V1VolumeMount(name="work", mount_path=WORK),
            V1VolumeMount(name="staged", mount_path=STAGED, read_only=True),
            *environment_mounts(given),
            *access.script_mounts(),
            *placement.mounts(given.node),
        ],
    )


def _job(run: TaskRun) -> V1Volume:
    job = V1ConfigMapVolumeSource(name=names.task_objects(run.step), items=[item(objects.JOB_KEY)])
    return V1Volume(name="run", config_map=job)


def _metadata(run: TaskRun, name: str, *, more: Mapping[str, str] | None = None) -> V1ObjectMeta:
    """Return the metadata of an object that goes with its task; `more` are labels besides."""
    owner = Subject(run.kind, run.namespace, run.step, run.uid)
    return metadata(owner, name, {**(more or {}), **names.task_labels(run.step)})
