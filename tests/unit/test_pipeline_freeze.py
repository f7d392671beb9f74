"""A pipeline is settled: order, references, what is refused and where, what is kept."""

import time

import pytest
from pipelines import document, frozen, problems, script

from longshore_planner.pipelines.frozen import Code, FrozenPipeline
from longshore_protocol.catalogue import unpack

PARALLEL = {
    "inputs": [{"name": "rows", "from": "$(steps.first.outputs.out)"}],
    "output": {"name": "scores"},
    "entryScript": "score.py",
    "outputAction": "append_row",
}


def order(*steps):
    return [each.name for each in frozen(*steps).steps]


def chain(count):
    return [script(f"step-{number:03}", *([f"step-{number - 1:03}"] * (number > 0))) for number in range(count)]


def diamond(count):
    middle = [f"middle-{number:02}" for number in range(count - 2)]
    return [script("first"), *(script(name, "first") for name in middle), script("last", *middle)]


def test_the_order_follows_from_data_and_run_after_and_else_from_the_document():
    steps = [script("ddd", "bbb", "ccc"), script("ccc", "aaa"), script("bbb", "aaa"), script("aaa"), script("eee")]
    assert order(*steps) == ["aaa", "ccc", "bbb", "ddd", "eee"]
    assert order(script("ccc", runAfter=["aaa"]), script("bbb"), script("aaa")) == ["bbb", "aaa", "ccc"]


def test_what_a_step_reads_is_distinguished_from_what_it_only_runs_after():
    step = frozen(script("aaa"), script("bbb"), script("ccc", "aaa", runAfter=["bbb"])).step("ccc")
    assert set(step.after) == {"aaa", "bbb"}
    assert step.reads == ("aaa",)


def test_a_circle_is_refused_with_its_steps_in_the_order_of_the_data():
    found = problems(script("aaa", "ccc"), script("bbb", "aaa"), script("ccc", "bbb"), script("ddd"))
    assert found == [
        "spec.steps[0].script.inputs[0].from closes a cycle of dependencies: aaa → bbb → ccc → aaa; remove one of them",
    ]


def test_a_step_that_runs_after_itself_is_a_circle():
    assert problems(script("aaa", runAfter=["aaa"])) == [
        "spec.steps[0].runAfter[0] closes a cycle of dependencies: aaa → aaa; remove one of them",
    ]


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        (
            "$(steps.frist.outputs.out)",
            "refers to the step 'frist', which does not exist; the steps are first and second",
        ),
        (
            "$(steps.first.outputs.model)",
            "refers to the output 'model' of 'first', which does not exist; its outputs are out",
        ),
        (
            "$(steps.first.out)",
            "refers to $(steps.first.out): a reference to another step is $(steps.STEP.outputs.NAME)",
        ),
        ("somewhere", "is 'somewhere': must be an output of another step: $(steps.STEP.outputs.NAME)"),
    ],
)
def test_an_unknown_reference_is_refused_where_it_stands(reference, text):
    found = problems(script("first"), script("second", inputs=[{"name": "data", "from": reference}]))
    assert found == [f"spec.steps[1].script.inputs[0].from {text}"]


def test_an_unknown_step_to_run_after_is_refused_where_it_stands():
    assert problems(script("first", runAfter=["zero"])) == [
        "spec.steps[0].runAfter[0] refers to the step 'zero', which does not exist; the steps are first",
    ]


def test_an_argument_that_names_no_input_or_output_is_refused():
    found = problems(script("first", arguments=["$(inputs.data)", "$(outputs.out)", "$(outputs.model)"]))
    assert found == [
        "spec.steps[0].script.arguments[0] refers to inputs.data, which does not exist; the step's inputs are none",
        "spec.steps[0].script.arguments[2] refers to outputs.model, which does not exist; the step's outputs are out",
    ]


def test_two_outputs_of_one_name_are_refused():
    found = problems(script("first", outputs=[{"name": "out"}, {"name": "log"}, {"name": "out"}]))
    assert found == ["spec.steps[0].script.outputs[2] has the name 'out', as has outputs[0]"]


def test_two_steps_of_one_name_are_refused():
    assert problems(script("first"), script("first")) == [
        "spec.steps[1].name is 'first', as is that of spec.steps[0]",
    ]


def test_a_wrong_type_is_refused_with_the_path_in_the_pipeline():
    steps = [script("first", params="lots"), {"name": "second", "parallelRun": {**PARALLEL, "nodeCount": "many"}}]
    assert problems(*steps) == [
        "spec.steps[0].script.params is 'lots': must be a mapping of fields",
        "spec.steps[1].parallelRun.nodeCount is 'many': must be a whole number, 1 or more",
    ]


def test_an_unknown_field_is_refused_with_what_was_meant():
    found = problems({"name": "first", "script": {"scriptname": "a.py"}})
    assert "spec.steps[0].script.scriptname is not a known field: did you mean scriptName?" in found


def test_what_only_a_run_as_a_whole_has_is_no_field_of_a_step():
    found = problems(script("first"), {"name": "second", "parallelRun": {**PARALLEL, "resumeFrom": "other"}})
    assert found == [
        "spec.steps[1].parallelRun.resumeFrom is not supported in a pipeline's step; set it in the PipelineRun",
    ]


def test_what_a_step_names_must_be_there():
    found = problems(
        script("first", inputs=[{"name": "data", "dataset": "rows"}], environment={"name": "slim"}),
    )
    assert found == [
        "spec.steps[0].script.inputs[0].dataset is 'rows': there is no such Dataset; the documents have none",
        "spec.steps[0].script.environment.name is 'slim': there is no such Environment; the documents have none",
    ]


def test_outputs_are_in_the_steps_folder_or_in_a_datastore_under_the_run():
    assert frozen(script("first")).step("first").outputs == {"out": "/runs/run-1/steps/first/out"}
    stores = (document("Datastore", "here", uri="gs://bucket", default=True),)
    assert frozen(script("first"), documents=stores).step("first").outputs == {
        "out": "gs://bucket/longshore/run-1-first/out"
    }


def test_an_output_is_the_folder_of_a_parallel_run_or_the_rows_below_it():
    rows = {**PARALLEL, "inputs": [{**PARALLEL["inputs"][0], "tabular": {"format": "csv", "paths": ["a/*.csv"]}}]}
    pipeline = frozen(
        script("first"), {"name": "files", "parallelRun": PARALLEL}, {"name": "rows", "parallelRun": rows}
    )
    outputs = {("first", "out"): "/runs/old/steps/first/out"}
    files = pipeline.step("files").job_with(outputs)["inputs"]
    assert [(each["paths"], each["tabular"]) for each in files] == [(["/runs/old/steps/first/out"], None)]
    (table,) = pipeline.step("rows").job_with(outputs)["inputs"]
    assert table["paths"] == ["/runs/old/steps/first/out/a/*.csv"]
    assert table["tabular"]["format"] == "csv"
    assert pipeline.step("files").reads == ("first",)


def test_an_output_is_a_place_wherever_else_a_step_names_it():
    copy = {
        "name": "copy",
        "transfer": {
            "source": {"path": "$(steps.first.outputs.out)/model"},
            "destination": {"datastore": "far", "path": "models/1"},
        },
    }
    after = script("after", inputs=[{"name": "model", "from": "$(steps.copy.outputs.destination)"}])
    pipeline = frozen(script("first"), copy, after, documents=(document("Datastore", "far", uri="gs://far"),))
    assert pipeline.step("copy").job_with({("first", "out"): "/there"}) == {
        "source": "/there/model",
        "destination": "gs://far/models/1",
    }
    assert pipeline.step("after").after == ("copy",)


def test_a_pipeline_is_read_back_as_it_was_written():
    pipeline = frozen(
        script("first", params={"alpha": "1"}),
        {"name": "second", "parallelRun": PARALLEL, "timeoutSeconds": 5, "retries": 2},
        parameters=[{"name": "share", "type": "number", "default": 0.5}],
    )
    assert FrozenPipeline.from_json(pipeline.to_json()) == pipeline


def test_frozen_code_is_what_runs_and_what_counts():
    step = frozen(script("first")).step("first").with_code(Code("/runs/run-1/sources/0", {"first.py": "abc"}))
    assert step.job["source_uri"] == "/runs/run-1/sources/0"
    assert step.parts["code"] == {"first.py": "abc"}
    assert step.source == "/src"


@pytest.mark.parametrize(
    ("steps", "count"), [(diamond(50), 50), (chain(200), 200)], ids=["diamond of 50", "chain of 200"]
)
def test_large_pipelines_are_frozen_whole(steps, count, capsys):
    began = time.process_time()
    pipeline = frozen(*steps)
    took = time.process_time() - began
    assert len(pipeline.steps) == count
    with capsys.disabled():
        print(f" [{count} steps settled in {took * 1000:.0f} ms of processor time]", end="")


def test_the_steps_of_a_pipeline_share_what_their_scripts_may_ask_for_by_name():
    model, far = document("Model", "mnist", datastore="far", path="mnist"), document("Datastore", "far", uri="gs://far")
    copy = {"name": "copy", "transfer": {"source": {"path": "/a"}, "destination": {"path": "/b"}}}
    training = script("train")
    training["script"]["datastores"] = ["far"]
    pipeline = frozen(
        training, {"name": "score", "parallelRun": PARALLEL}, script("first"), copy, documents=(model, far)
    )
    assert [each.name for each in unpack(pipeline.catalogue).assets] == ["mnist"]
    assert not any(each.job.get("catalogue") for each in pipeline.steps)
    for name in ("train", "score"):
        assert pipeline.step(name).job_with({}, catalogue=pipeline.catalogue)["catalogue"] == pipeline.catalogue
    assert "catalogue" not in pipeline.step("copy").job_with({}, catalogue=pipeline.catalogue)
    assert [each["name"] for each in pipeline.step("train").job["datastores"]] == ["far", ""]
    assert FrozenPipeline.from_json(pipeline.to_json()).catalogue == pipeline.catalogue


def test_what_a_script_may_ask_for_by_name_is_not_part_of_a_fingerprint():
    model, far = document("Model", "mnist", datastore="far", path="mnist"), document("Datastore", "far", uri="gs://far")
    listing = script("train")
    listing["script"]["datastores"] = ["far"]
    parts = [
        frozen(step, documents=documents).step("train").parts
        for step, documents in ((script("train"), ()), (script("train"), (model, far)), (listing, (far,)))
    ]
    assert parts[0] == parts[1] == parts[2]
