"""A run and a task, frozen, whose manifests tests look at."""

from dataclasses import replace

from longshore_operator.settings import Settings
from longshore_planner.cluster.nodes import NodeShape
from longshore_planner.cluster.pod_requirements import SOURCE, PodRequirements, Volume
from longshore_planner.cluster.step_runs import ClusterRun
from longshore_planner.cluster.task_runs import TaskRun
from longshore_protocol.job import APPEND_ROW, Input, Job, MiniBatchSize, Output
from longshore_protocol.script_job import ScriptJob

SETTINGS = Settings(image="longshore:test")


def a_run(**changes):
    base = "/mnt/longshore/claim/images"
    job = Job(
        name="score",
        run_id="score-0f8a7c52",
        run_uri=f"{base}/longshore/score-0f8a7c52",
        inputs=(Input("in", (f"{base}/in",)),),
        mini_batch=MiniBatchSize("files", 5),
        output=Output(APPEND_ROW, f"{base}/longshore/score-0f8a7c52/scores"),
        source_uri="/longshore/source",
        entry_script="score.py",
        workers=2,
    )
    provision = {
        "image": "example.com/scikit:1",
        "interpreter": "python3",
        "volumes": (Volume(claim="images"), Volume(host_path="/srv/data")),
        "folders": ("/mnt/longshore/claim/images", "/mnt/longshore/host/srv/data"),
        "secrets": ("gcs-key",),
        "config_map": "score-code",
        "node": NodeShape(
            compute="gpus",
            requests={"cpu": "2"},
            limits={"memory": "4Gi", "nvidia.com/gpu": "1"},
            gpus=1,
            low_priority=True,
            node_selector={"pool": "gpu"},
            tolerations=({"key": "gpu", "operator": "Exists"},),
            queue="research",
            template={
                "metadata": {"labels": {"team": "vision"}, "annotations": {"example.com/why": "test"}},
                "spec": {
                    "schedulerName": "volcano",
                    "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}],
                    "containers": [{"name": "main", "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}]}],
                },
            },
        ),
    }
    uid = "0f8a7c52-1111-2222-3333-444444444444"
    return ClusterRun("research", "score", uid, 3, job, PodRequirements(**{**provision, **changes}))


SCRIPT_JOB = ScriptJob(
    "train", "train-0f8a7c52", "/mnt/longshore/claim/images/longshore/train-0f8a7c52", SOURCE, "train.py"
)


def a_task(kind="ScriptStep", **changes):
    uid = "0f8a7c52-1111-2222-3333-444444444444"
    job = SCRIPT_JOB.to_dict()
    provision = replace(a_run().provision, **changes)
    run = TaskRun(kind, "research", "train", uid, 3, SCRIPT_JOB.run_id, SCRIPT_JOB.run_uri, {}, job, provision)
    if kind == "ScriptStep":
        return run
    copy = {"source": "/mnt/longshore/claim/images/in", "destination": "gs://bucket/out", "timeout": 60.0}
    given = PodRequirements(volumes=provision.volumes, folders=provision.folders, secrets=provision.secrets)
    return replace(run, run_uri="", job=copy, provision=given)


def dumped(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def containers(pod):
    return pod["spec"].get("initContainers", []) + pod["spec"]["containers"]
