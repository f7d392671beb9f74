"""What a step refers to, resolved: clusters, environments, data, models and databases."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from manifests import resource
from resolving import MNIST, STEP, Resolve

from longshore_planner.documents import load
from longshore_planner.locations import join, locate
from longshore_planner.resolve import resolve
from longshore_protocol.job import MiniBatchSize, Model, TabularFormat


def test_the_cluster_caps_the_workers(resolved: Resolve):
    cluster = resource("ComputeCluster", "cpu", {"maxNodes": 2})
    assert resolved(MNIST, cluster, computeTarget="cpu", nodeCount=5).job.workers == 2
    assert resolved(MNIST, cluster, computeTarget="cpu", nodeCount=1).job.workers == 1


@pytest.mark.parametrize(("workers", "processes"), [(1, 4), (2, 2), (3, 1), (8, 1)])
def test_auto_shares_the_cores_out_among_the_workers(resolved: Resolve, workers: int, processes: int):
    job = resolved(MNIST, processCountPerNode="auto", nodeCount=workers, cores=4).job
    assert job.processes_per_worker == processes


@pytest.mark.parametrize(
    ("python", "interpreter"),
    [(None, None), ("python3", "python3"), ("/a/python", "/a/python"), ("v/python", "{}/v/python")],
)
def test_the_environment_gives_interpreter_and_variables_and_the_steps_win(
    resolved: Resolve, tmp_path: Path, python: str | None, interpreter: str | None
):
    spec = {"variables": {"A": "environment", "B": "environment"}, **({"python": python} if python else {})}
    environment = resource("Environment", "e", spec)
    found = resolved(MNIST, environment, environment={"name": "e"}, environmentVariables={"A": "step"})
    assert found.job.variables == {"A": "step", "B": "environment"}
    assert found.python == (interpreter and interpreter.format(tmp_path))


def paths(resolved: Resolve, path: str, *others: dict[str, Any], **data: str) -> str:
    (found,) = resolved(resource("Dataset", "mnist", {"file": {"paths": [path], **data}}), *others).job.inputs[0].paths
    return str(found)


@pytest.mark.parametrize(
    ("wanted", "path"),
    [("digits", "/c"), ("digits-2", "/b"), ("old digits", "/d"), ("by-hand", "/e"), ("other", "/g")],
)
def test_a_dataset_has_a_name_of_any_form_of_which_the_highest_version_counts(
    resolved: Resolve, wanted: str, path: str
):
    def version(resource_name: str, path: str, **fields: Any) -> dict[str, Any]:
        return resource("Dataset", resource_name, {"file": {"paths": [path]}, **fields})

    datasets = [
        version("digits", "/a"),
        version("digits-2", "/b", name="digits", version=2),
        version("digits-3", "/c", name="digits", version="3"),
        version("old-digits-1", "/d", name="old digits"),
        version("by-hand", "/e"),
        version("taken", "/f", name="other"),
        version("taken-too", "/g", name="other", version=10),
    ]
    job = resolved(*datasets, inputs=[{"name": "mnist", "dataset": wanted}]).job
    assert job.inputs[0].paths == (path,)


def test_paths_are_relative_to_their_datastore_or_the_default_one_or_the_yaml_file(resolved: Resolve, tmp_path: Path):
    named = resource("Datastore", "named", {"uri": "gs://bucket/prefix/"})
    default = resource("Datastore", "std", {"uri": "file:data", "default": "true"})
    assert paths(resolved, "a/*.png") == f"{tmp_path}/a/*.png"
    assert paths(resolved, "a/*.png", named) == f"{tmp_path}/a/*.png"
    assert paths(resolved, "a/*.png", named, default) == f"{tmp_path}/data/a/*.png"
    assert paths(resolved, "/a", named, datastore="named") == "gs://bucket/prefix/a"
    assert paths(resolved, "/a", default) == "/a"
    assert paths(resolved, "s3://b/**", named, datastore="named") == "s3://b/**"
    assert paths(resolved, "file:a", named, datastore="named") == f"{tmp_path}/a"


def test_a_dataset_of_another_file_starts_from_that_files_folder(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mnist.yaml").write_text(yaml.safe_dump(MNIST))
    (tmp_path / "step.yaml").write_text(yaml.safe_dump(resource("ParallelRunStep", "digits", STEP)))
    documents = load([tmp_path / "step.yaml", tmp_path / "data"])
    job = resolve(documents, run_uri="/runs/1", run_id="r1", cores=1).job
    assert job.inputs[0].paths == (f"{tmp_path}/data/images/**/*.png",)
    assert job.source_uri == str(tmp_path)


def test_two_default_datastores_are_refused_where_one_is_needed(problems: Callable[..., list[str]]):
    stores = [resource("Datastore", name, {"uri": f"/{name}", "default": True}) for name in ("a", "b")]
    assert problems(MNIST, *stores)[0] == (
        "spec.file.datastore is missing, and several Datastores are the default: a and b"
    )


def test_a_volume_of_a_cluster_is_out_of_reach(problems: Callable[..., list[str]]):
    store = resource("Datastore", "v", {"uri": "pvc://claim/x", "default": True})
    assert problems(MNIST, store) == [
        "spec.uri is 'pvc://claim/x': it is on a volume of a cluster, which a local run cannot access"
    ]


def test_output_in_a_datastore_is_below_the_run_id(resolved: Resolve):
    store = resource("Datastore", "results", {"uri": "gs://bucket"})
    job = resolved(MNIST, store, output={"name": "scores", "datastore": "results"}).job
    assert job.output.uri == "gs://bucket/longshore/r1/scores"


def test_summary_only_without_output_still_has_a_folder(resolved: Resolve):
    assert resolved(MNIST, outputAction="summary_only", output=None).job.output.uri == "/runs/1/output"


def test_models_are_found_by_name_and_version_or_by_the_resources_name(resolved: Resolve, tmp_path: Path):
    models = [
        resource("Model", "mnist-1", {"name": "mnist", "version": 1, "path": "m/1"}),
        resource("Model", "mnist-10", {"name": "mnist", "version": "10", "path": "m/10"}),
        resource("Model", "other", {"path": "gs://models/other"}),
    ]
    wanted = [{"name": "mnist"}, {"name": "mnist", "version": 1}, {"name": "mnist-1"}, {"name": "other"}]
    assert resolved(MNIST, *models, models=wanted).job.models == (
        Model("mnist", 10, f"{tmp_path}/m/10"),
        Model("mnist", 1, f"{tmp_path}/m/1"),
        Model("mnist", 1, f"{tmp_path}/m/1"),
        Model("other", 1, "gs://models/other"),
    )


def test_two_models_of_one_name_and_version_are_refused(problems: Callable[..., list[str]]):
    models = [resource("Model", name, {"name": "mnist", "path": name}) for name in ("a", "b")]
    assert problems(MNIST, *models, models=[{"name": "mnist"}]) == [
        "spec.models[0].name is 'mnist': two Models have this name and version 1: a and b"
    ]


@pytest.mark.parametrize(
    ("place", "located"),
    [
        ("code", "/yaml/code"),
        ("../code/", "/code"),
        (".", "/yaml"),
        ("/code", "/code"),
        ("file:code", "/yaml/code"),
        ("file:../code", "/code"),
        ("file:/code", "/code"),
        ("file:///code/a%20b", "/code/a b"),
        ("file://localhost/code", "/code"),
        ("gs://bucket/code", "gs://bucket/code"),
    ],
)
def test_places_become_absolute_paths_or_urls(place: str, located: str):
    assert locate(place, folder="/yaml") == located


@pytest.mark.parametrize(
    ("base", "path", "joined"),
    [
        ("/data", "a/../b", "/data/b"),
        ("/data/", "/a", "/data/a"),
        ("gs://bucket", "a/**", "gs://bucket/a/**"),
        ("memory://", "a", "memory://a"),
    ],
)
def test_paths_are_joined_below_their_base(base: str, path: str, joined: str):
    assert join(base, path) == joined


SALES = resource("Datastore", "sales", {"uri": "postgresql://db.example:5432/sales"})
QUERY = {"format": "sql", "datastore": "sales", "query": "SELECT * FROM rows", "splitBy": "id"}
IN_BYTES = "is in bytes, but mini-batches of a database are in rows; set miniBatch.rows"


def test_a_query_is_asked_of_its_datastores_database_ten_thousand_rows_at_a_time(resolved: Resolve):
    job = resolved(resource("Dataset", "mnist", {"tabular": QUERY}), SALES).job
    (given,) = job.inputs
    assert (given.mode, given.paths) == ("direct", ("postgresql://db.example:5432/sales",))
    assert given.tabular == TabularFormat("sql", query="SELECT * FROM rows", split_by="id", database="sales")
    assert job.mini_batch == MiniBatchSize("rows", 10_000)
    job = resolved(resource("Dataset", "mnist", {"tabular": QUERY}), SALES, miniBatch={"rows": 5}).job
    assert job.mini_batch == MiniBatchSize("rows", 5)


def test_the_default_datastore_may_be_the_database(resolved: Resolve):
    store = resource("Datastore", "only", {**SALES["spec"], "default": True})
    elsewhere = resource("Datastore", "data", {"uri": "file:///data"})
    data = {name: value for name, value in QUERY.items() if name != "datastore"}
    output = {"name": "o", "datastore": "data"}
    job = resolved(resource("Dataset", "mnist", {"tabular": data}), store, elsewhere, output=output).job
    assert job.inputs[0].tabular is not None
    assert job.inputs[0].tabular.database == "only"


@pytest.mark.parametrize(
    ("data", "spec", "sentence"),
    [
        (QUERY, {"miniBatchSize": "1MB"}, f"spec.miniBatchSize {IN_BYTES}"),
        (QUERY, {"miniBatchSize": 100}, f"spec.miniBatchSize {IN_BYTES}"),
        (QUERY, {"miniBatch": {"bytes": 100}}, f"spec.miniBatch {IN_BYTES}"),
        (
            {**QUERY, "splitBy": None},
            {"miniBatch": {"rows": 5}},
            (
                "spec.miniBatch.rows has no effect without splitBy, the column that divides a query's rows; "
                "set splitBy in a Dataset"
            ),
        ),
        (
            QUERY,
            {"partitionKeys": ["id"]},
            "spec.partitionKeys is not supported for rows of a database; set splitBy in their Dataset instead",
        ),
        (
            {**QUERY, "datastore": None},
            {},
            (
                "spec.tabular.datastore is missing, and no Datastore is the default; "
                "format sql needs one whose uri is a database"
            ),
        ),
        (
            {**QUERY, "datastore": "bucket"},
            {},
            "spec.uri is 'gs://bucket': must be postgresql://... or mssql://... for data of format sql",
        ),
        (
            {"datastore": "sales", "paths": ["rows.csv"]},
            {},
            "spec.tabular.datastore is 'sales', a database, which supports only tabular data of format sql",
        ),
        (
            QUERY,
            {"output": {"name": "o", "datastore": "sales"}},
            "spec.output.datastore is 'sales', a database, which supports only tabular data of format sql",
        ),
    ],
)
def test_what_a_database_cannot_do_is_one_sentence(
    problems: Callable[..., list[str]], data: dict[str, Any], spec: dict[str, Any], sentence: str
):
    tabular = {name: value for name, value in data.items() if value is not None}
    bucket = resource("Datastore", "bucket", {"uri": "gs://bucket"})
    assert problems(resource("Dataset", "mnist", {"tabular": tabular}), SALES, bucket, **spec) == [sentence]
