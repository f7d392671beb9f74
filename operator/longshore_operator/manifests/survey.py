"""The objects of a survey: what is read before a PipelineRun begins, and the pod that reads it.

survey   credentials and volumes of the stores that steps use; no user code. Looks once, and is not started again in
         place: a lost pod is replaced; a failed pod has reported the reason
"""

from __future__ import annotations

from kubernetes.client import (
    V1ConfigMap,
    V1ConfigMapVolumeSource,
    V1Pod,
    V1Volume,
    V1VolumeMount,
)

from longshore_operator.manifests import names, placement
from longshore_operator.manifests.metadata import immutable_map
from longshore_operator.manifests.parts import (
    LAST_WORDS,
    RUN,
    SCRATCH,
    item,
    our_container,
    ours,
    pod,
    scratch_volumes,
)
from longshore_operator.manifests.pipeline_runs import metadata
from longshore_operator.manifests.subject import Subject
from longshore_operator.manifests.volumes import DataAccess
from longshore_operator.settings import Settings
from longshore_planner.pipelines.survey import Survey

REQUEST_KEY = "request.json"  # of the ConfigMap

_GRACE = 5  # seconds: it has nothing to finish


def survey_map(run: Subject, survey: Survey) -> V1ConfigMap:
    """Return the request."""
    return immutable_map(metadata(run, names.survey(run.name, survey.digest)), {REQUEST_KEY: survey.request.to_json()})


def survey_pod(run: Subject, survey: Survey, settings: Settings) -> V1Pod:
    """Return the pod that carries the request out; what it found is its container's termination message."""
    name, given = names.survey(run.name, survey.digest), survey.provision
    access = DataAccess(given, writes=tuple(each.target for each in survey.request.sources))
    container = our_container(
        "survey",
        settings,
        ["longshore_agent.survey", f"{RUN}/{REQUEST_KEY}", *LAST_WORDS],
        env=ours(TMPDIR=SCRATCH, LONGSHORE_VOLUMES=access.boundary()),
        stores=given,
        mounts=[
            V1VolumeMount(name="run", mount_path=RUN, read_only=True),
            V1VolumeMount(name="scratch", mount_path=SCRATCH),
            *access.mounts(),
        ],
    )
    volumes = [
        V1Volume(name="run", config_map=V1ConfigMapVolumeSource(name=name, items=[item(REQUEST_KEY)])),
        *scratch_volumes(settings, "scratch"),
        *access.volumes(),
    ]
    return pod(
        metadata(run, name),
        placement.anywhere(settings),
        containers=[container],
        volumes=volumes,
        account=given.service_account,
        grace=_GRACE,
        restart_policy="Never",
    )
