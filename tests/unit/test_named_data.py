"""What a script may ask for by name, frozen with its run: the Datastores that it may use, Models and Datasets."""

import json
import random

import pytest
from manifests import cluster_step, resource

from longshore_api.errors import InvalidDocuments
from longshore_api.validation import parse
from longshore_operator.manifests import objects
from longshore_planner.catalogue import Document, gather
from longshore_planner.cluster.pod_requirements import Volume
from longshore_planner.cluster.step_runs import resolve_on_cluster
from longshore_planner.cluster.task_runs import resolve_task_on_cluster
from longshore_planner.named_data import named_data, usable_datastores
from longshore_planner.resolve import resolve
from longshore_protocol.catalogue import LARGEST, Asset, pack, unpack
from longshore_protocol.job import Datastore

UID = "0f8a7c52-1111-2222-3333-444444444444"
MAIN = resource("Datastore", "main", {"uri": "pvc:claim-1/base", "default": True})
BUCKET = resource("Datastore", "bucket", {"uri": "s3://bucket/data", "secretRef": {"name": "key"}})
OTHER = resource("Datastore", "other", {"uri": "pvc:claim-2"})
ROWS = resource("Datastore", "rows", {"uri": "postgresql://server/rows", "secretRef": {"name": "password"}})
NODES = resource("Datastore", "nodes", {"uri": "file:///data"})
STORES = (MAIN, BUCKET, OTHER, ROWS, NODES)
IMAGES = resource("Dataset", "images", {"file": {"paths": ["in/*.png"]}})
ENVIRONMENT = resource("Environment", "scikit", {"image": "python:3.11-slim"})
MODEL = resource(
    "Model",
    "digits-3",
    {"name": "digits", "version": 3, "datastore": "bucket", "path": "models/3", "tags": {"a": "b"}, "description": "d"},
)


def documents(*raw, folder="/"):
    return gather([Document(f"{each['kind']}/{each['metadata']['name']}", folder, parse(each)) for each in raw])


def step(**changes):
    return resource("ParallelRunStep", "score", cluster_step(**changes))


def on_cluster(*raw, host_paths=False, **changes):
    every = documents(step(**changes), IMAGES, ENVIRONMENT, *raw)
    return resolve_on_cluster(every, namespace="n", uid=UID, generation=1, host_paths=host_paths)


def usable(*raw, in_pods=False, folder="/work", **changes):
    every = documents(step(**changes), IMAGES, *raw, folder=folder)
    (found,) = (each for each in every if each.resource.kind == "ParallelRunStep")
    return usable_datastores(every, found, in_pods=in_pods)


def assets(*raw, in_pods=True, folder="/"):
    catalogue = unpack(named_data(documents(*raw, folder=folder), in_pods=in_pods))
    return {(each.kind, each.name, each.version): each for each in catalogue.assets}


def test_by_default_a_script_may_use_the_datastores_of_its_step():
    run = on_cluster(*STORES)
    assert run.job.datastores == (Datastore("main", "/mnt/longshore/claim/claim-1/base", default=True),)
    run = on_cluster(*STORES, MODEL, models=[{"name": "digits"}])
    assert [each.name for each in run.job.datastores] == ["main", "bucket"]


@pytest.mark.parametrize(
    ("listed", "names", "volumes", "secrets"),
    [
        ([], [], {"claim-1"}, ()),
        (["bucket"], ["bucket"], {"claim-1"}, ("key",)),
        (["other", "main"], ["main", "other"], {"claim-1", "claim-2"}, ()),
        (["*"], ["main", "bucket", "other"], {"claim-1", "claim-2"}, ("key",)),
        (["*", "bucket"], ["main", "bucket", "other"], {"claim-1", "claim-2"}, ("key",)),
    ],
)
def test_the_listed_datastores_alone_may_be_used_and_pods_get_their_volumes_and_secrets(
    listed, names, volumes, secrets
):
    run = on_cluster(*STORES, datastores=listed)
    assert [each.name for each in run.job.datastores] == names
    assert set(run.provision.volumes) == {Volume(claim=each) for each in volumes}
    assert run.provision.secrets == secrets


@pytest.mark.parametrize(
    ("listed", "text"),
    [
        (["none"], "spec.datastores[0] is 'none': there is no such Datastore"),
        (["main", "rows"], "spec.datastores[1] is 'rows', a database, which supports only tabular data of format sql"),
        (["nodes"], "is a folder of the cluster's nodes, which this operator does not allow"),
    ],
)
def test_a_listed_datastore_that_pods_cannot_use_is_refused(listed, text):
    with pytest.raises(InvalidDocuments) as refused:
        on_cluster(*STORES, datastores=listed)
    assert text in str(refused.value)


def test_all_datastores_include_folders_of_nodes_where_these_are_allowed():
    run = on_cluster(*STORES, datastores=["*"], host_paths=True)
    assert Datastore("nodes", "/mnt/longshore/host/data") in run.job.datastores


def test_volumes_that_a_step_only_reads_are_written_to_only_if_they_are_listed():
    words = {"sideInputs": [{"name": "words", "file": {"datastore": "other", "paths": ["words"]}}]}
    by_default = on_cluster(*STORES, **words).job.datastores
    assert {each.name: each.read_only for each in by_default} == {"main": False, "other": True}
    listed = on_cluster(*STORES, **words, datastores=["other", "bucket"]).job.datastores
    assert {each.name: each.read_only for each in listed} == {"other": False, "bucket": False}
    local = usable(resource("Datastore", "folder", {"uri": "store"}), datastores=["folder"])
    assert not any(each.read_only for each in local)


def test_a_script_step_has_the_same_rights():
    script = resource(
        "ScriptStep",
        "train",
        {
            "scriptName": "train.py",
            "source": {"configMap": "code"},
            "environment": {"name": "scikit"},
            "datastores": ["bucket"],
        },
    )
    every = documents(script, ENVIRONMENT, MODEL, *STORES)
    run = resolve_task_on_cluster(every, namespace="n", uid=UID, generation=1, host_paths=False)
    assert run.job["datastores"] == [
        {"name": "bucket", "uri": "s3://bucket/data", "default": False, "read_only": False}
    ]
    assert [each.name for each in unpack(run.job["catalogue"]).assets] == ["digits"]


def test_a_local_run_may_use_folders_and_the_files_of_the_machine():
    folder = resource("Datastore", "folder", {"uri": "store", "default": True})
    assert usable(folder, MODEL, BUCKET, OTHER, datastores=["*"]) == (
        Datastore("folder", "/work/store", default=True),
        Datastore("bucket", "s3://bucket/data"),
        Datastore("", "/"),
    )


def test_locations_are_relative_to_their_datastores():
    found = assets(
        *STORES,
        MODEL,
        resource("Model", "full", {"path": "s3://bucket/data/x/m.pkl"}),
        resource("Model", "volume", {"path": "pvc:claim-2/m.pkl"}),
        resource("Model", "outside", {"path": "s3://another/m.pkl"}),
        resource("Model", "plain", {"path": "/m.pkl", "datastore": "main"}),
        resource("Dataset", "words", {"file": {"datastore": "other", "paths": ["a/*.txt", "s3://bucket/data/b"]}}),
        resource("Dataset", "table", {"tabular": {"paths": ["t.csv"], "separator": ";"}, "version": 4}),
    )
    assert found["Model", "digits", 3] == Asset(
        "Model", "digits", 3, "digits-3", (("bucket", "models/3"),), "d", {"a": "b"}
    )
    places = {name: each.locations for (_, name, _), each in found.items()}
    assert places["full"] == (("bucket", "x/m.pkl"),)
    assert places["volume"] == (("other", "m.pkl"),)
    assert places["outside"] == (("", "s3://another/m.pkl"),)
    assert places["plain"] == (("main", "m.pkl"),)
    assert places["words"] == (("other", "a/*.txt"), ("bucket", "b"))
    assert places["table"] == (("main", "t.csv"),)
    assert found["Dataset", "table", 4].tabular == {"format": "csv", "separator": ";"}


def test_locations_of_a_local_run_start_from_the_folder_of_their_documents():
    model = resource("Model", "m", {"path": "models/m.pkl"})
    assert assets(model, in_pods=False, folder="/work")["Model", "m", 1].locations == (("", "/work/models/m.pkl"),)
    store = resource("Datastore", "store", {"uri": "models"})
    absolute = resource("Model", "m", {"path": "/work/models/m.pkl"})
    found = assets(absolute, store, in_pods=False, folder="/work")
    assert found["Model", "m", 1].locations == (("store", "m.pkl"),)


def many(count, length=20):
    letters = random.Random(5)
    text = ["".join(letters.choices("abcdefghijklmnopqrstuvwxyz", k=length)) for _ in range(count)]
    return [Asset("Model", name, 1, name, (("bucket", f"models/{name}/model.pkl"),)) for name in text]


def test_thousands_of_models_fit_into_the_config_map_of_a_run():
    raw = [resource("Model", each.name, {"datastore": "bucket", "path": each.locations[0][1]}) for each in many(3000)]
    run = on_cluster(*STORES, *raw)
    assert len(unpack(run.job.catalogue).assets) == 3001  # with the one of the step
    data = objects.run_data(run)
    assert sum(map(len, data.values())) < 512 * 1024
    assert json.loads(data[objects.RUN_KEY])["job"]["catalogue"] == ""  # once is enough


def test_more_models_than_fit_refuse_requests_and_no_run():
    packed = pack(many(20_000), ["bucket"])
    assert len(packed) < 2000
    catalogue = unpack(packed)
    assert catalogue.assets == ()
    assert catalogue.refusal.startswith("The 20,000 Models and Datasets of the namespace are too many to be frozen")
    assert f"the limit is {LARGEST // 1024} KiB" in catalogue.refusal


def test_an_empty_catalogue_is_no_text():
    assert pack([], []) == ""
    assert unpack("").assets == ()


@pytest.mark.parametrize("text", ["?", "AAAA", "eJw="])
def test_a_damaged_catalogue_is_an_error(text):
    with pytest.raises(ValueError):  # noqa: PT011  (its kinds of damage have different texts)
        unpack(text)


def test_unrelated_documents_that_pods_cannot_use_fail_no_step():
    strange = resource("Dataset", "strange", {"file": {"paths": ["pvc:claim-9/x"]}})
    model = resource("Model", "odd", {"path": "../up", "datastore": "bucket"})
    run = on_cluster(*STORES, strange, model)
    places = {each.name: each.locations for each in unpack(run.job.catalogue).assets}
    assert places["strange"] == (("", "pvc:claim-9/x"),)
    assert places["odd"] == (("bucket", "../up"),)  # the agent refuses it when a script asks


def test_a_local_job_of_a_step_lacks_its_catalogue_until_it_starts():
    every = documents(step(source={"uri": "code"}, environment=None), IMAGES, folder="/work")
    job = resolve(every, run_uri="/runs/1", run_id="1", cores=1).job
    assert (job.catalogue, job.datastores) == ("", (Datastore("", "/"),))
