"""Steps of a cluster, resolved to runs: what the pods get, and what is refused."""

import pytest
from manifests import cluster_step, resource

from longshore_api.errors import InvalidDocuments
from longshore_api.validation import parse
from longshore_planner.catalogue import Document, gather
from longshore_planner.cluster import vm_sizes
from longshore_planner.cluster.nodes import amount
from longshore_planner.cluster.pod_requirements import Volume
from longshore_planner.cluster.step_runs import ClusterRun, resolve_on_cluster
from longshore_planner.pod_locations import pod_location, user_location

UID = "0f8a7c52-1111-2222-3333-444444444444"


def kind(kind_, name, **spec):
    return resource(kind_, name, spec)


def step(**changes):
    return kind("ParallelRunStep", "score", **cluster_step(**changes))


DATASET = kind("Dataset", "images", file={"paths": ["in/*.png"]})
DATASTORE = kind("Datastore", "data", uri="pvc:claim-1/base", default=True)
ENVIRONMENT = kind("Environment", "scikit", image="python:3.11-slim")


def resolved(*documents, host_paths=False):
    given = [Document(f"{raw['kind']}/{raw['metadata']['name']}", "/", parse(raw)) for raw in documents]
    return resolve_on_cluster(gather(given), namespace="n", uid=UID, generation=3, host_paths=host_paths)


def problems(*documents, **how):
    with pytest.raises(InvalidDocuments) as caught:
        resolved(*documents, **how)
    return "\n".join(each.sentence for each in caught.value.problems)


def test_places_are_those_inside_the_pods():
    run = resolved(step(), DATASET, DATASTORE, ENVIRONMENT)
    base = "/mnt/longshore/claim/claim-1/base"
    assert run.job.inputs[0].paths == (f"{base}/in/*.png",)
    assert run.job.run_uri == f"{base}/longshore/score-0f8a7c52"
    assert run.job.output.uri == f"{base}/longshore/score-0f8a7c52/scores"
    assert run.job.source_uri == "/longshore/source"
    assert run.provision.volumes == (Volume(claim="claim-1"),)
    assert (run.provision.config_map, run.provision.image, run.provision.interpreter) == (
        "code",
        "python:3.11-slim",
        "python",
    )


@pytest.mark.parametrize(
    ("changes", "secrets"),
    [
        ({}, ()),
        ({"output": {"name": "scores", "datastore": "bucket"}}, ("key",)),
        ({"inputs": [{"name": "images", "file": {"datastore": "bucket", "paths": ["in"]}}]}, ("key",)),
        ({"inputs": [{"name": "images", "file": {"paths": ["gs://bucket/in"]}}]}, ("key",)),
        ({"inputs": [{"name": "images", "file": {"paths": ["gs://bucket-2/in"]}}]}, ()),
        ({"source": {"uri": "gs://bucket/code"}}, ("key",)),
        ({"models": [{"name": "digits"}]}, ("key",)),
        ({"sideInputs": [{"name": "words", "dataset": "words"}]}, ("key",)),
        ({"sideInputs": [{"name": "words", "file": {"datastore": "bucket", "paths": ["words"]}}]}, ("key",)),
    ],
    ids=[
        "none",
        "output",
        "input",
        "full URL",
        "URL elsewhere",
        "source",
        "model",
        "side input",
        "side input in place",
    ],
)
def test_a_run_gets_the_credentials_and_volumes_of_the_datastores_it_uses_and_no_others(changes, secrets):
    bucket = kind("Datastore", "bucket", uri="gs://bucket", secretRef={"name": "key"})
    others = kind("Datastore", "elsewhere", uri="pvc:claim-2"), kind("Datastore", "folder", uri="file:///data")
    model = kind("Model", "digits", datastore="bucket", path="model.pkl")
    words = kind("Dataset", "words", file={"datastore": "bucket", "paths": ["words.txt"]})
    run = resolved(step(**changes), DATASET, DATASTORE, bucket, *others, model, words, ENVIRONMENT)
    assert (run.provision.secrets, run.provision.volumes) == (secrets, (Volume(claim="claim-1"),))


def test_the_pods_have_the_account_that_the_datastores_in_use_name():
    bucket = kind("Datastore", "bucket", uri="gs://bucket", serviceAccountName="scores")
    same = kind("Datastore", "same", uri="s3://same", default=True, serviceAccountName="scores")
    other = kind("Datastore", "other", uri="s3://other", serviceAccountName="others")
    images = kind("Dataset", "images", file={"datastore": "bucket", "paths": ["in/*.png"]})
    run = resolved(step(), images, bucket, same, other, ENVIRONMENT)
    assert run.provision.service_account == "scores"
    assert ClusterRun.from_json(run.to_json()) == run
    assert resolved(step(), DATASET, DATASTORE, bucket, ENVIRONMENT).provision.service_account is None


def test_datastores_of_one_run_that_name_different_accounts_are_reported():
    one = kind("Datastore", "one", uri="gs://bucket", default=True, serviceAccountName="ones")
    two = kind("Datastore", "two", uri="s3://bucket", serviceAccountName="twos")
    images = kind("Dataset", "images", file={"datastore": "two", "paths": ["in/*.png"]})
    assert (
        "Datastore/two: spec.serviceAccountName is 'twos': must be 'ones', as in Datastore/one, or left out: "
        "the pods of a run have one account"
    ) in problems(step(), images, one, two, ENVIRONMENT)


def test_amounts_are_read_in_every_unit_of_kubernetes():
    amounts = {"2": 2, "500m": 0.5, "1.5k": 1500, "1Ki": 1024, "3000000u": 3, "2M": 2e6, "1Gi": 1024**3, "1E": 1e18}
    assert {each: amount(each) for each in amounts} == {each: pytest.approx(amounts[each]) for each in amounts}


def test_users_are_shown_places_as_they_know_them():
    run = resolved(step(), DATASET, DATASTORE, ENVIRONMENT)
    assert user_location(run.job.output.uri) == "pvc:claim-1/base/longshore/score-0f8a7c52/scores"
    assert user_location("gs://bucket/x") == "gs://bucket/x"
    assert user_location("/mnt/longshore/host/srv/data/x") == "file:///srv/data/x"


@pytest.mark.parametrize("uri", ["pvc:claim", "pvc:claim/a/b", "file:///srv/data/x", "gs://bucket/x", "https://host/x"])
def test_what_users_are_shown_is_known_in_pods(uri):
    assert user_location(pod_location(uri)) == uri


def test_a_run_survives_being_written_down():
    run = resolved(step(), DATASET, DATASTORE, ENVIRONMENT)
    assert ClusterRun.from_json(run.to_json()) == run


def test_a_source_in_the_image_needs_no_volume():
    run = resolved(step(source={"image": "/opt/code"}), DATASET, DATASTORE, ENVIRONMENT)
    assert (run.provision.config_map, run.job.source_uri) == (None, "/opt/code")


def test_a_source_in_a_store_is_fetched_into_the_pods():
    run = resolved(step(source={"uri": "s3://bucket/code.zip"}), DATASET, DATASTORE, ENVIRONMENT)
    assert (run.provision.source_uri, run.job.source_uri, run.provision.config_map) == (
        "s3://bucket/code.zip",
        "/longshore/source",
        None,
    )
    assert ClusterRun.from_json(run.to_json()) == run


CODE = kind("Datastore", "code", uri="pvc:code/team")


@pytest.mark.parametrize(
    "place", ["pvc:code/team/digits", "pvc:code/team", "pvc:/code/team/a/b.zip", "pvc:code//team/x"]
)
def test_a_source_on_a_claim_is_fetched_from_where_the_pods_have_it(place):
    run = resolved(step(source={"uri": place}), DATASET, DATASTORE, CODE, ENVIRONMENT)
    assert run.provision.source_uri.startswith("/mnt/longshore/claim/code/team")
    assert run.provision.volumes == (Volume(claim="claim-1"), Volume(claim="code"))
    assert run.provision.folders == ("/mnt/longshore/claim/claim-1/base", "/mnt/longshore/claim/code/team")


@pytest.mark.parametrize(
    "place", ["pvc:any/x", "pvc:any", "pvc:code/other", "pvc:code", "pvc:code/team-2/x", "pvc:claim-1/bas"]
)
def test_no_step_mounts_a_claim_that_no_datastore_is_on(place):
    told = problems(step(source={"uri": place}), DATASET, DATASTORE, CODE, ENVIRONMENT)
    claim = place.removeprefix("pvc:").partition("/")[0]
    assert told == (
        f"ParallelRunStep/score: spec.source.uri is '{place}': is in no Datastore; create one with spec.uri "
        f"pvc:{claim}, or move the source into one"
    )


def test_a_volume_needs_no_credentials():
    store = kind("Datastore", "data", uri="pvc:claim-1/base", default=True, secretRef={"name": "key"})
    assert resolved(step(), DATASET, store, ENVIRONMENT).provision.secrets == ()


@pytest.mark.parametrize("name", ["state", "logs"])
def test_an_output_is_not_one_of_the_runs_own_folders(name):
    told = problems(step(output={"name": name}), DATASET, DATASTORE, ENVIRONMENT)
    assert f"spec.output.name is '{name}': must be another name" in told


def test_a_run_may_be_in_an_object_store():
    bucket = kind("Datastore", "bucket", uri="gs://bucket/x", default=True, secretRef={"name": "key"})
    run = resolved(step(), DATASET, bucket, ENVIRONMENT)
    assert run.job.run_uri == "gs://bucket/x/longshore/score-0f8a7c52"
    assert run.job.output.uri == "gs://bucket/x/longshore/score-0f8a7c52/scores"
    assert (run.provision.volumes, run.provision.secrets) == ((), ("key",))


def test_folders_of_the_nodes_are_for_who_allows_them():
    store = kind("Datastore", "data", uri="file:///srv/data", default=True)
    run = resolved(step(), DATASET, store, ENVIRONMENT, host_paths=True)
    assert run.job.inputs[0].paths == ("/mnt/longshore/host/srv/data/in/*.png",)
    assert run.provision.volumes == (Volume(host_path="/srv/data"),)
    assert user_location(run.job.run_uri) == "file:///srv/data/longshore/score-0f8a7c52"
    assert "does not allow" in problems(step(), DATASET, store, ENVIRONMENT)


def test_secrets_of_stores_and_resources_of_nodes_are_kept():
    bucket = kind("Datastore", "bucket", uri="gs://bucket", secretRef={"name": "key"})
    cluster = kind("ComputeCluster", "cpu", maxNodes=2, resources={"requests": {"cpu": 2}, "limits": {"cpu": "3500m"}})
    given = step(computeTarget="cpu", nodeCount=5, processCountPerNode="auto")
    images = kind("Dataset", "images", file={"datastore": "bucket", "paths": ["in/*.png"]})
    run = resolved(given, images, DATASTORE, bucket, ENVIRONMENT, cluster)
    assert run.provision.secrets == ("key",)
    assert (run.provision.node.requests, run.provision.node.limits) == ({"cpu": "2"}, {"cpu": "3500m"})
    assert (run.job.workers, run.job.processes_per_worker) == (2, 3)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([step(), DATASTORE, ENVIRONMENT], "spec.inputs[0].dataset is 'images': there is no such Dataset"),
        ([step(), DATASET, DATASTORE], "spec.environment.name is 'scikit': there is no such Environment"),
        ([step(environment=None), DATASET, DATASTORE], "spec.environment is missing"),
        ([step(), DATASET, DATASTORE, kind("Environment", "scikit")], "Environment/scikit: spec.image is missing"),
        ([step(), DATASET, ENVIRONMENT], "ParallelRunStep/score: spec.output.datastore is missing, and no Datastore"),
        ([step(), DATASET, ENVIRONMENT], "Dataset/images: spec.file.paths[0] is 'in/*.png': is relative"),
        ([step(source=None), DATASET, DATASTORE, ENVIRONMENT], "spec.source is missing"),
        ([step(source={"uri": "file:."}), DATASET, DATASTORE, ENVIRONMENT], "must be a URL of a store or pvc:"),
        ([step(computeTarget="cpu"), DATASET, DATASTORE, ENVIRONMENT], "there is no such ComputeCluster"),
        (
            [step(), kind("Dataset", "images", file={"paths": ["file:///etc/*"]}), DATASTORE, ENVIRONMENT],
            "spec.file.paths[0] is 'file:///etc/*': must be relative to a Datastore",
        ),
        (
            [step(), kind("Dataset", "images", file={"paths": ["/etc/*"]}), DATASTORE, ENVIRONMENT],
            "without a leading /",
        ),
        (
            [step(), DATASET, kind("Datastore", "data", uri="https://host/x", default=True), ENVIRONMENT],
            "Datastore/data: spec.uri is 'https://host/x': is read-only",
        ),
        (
            [step(sideInputs=[{"name": "w", "file": {"paths": ["file:///w"]}}]), DATASET, DATASTORE, ENVIRONMENT],
            "spec.sideInputs[0].file.paths[0] is 'file:///w': must be relative to a Datastore",
        ),
        (
            [step(sideInputs=[{"name": "w", "from": "$(steps.a.outputs.b)"}]), DATASET, DATASTORE, ENVIRONMENT],
            "spec.sideInputs[0].from is '$(steps.a.outputs.b)': is supported in pipelines only",
        ),
        ([step(source={"uri": "code"}), DATASET, DATASTORE, ENVIRONMENT], "spec.source.uri is 'code': must be a URL"),
        (
            [step(source={"uri": "pvc:claim-1/base/../x"}), DATASET, DATASTORE, ENVIRONMENT],
            "'pvc:claim-1/base/../x': is in no Datastore",
        ),
        (
            [step(source={"uri": "pvc:claim-1/base/x/../y"}), DATASET, DATASTORE, ENVIRONMENT],
            "must stay below",
        ),
        ([step(), DATASET, kind("Datastore", "data", uri="pvc:", default=True), ENVIRONMENT], "must name a claim"),
        ([step(), DATASET, kind("Datastore", "data", uri="data", default=True), ENVIRONMENT], "must be a URL"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_fields_that_are_not_supported_on_a_cluster_are_refused(given, sentence):
    assert sentence in problems(*given)


def test_no_path_leaves_its_volume():
    climbing = kind("Dataset", "images", file={"paths": ["../../../../etc/passwd"]})
    assert "must stay below its Datastore" in problems(step(), climbing, DATASTORE, ENVIRONMENT)
    climbing = kind("Datastore", "data", uri="pvc:claim/../../etc", default=True)
    assert "must stay below its Datastore" in problems(step(), DATASET, climbing, ENVIRONMENT)


@pytest.mark.parametrize(
    "place",
    ["local:///proc/self/environ", "dir://environ::file:///proc/self", "zip://x::s3://bucket/x.zip", "reference://x"],
)
def test_no_place_is_on_the_machine_of_the_pod_that_opens_it(place):
    everything = (DATASET, DATASTORE, ENVIRONMENT)
    given = step(inputs=[{"name": "images", "file": {"paths": [place]}}])
    assert "must be relative to a Datastore" in problems(given, *everything)
    assert "must be a URL of a store" in problems(step(source={"uri": place}), *everything)
    model = kind("Model", "m", version=1, path=place)
    assert "must be relative to a Datastore" in problems(step(models=[{"name": "m"}]), model, *everything)
    store = kind("Datastore", "data", uri=place, default=True)
    assert "must be a URL of a store" in problems(step(), DATASET, store, ENVIRONMENT)


def run_on(**spec):
    """The run of a step with a process per core or GPU, on a ComputeCluster of that spec."""
    cluster = kind("ComputeCluster", "cpu", **spec)
    return resolved(step(computeTarget="cpu", processCountPerNode="auto"), DATASET, DATASTORE, ENVIRONMENT, cluster)


@pytest.mark.parametrize(
    ("spec", "requests", "limits", "processes", "gpus"),
    [
        ({}, {}, {}, 1, 0),
        ({"resources": {"requests": {"cpu": "3500m"}}}, {"cpu": "3500m"}, {}, 3, 0),
        ({"gpu": {"count": 2}}, {}, {"nvidia.com/gpu": "2"}, 2, 2),
        ({"gpu": {"count": 1, "resourceName": "amd.com/gpu"}}, {}, {"amd.com/gpu": "1"}, 1, 1),
        ({"resources": {"limits": {"nvidia.com/gpu": 4}}}, {}, {"nvidia.com/gpu": "4"}, 4, 4),
        ({"vmSize": "Standard_NC24"}, vm_sizes.requests(vm_sizes.find("NC24")), {"nvidia.com/gpu": "4"}, 4, 4),
        (
            {"vmSize": "Standard_NC24", "gpu": {"count": 2}},
            vm_sizes.requests(vm_sizes.find("NC24")),
            {"nvidia.com/gpu": "2"},
            2,
            2,
        ),
    ],
)
def test_a_node_has_what_its_compute_cluster_states(spec, requests, limits, processes, gpus):
    run = run_on(**spec)
    assert (run.provision.node.requests, run.provision.node.limits) == (requests, limits)
    assert (run.job.processes_per_worker, run.job.gpus_per_worker) == (processes, gpus)


def test_a_worker_asks_for_less_than_a_machine_has_and_works_with_what_is_left():
    run = run_on(vmSize="STANDARD_D2_V2")
    assert 1000 < int(run.provision.node.requests["cpu"].removesuffix("m")) < 2000
    assert run.job.processes_per_worker == 2


def test_where_a_node_is_and_what_it_gets_survives_being_written_down():
    run = run_on(
        vmPriority="lowpriority",
        nodeSelector={"pool": "a"},
        tolerations=[{"key": "spot", "operator": "Exists"}],
        queueName="research",
        podTemplate={"metadata": {"labels": {"team": "vision"}}},
    )
    assert run.provision.node.compute == "cpu"
    assert run.provision.node.low_priority
    assert run.provision.node.template == {"metadata": {"labels": {"team": "vision"}}}
    assert ClusterRun.from_json(run.to_json()) == run


def test_a_machine_size_that_is_not_known_is_reported_with_some_that_are():
    cluster = kind("ComputeCluster", "cpu", vmSize="STANDARD_D2_V22")
    found = problems(step(computeTarget="cpu"), DATASET, DATASTORE, ENVIRONMENT, cluster)
    assert "ComputeCluster/cpu" in found
    assert "spec.vmSize is 'STANDARD_D2_V22': is an unknown machine size" in found
    assert "D2_v2" in found


def test_a_run_that_goes_on_with_another_one_has_its_id_and_folder():
    given = [Document(raw["kind"], "/", parse(raw)) for raw in (step(), DATASET, DATASTORE, ENVIRONMENT)]
    run = resolve_on_cluster(gather(given), namespace="n", uid=UID, generation=1, host_paths=False, resumed="old-1")
    assert run.job.run_id == "old-1"
    assert run.job.run_uri.endswith("/longshore/old-1")
    assert run.job.name == "score"


def test_a_database_has_no_volume_and_gives_its_secret():
    sales = kind("Datastore", "sales", uri="mssql://server.database.windows.net/sales", secretRef={"name": "sales-db"})
    rows = kind("Dataset", "images", tabular={"format": "sql", "datastore": "sales", "query": "SELECT 1 AS x"})
    run = resolved(step(), rows, sales, DATASTORE, ENVIRONMENT)
    assert run.job.inputs[0].paths == ("mssql://server.database.windows.net/sales",)
    assert (run.provision.volumes, run.provision.secrets) == ((Volume(claim="claim-1"),), ("sales-db",))
    assert ClusterRun.from_json(run.to_json()) == run


def test_no_run_keeps_its_folder_in_a_database():
    sales = kind("Datastore", "sales", uri="postgresql://db/sales", default=True)
    assert "Datastore/sales: spec.uri is 'postgresql://db/sales': is read-only" in problems(
        step(), DATASET, sales, ENVIRONMENT
    )
