"""The Python API: objects make the documents that YAML has, and documents become objects again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from manifests import ROOT, of_data, of_documentation, of_examples

import longshore
from longshore import (
    ComputeCluster,
    DataPath,
    Datastore,
    Environment,
    FileDataset,
    Input,
    InvalidArgument,
    Model,
    Output,
    ParallelRunStep,
    Parameter,
    Pipeline,
    PipelineRun,
    ScriptStep,
    TabularDataset,
    TransferStep,
)
from longshore.documents import from_document
from longshore.steps import Step
from longshore_api import API_VERSION, KINDS, parse

DIGITS = ROOT / "deploy/examples/digits"
IRIS = ROOT / "deploy/examples/iris-pipeline"
FLAT = {"FileDataset": FileDataset.model, "TabularDataset": TabularDataset.model}
OF_A_PIPELINES_STEP = {"run_after", "allow_reuse", "version", "retries", "timeout_seconds"}
BUILDERS = (
    *(ParallelRunStep, ScriptStep, TransferStep, Pipeline, PipelineRun, FileDataset, TabularDataset),
    *(Datastore, ComputeCluster, Environment, Model),
)


def documents(file: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(file.read_text()) if each["kind"] in KINDS]


def by_name(documents: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(each["kind"], each["metadata"]["name"]): each for each in documents}


def read(text: str) -> dict[tuple[str, str], dict[str, Any]]:
    return by_name(list(yaml.safe_load_all(text)))


INVALID = ("ParallelRunStep-tables", "Pipeline-nightly")  # of a file that only a schema accepts


def examples() -> Iterator[Any]:
    for find in (of_examples, of_documentation, of_data):
        for name, raw in find():
            if f"{raw['kind']}-{raw['metadata']['name']}" not in INVALID:
                yield pytest.param(raw, id=name)


@pytest.mark.parametrize("raw", list(examples()))
def test_an_example_becomes_an_object_with_the_same_document(raw: dict[str, Any]):
    assert from_document(raw, folder="/").to_dict() == raw


# Twins of the main examples, as a user writes them


def digits() -> tuple[Model, Environment, ComputeCluster]:
    return (
        Model("mnist", "data/model/mnist/1", model_name="mnist", version=1),
        Environment("batch-environment", image="localhost/longshore-digits:dev", variables={"OMP_NUM_THREADS": "1"}),
        ComputeCluster(
            "cpu-cluster",
            resources={"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
            vm_priority="lowpriority",
            min_nodes=0,
            max_nodes=4,
            idle_seconds_before_scale_down=120,
        ),
    )


def digits_step() -> ParallelRunStep:
    model, environment, cluster = digits()
    return ParallelRunStep(
        "digit-identification",
        "digit_identification.py",
        inputs=[Input("mnist", FileDataset("data/images/*.png", name="mnist"), mode="mount")],
        output="inferences",
        source="file:.",
        environment=environment,
        models=[model],
        compute_target=cluster,
        node_count=2,
        process_count_per_node=2,
        mini_batch_size="5",
        error_threshold=10,
        append_row_file_name="mnist_outputs.txt",
    )


def test_a_step_written_in_python_equals_the_digits_example():
    made = digits_step()
    expected = by_name([*documents(DIGITS / "step.yaml"), *documents(DIGITS / "digits.yaml")])
    expected["ParallelRunStep", "digit-identification"]["spec"]["models"] = [{"name": "mnist", "version": 1}]
    assert read(made.to_yaml()) == expected


def test_a_pipeline_written_in_python_equals_the_digits_example():
    _, environment, cluster = digits()
    store = Datastore("mnist-datastore", "file:../data")
    images = FileDataset("images/", name="all-images", datastore=store)
    step = ParallelRunStep(
        "predict-digits-mnist",
        "digit_identification.py",
        inputs=[Input("mnist", Parameter("mnist_param", images), mode="mount")],
        output="inferences",
        source="file:..",
        environment=environment,
        models=["mnist"],
        compute_target=cluster,
        node_count=2,
        process_count_per_node=Parameter("process_count_param", 2),
        mini_batch_size=Parameter("batch_size_param", "5"),
        error_threshold=10,
        output_action="append_row",
        append_row_file_name="mnist_outputs.txt",
        allow_reuse=True,
    )
    made = read(Pipeline("digit-identification", [step]).to_yaml())
    expected = by_name(
        [
            each
            for name in ("pipeline/pipeline.yaml", "pipeline/datasets.yaml", "digits.yaml")
            for each in documents(DIGITS / name)
        ]
    )
    left_out = {("Dataset", "single-image"), ("Dataset", "mnist"), ("Model", "mnist")}  # named by the run, or by text
    pipeline = made["Pipeline", "digit-identification"]["spec"]
    pipeline["parameters"].sort(
        key=lambda each: (
            ["mnist_param", "batch_size_param"].index(each["name"]) if each["name"] != "process_count_param" else 2
        )
    )
    assert made == {key: each for key, each in expected.items() if key not in left_out}


def iris() -> Pipeline:
    prepare = ScriptStep(
        "prepare",
        "prepare.py",
        source="file:prepare",
        inputs=[Input("input1", Parameter("irises", FileDataset("data/iris.csv", name="irises")), mode="download")],
        outputs=["output_data1"],
        arguments=[
            "--input",
            "$(inputs.input1)",
            "--output",
            Output("output_data1"),
            "--test_share",
            Parameter("test_share", 0.3),
        ],
    )
    train = ScriptStep(
        "train",
        "train.py",
        source="file:train",
        inputs={"prepped": prepare.outputs["output_data1"]},
        outputs=["training_results"],
        arguments=[
            "--prepped_data",
            "$(inputs.prepped)",
            "--training_results",
            "$(outputs.training_results)",
            "--regularisation",
            Parameter("regularisation", 1.0),
        ],
    )
    compare = ScriptStep(
        "compare",
        "compare.py",
        source="file:compare",
        inputs={"prepped": prepare.outputs["output_data1"], "trained": train.outputs["training_results"]},
        outputs=[Output("best")],
        arguments=[
            "--prepped_data",
            "$(inputs.prepped)",
            "--training_results",
            "$(inputs.trained)",
            "--best",
            "$(outputs.best)",
        ],
    )
    return Pipeline("iris", [prepare, train, compare])


def test_a_pipeline_of_scripts_written_in_python_equals_the_iris_example():
    assert read(iris().to_yaml()) == by_name(documents(IRIS / "pipeline.yaml"))


def test_a_run_written_in_python_equals_the_example():
    made = PipelineRun(
        "digits-single-image",
        pipeline_ref="digit-identification",
        parameters={
            "mnist_param": FileDataset("0500.png", name="single-image"),
            "batch_size_param": "1",
            "process_count_param": 1,
        },
    )
    assert [made.to_dict()] == documents(DIGITS / "cluster/run-single-image.yaml")


# Fields and arguments


@pytest.mark.parametrize("made", BUILDERS, ids=lambda made: made.__name__)
def test_arguments_are_the_fields_of_the_kind_and_no_others(made: Any):
    arguments = {each.name for each in dataclasses.fields(made)} - {"name", "namespace", "labels", "annotations"}
    described = FLAT.get(made.__name__)
    names = {*made.spec_model().model_fields, *(described.model_fields if described else ())} - (
        {"file", "tabular"} if described else set()
    )
    fields = {made.argument(name) for name in names}
    assert arguments == fields | (OF_A_PIPELINES_STEP if issubclass(made, Step) else set())


def test_every_kind_has_a_class():
    assert {made.kind for made in BUILDERS} == set(KINDS)


@pytest.mark.parametrize(
    ("made", "model"),
    [(Parameter, "PipelineParameter"), (Output, "StepOutput ScriptOutput"), (DataPath, "DataPlace")],
)
def test_arguments_of_small_values_are_the_fields_of_their_models(made: Any, model: str):
    from longshore_api import parallel_run_step, pipeline, tasks

    models = [
        getattr(module, name)
        for name in model.split()
        for module in (parallel_run_step, pipeline, tasks)
        if hasattr(module, name)
    ]
    assert {each.name for each in dataclasses.fields(made)} == {name for each in models for name in each.model_fields}


# What is refused, by argument, value and rule


FILES = {"images": FileDataset("images/*.png")}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ParallelRunStep("score", "score.py", inputs=FILES, output="scores", mini_batch_size="ten"),
            (
                "ParallelRunStep \"score\": mini_batch_size is 'ten': must be a number such as 10, or a size such as "
                "1024, 1024KB, 10MB or 1GB"
            ),
        ),
        (
            lambda: ParallelRunStep("score", "score.py", inputs=FILES, mini_batch_size=5, partition_keys=["a"]),
            'ParallelRunStep "score": mini_batch_size is 5: must be left out when partition_keys is given',
        ),
        (
            lambda: ParallelRunStep(
                "score",
                "score.py",
                inputs=[Input("images", FILES["images"], mode="mounted")],  # type: ignore[arg-type]
            ),
            'ParallelRunStep "score": inputs["images"].mode is \'mounted\': must be mount, download or direct',
        ),
        (
            lambda: ParallelRunStep("score", "score.py", inputs=FILES, output=Output("x", mode="upload")),
            'ParallelRunStep "score": output.mode is not a known field:',
        ),
        (
            lambda: ParallelRunStep("S!", "score.py", inputs=FILES),
            (
                "ParallelRunStep \"S!\": name is 'S!': must be 3 to 51 lower-case letters, digits and '-', "
                "beginning with a letter and not ending with '-'"
            ),
        ),
        (
            lambda: ScriptStep("train", "../train.py"),
            "ScriptStep \"train\": script_name is '../train.py': must be a path below the source folder",
        ),
        (
            lambda: ComputeCluster("cpu", min_nodes=5, max_nodes=4),
            'ComputeCluster "cpu": min_nodes is 5: must not be above max_nodes, which is 4',
        ),
        (
            lambda: ComputeCluster("cpu", tolerations=[{"key": "gpu", "toleration_second": 5}]),
            (
                'ComputeCluster "cpu": tolerations[0].toleration_second is not a known field: did you mean '
                "toleration_seconds?"
            ),
        ),
        (
            lambda: TabularDataset("a.csv", separator="||"),
            "TabularDataset: separator is '||': must be one character, and no quote or line end",
        ),
        (
            lambda: TabularDataset(name="orders", format="sql"),
            'TabularDataset "orders": query is missing: format sql needs one',
        ),
        (lambda: Model("m", ""), "Model \"m\": path is '': must be a string that is not empty"),
        (
            lambda: Model("m", "x", model_name="a/b"),
            (
                "Model \"m\": model_name is 'a/b': must be at most 255 characters without '/' and line ends, not "
                "beginning with '.' or a blank"
            ),
        ),
        (lambda: Datastore("S", "s3://b"), "Datastore \"S\": name is 'S': must be at most 253 lower-case letters"),
        (
            lambda: Pipeline("nightly", [ScriptStep("train", "train.py", run_after=["prepare"])]),
            (
                'Pipeline "nightly": steps["train"].run_after[0] refers to the step \'prepare\', which does not exist; '
                "the steps are train"
            ),
        ),
        (
            lambda: Pipeline("nightly", [ScriptStep("train", "train.py", arguments=[f"--x={Parameter('x', 1)}"])]),
            (
                'Pipeline "nightly": steps["train"].script.arguments[0] refers to the parameter \'x\', which does not '
                "exist; the parameters are none"
            ),
        ),
        (
            lambda: Pipeline("nightly", [ScriptStep("train", "a.py"), ScriptStep("train", "b.py")]),
            'Pipeline "nightly": steps["train"].name is \'train\', as is that of steps[0]',
        ),
        (
            lambda: Pipeline(
                "nightly", [ScriptStep("train", "a.py", arguments=[Parameter("x", 1)], version=Parameter("x", "2"))]
            ),
            "Pipeline \"nightly\": parameter 'x' must be one Parameter: there are two of this name",
        ),
        (
            lambda: Pipeline("nightly", [ScriptStep("train", "a.py", arguments=[Parameter("x")])]),
            'Parameter "x": type is missing: pass type=...',
        ),
        (
            lambda: ScriptStep("train", "train.py", retries=2).to_yaml(),
            'ScriptStep "train": retries is supported in a Pipeline only',
        ),
        (
            lambda: FileDataset("a").to_yaml(),
            "FileDataset: name is missing: pass name=...",
        ),
        (lambda: ParallelRunStep("score", "score.py", inputs={}), 'ParallelRunStep "score": inputs must hold at least'),
    ],
)
def test_an_error_names_argument_value_and_rule(make: Callable[[], object], message: str):
    with pytest.raises(InvalidArgument) as caught:
        make()
    assert str(caught.value).startswith(message)


def test_all_problems_of_an_object_are_reported_together():
    with pytest.raises(InvalidArgument) as caught:
        ParallelRunStep("score", "score.txt", inputs=FILES, node_count=0, run_max_try=0)
    assert [each.split()[0] for each in caught.value.problems] == ["node_count", "run_max_try"]


def test_an_unknown_output_is_named_with_the_known_ones():
    with pytest.raises(KeyError, match="no output 'dirty'; its outputs are: clean"):
        ScriptStep("prepare", "prepare.py", outputs=["clean"]).outputs["dirty"]


# Objects


def test_values_that_refer_to_parameters_are_checked_when_a_run_has_them():
    step = ParallelRunStep("score", Parameter("script", "s.py"), inputs=FILES, node_count=Parameter("nodes", 1))
    assert step.to_dict()["spec"]["nodeCount"] == "$(parameters.nodes)"


def test_a_copy_has_the_changes_and_everything_else():
    step = ScriptStep("prepare", "prepare.py", outputs=[Output("clean", mode="upload")])
    copy = step.replace(name="again", script_name="other.py")
    assert copy.to_dict()["spec"] == {"scriptName": "other.py", "outputs": [{"name": "clean", "mode": "upload"}]}
    assert str(copy.outputs["clean"]) == "$(steps.again.outputs.clean)"
    with pytest.raises(InvalidArgument):
        step.replace(script_name="/other.py")


def test_a_step_reads_the_output_of_another_that_precedes_it():
    label = TransferStep("label", "gs://bucket/labels", DataPath("labels", Datastore("archive", "s3://archive")))
    score = ParallelRunStep("score", "score.py", inputs=FILES, side_inputs={"labels": label.outputs["destination"]})
    spec = Pipeline("nightly", [label, score]).to_dict()["spec"]
    assert spec["steps"][1]["parallelRun"]["sideInputs"] == [
        {"name": "labels", "from": "$(steps.label.outputs.destination)"}
    ]
    assert spec["steps"][0]["transfer"]["destination"] == {"path": "labels", "datastore": "archive"}
    assert [each.kind for each in Pipeline("nightly", [label, score]).documents()] == ["Pipeline", "Datastore"]


def test_load_reads_files_and_folders_and_finds_objects_by_name():
    found = longshore.load(DIGITS, DIGITS / "pipeline")
    assert found["mnist-datastore"].to_dict()["spec"] == {"uri": "file:../data"}
    assert isinstance(found["Pipeline/digit-identification"], Pipeline)
    with pytest.raises(KeyError, match="several documents of this name: ParallelRunStep/digit-identification, Pipel"):
        found["digit-identification"]
    with pytest.raises(KeyError, match="no document of this name"):
        found["nothing"]
    files = [file for folder in (DIGITS, DIGITS / "pipeline") for file in sorted(folder.glob("*.yaml"))]
    expected = [parse(raw) for file in files for raw in documents(file)]
    assert list(map(parse, yaml.safe_load_all(found.to_yaml()))) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: ScriptStep", "bad.yaml document 1, ScriptStep: apiVersion is missing"),
        (f"apiVersion: {API_VERSION}\nkind: Pod", "bad.yaml document 1, Pod: kind is 'Pod'"),
        (
            f"apiVersion: {API_VERSION}\nkind: ScriptStep\nmetadata: {{name: train}}\nspec: {{scriptNme: a.py}}",
            "spec.scriptNme is not a known field: did you mean scriptName?",
        ),
        (f"apiVersion: {API_VERSION}\nkind: ScriptStep\nspec: []", "metadata is missing"),
        ("- 1", "must be a mapping with apiVersion and kind"),
    ],
)
def test_load_names_file_document_and_field(text: str, message: str, tmp_path: Path):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(Exception, match=r"bad\.yaml") as caught:
        longshore.load(tmp_path / "bad.yaml")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [[FileDataset("a.txt")], ["a.txt"], [{"name": "a"}], FileDataset("a.txt"), "a.txt"],
    ids=["dataset without a name", "path", "document", "dataset alone", "path alone"],
)
@pytest.mark.parametrize("argument", ["inputs", "side_inputs"])
def test_inputs_without_names_are_refused_with_the_way_to_name_them(argument: str, given: Any):
    inputs: dict[str, Any] = {"inputs": {"a": FileDataset("a.txt")}, argument: given}
    with pytest.raises(InvalidArgument) as caught:
        ParallelRunStep("score", "score.py", **inputs)
    rule = 'must be data by name, or a list of Input(NAME, DATA) and of datasets that have names: pass {"NAME": DATA}'
    assert str(caught.value) == f'ParallelRunStep "score": {argument} {rule}'


def test_a_dataset_with_a_name_is_an_input_of_that_name():
    listed = ScriptStep("sums", "a.py", inputs=[TabularDataset("b.csv", name="rows")])
    assert (
        listed.to_yaml() == ScriptStep("sums", "a.py", inputs={"rows": TabularDataset("b.csv", name="rows")}).to_yaml()
    )
