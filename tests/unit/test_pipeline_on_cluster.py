"""Pipelines settled for a cluster: places as pods know them, and what the pods of each step are given."""

from __future__ import annotations

from typing import Any

import pytest
from manifests import cluster_step
from pipelines import document, script, template

from longshore_api.errors import InvalidDocuments
from longshore_planner.catalogue import Documents
from longshore_planner.cluster.pod_requirements import PodRequirements
from longshore_planner.cluster.step_runs import ClusterRun
from longshore_planner.cluster.task_runs import TaskRun
from longshore_planner.pipelines.freeze import Cluster, freeze
from longshore_planner.pipelines.frozen import FrozenPipeline, Options
from longshore_planner.pipelines.on_cluster import ClusterPipeline, run_of_step
from longshore_planner.pipelines.parameters import Given

AROUND = (
    document("Datastore", "data", uri="pvc:research/base", default=True),
    document("Datastore", "bucket", uri="s3://bucket/scores", secretRef={"name": "key"}),
    document("Datastore", "other", uri="pvc:other", secretRef={"name": "other-key"}),
    document("Environment", "scikit", image="python:3.11-slim"),
    document("ComputeCluster", "gpus", resources={"requests": {"cpu": "4"}}, gpu={"count": 2}),
    document("Dataset", "images", file={"paths": ["in/*.png"]}),
)
BASE = "/mnt/longshore/claim/research/base"


def on_cluster(name: str, *reads: str, **more: Any) -> dict[str, Any]:
    step = script(name, *reads, environment={"name": "scikit"}, **more)
    step["script"]["source"] = {"configMap": "code"}
    return step


def parallel(**more: Any) -> dict[str, Any]:
    return {"name": "score", "parallelRun": cluster_step(**more)}


def settled(*steps: dict[str, Any], given: dict[str, Any] | None = None, **spec: Any) -> FrozenPipeline:
    return freeze(
        template(*steps, **spec),
        [Given(name, value, f"-p {name}") for name, value in (given or {}).items()],
        Documents(AROUND),
        run_id="nightly-0f8a7c52",
        run_uri="pvc:research/base/longshore/nightly-0f8a7c52",
        cores=1,
        options=Options(),
        cluster=Cluster(host_paths=False),
    )


def provision(pipeline: FrozenPipeline, step: str) -> PodRequirements:
    return PodRequirements.from_dict(pipeline.step(step).provision or {})


def given(pipeline: FrozenPipeline, step: str) -> tuple[list[str], tuple[str, ...]]:
    """The volumes and the Secrets of a step's pods."""
    found = provision(pipeline, step)
    return [each.uri for each in found.volumes], found.secrets


def run(pipeline: FrozenPipeline, step: str, **outputs: str) -> ClusterRun | TaskRun:
    places = {tuple(name.split("__")): uri for name, uri in outputs.items()}
    return run_of_step(pipeline.step(step), run_id=pipeline.run_id, namespace="n", name=f"x-{step}", outputs=places)


def refused(*steps: dict[str, Any], **more: Any) -> str:
    with pytest.raises(InvalidDocuments) as caught:
        settled(*steps, **more)
    return str(caught.value)


def test_locations_are_those_of_pods_and_messages_have_those_of_users():
    pipeline = settled(on_cluster("first", inputs=[{"name": "images", "dataset": "images"}]))
    step = pipeline.step("first")
    assert step.job["run_uri"] == f"{BASE}/longshore/nightly-0f8a7c52/steps/first"
    assert step.job["source_uri"] == "/longshore/source"
    assert step.job["inputs"][0]["uris"] == [f"{BASE}/in/*.png"]
    assert step.outputs == {"out": "pvc:research/base/longshore/nightly-0f8a7c52-first/out"}
    assert provision(pipeline, "first").config_map == "code"


def test_a_step_gets_the_credentials_of_the_stores_that_hold_the_outputs_it_reads_and_no_others():
    stored = on_cluster("first", outputs=[{"name": "out", "datastore": "bucket"}])
    pipeline = settled(stored, on_cluster("second", "first"), on_cluster("third"))
    assert given(pipeline, "first") == ([], ("key",))
    assert given(pipeline, "second") == (["pvc:research"], ("key",))
    assert given(pipeline, "third") == (["pvc:research"], ())


def test_an_output_of_a_transfer_is_read_where_it_was_copied_to():
    transfer = {
        "name": "copy",
        "transfer": {"source": {"path": "in"}, "destination": {"path": "s3://bucket/scores/in"}},
    }
    reader = on_cluster("second", inputs=[{"name": "of", "from": "$(steps.copy.outputs.destination)"}])
    pipeline = settled(transfer, reader)
    assert given(pipeline, "copy") == (["pvc:research"], ("key",))
    assert given(pipeline, "second") == (["pvc:research"], ("key",))
    assert pipeline.step("copy").job == {"source": f"{BASE}/in", "destination": "s3://bucket/scores/in"}


def test_the_run_of_a_step_has_the_outputs_that_it_reads_as_its_pods_know_them():
    pipeline = settled(on_cluster("first"), on_cluster("second", "first", arguments=["$(steps.first.outputs.out)"]))
    made = run(pipeline, "second", first__out="pvc:research/base/longshore/other-1-first/out")
    assert isinstance(made, TaskRun)
    place = f"{BASE}/longshore/other-1-first/out"
    assert made.job["inputs"][0]["uris"] == [place]
    assert list(made.job["arguments"]) == [place]
    assert (made.kind, made.step, made.run_id) == ("ScriptStep", "x-second", "nightly-0f8a7c52-second")
    spec = pipeline.step("second").spec_with({("first", "out"): "pvc:research/base/x"})
    assert spec["inputs"] == [{"name": "from_first", "file": {"paths": ["pvc:research/base/x"]}}]


def test_a_parallel_run_step_is_one_on_the_nodes_of_its_cluster():
    made = run(settled(parallel(computeTarget="gpus", processCountPerNode="auto")), "score")
    assert isinstance(made, ClusterRun)
    assert (made.job.processes_per_worker, made.job.gpus_per_worker) == (2, 2)
    assert made.job.name == "x-score"
    assert made.provision.node.compute == "gpus"


PLACE = [{"name": "place", "type": "datapath"}]
OTHER = {"datastore": "other", "path": "raw"}


@pytest.mark.parametrize(
    ("value", "place", "volumes", "secrets"),
    [
        ("raw/today", f"{BASE}/raw/today", ["pvc:research"], ()),
        (OTHER, "/mnt/longshore/claim/other/raw", ["pvc:other", "pvc:research"], ()),  # a volume needs no credentials
        ("s3://bucket/scores/raw", "s3://bucket/scores/raw", ["pvc:research"], ("key",)),
        ("s3://elsewhere/raw", "s3://elsewhere/raw", ["pvc:research"], ()),
    ],
    ids=["in the default store", "in another store", "a URL in a store", "a URL elsewhere"],
)
@pytest.mark.parametrize("use", ["input", "argument"])
def test_a_parameter_that_is_a_location_includes_its_volume_and_credentials(value, place, volumes, secrets, use):
    inputs = [{"name": "raw", "file": {"paths": ["$(parameters.place)"]}}] if use == "input" else []
    arguments = ["--raw=$(parameters.place)"] if use == "argument" else []
    step = on_cluster("first", inputs=inputs, arguments=arguments)
    pipeline = settled(step, parameters=PLACE, given={"place": value})
    job = pipeline.step("first").job
    assert (job["inputs"][0]["uris"] if inputs else job["arguments"]) == [place if inputs else f"--raw={place}"]
    assert given(pipeline, "first") == (volumes, secrets)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (on_cluster("first", inputs=[{"name": "x", "file": {"paths": ["../etc"]}}]), "must stay below its Datastore"),
        (on_cluster("first", inputs=[{"name": "x", "file": {"paths": ["file:///etc"]}}]), "relative to a Datastore"),
        (on_cluster("first", outputs=[{"name": "out", "datastore": "none"}]), "outputs[0].datastore is 'none'"),
        ({"name": "copy", "transfer": {"source": {"path": "../x"}, "destination": {"path": "y"}}}, "source.path"),
        (parallel(environment=None), "environment"),
        (parallel(source={"uri": "file:."}), "parallelRun.source.uri is 'file:.'"),
    ],
)
def test_what_no_pod_could_reach_is_refused_with_the_fields_path(step, says):
    message = refused(step)
    assert "spec.steps[0]." in message
    assert says in message


def test_a_frozen_run_is_read_back_as_it_was_written():
    pipeline = settled(on_cluster("first"), parallel(computeTarget="gpus"))
    whole = ClusterPipeline(pipeline, {"steps": []}, {"first": {"name": "first", "state": "Succeeded"}})
    assert ClusterPipeline.from_json(whole.to_json()) == ClusterPipeline.from_json(
        ClusterPipeline.from_json(whole.to_json()).to_json()
    )
    assert ClusterPipeline.from_json(whole.to_json()).pipeline.step("score").job == pipeline.step("score").job
