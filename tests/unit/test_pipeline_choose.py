"""Which of several documents `longshore run` takes, and whose values win."""

import pytest
from pipelines import document, script

from longshore_api.errors import InvalidDocuments
from longshore_planner.catalogue import Documents
from longshore_planner.pipelines.choose import choose
from longshore_planner.pipelines.freeze import freeze
from longshore_planner.pipelines.frozen import Options

PARAMETERS = [{"name": "alpha", "type": "number", "default": 1}]
PIPELINE = document(
    "Pipeline", "iris", parameters=PARAMETERS, steps=[script("only", arguments=["$(parameters.alpha)"])]
)
OTHER = document("Pipeline", "other", steps=[script("only")])
RUN = document("PipelineRun", "nightly", pipelineRef={"name": "iris"}, parameters={"alpha": 2}, regenerateOutputs=True)
SCRIPT = document("ScriptStep", "alone", scriptName="a.py", arguments=["$(inputs.data)"])
PARALLEL = document(
    "ParallelRunStep",
    "score",
    inputs=[{"name": "data", "file": {"paths": ["/data"]}}],
    entryScript="score.py",
    outputAction="summary_only",
)


def chosen(*documents, name=None, **assigned):
    return choose(Documents(documents), name=name, assigned=assigned)


def refused(*documents, **more):
    with pytest.raises(InvalidDocuments) as caught:
        chosen(*documents, **more)
    return str(caught.value)


def settled(found, *documents):
    return freeze(
        found.pipeline,
        found.given,
        Documents(documents),
        run_id="run-1",
        run_uri="/runs/run-1",
        cores=1,
        options=found.options,
    )


def test_without_a_pipeline_there_is_nothing_to_choose():
    assert chosen(PARALLEL) is None


def test_one_pipeline_is_run():
    assert chosen(PIPELINE).pipeline.name == "iris"


def test_a_pipeline_run_stands_for_its_pipeline_and_gives_values_and_options():
    found = chosen(PIPELINE, RUN)
    assert found.pipeline.name == "iris"
    assert found.options == Options(regenerate_outputs=True)
    assert settled(found).parameters == {"alpha": 2}


def test_the_commands_values_win():
    assert settled(chosen(PIPELINE, RUN, alpha="3")).parameters == {"alpha": 3}


def test_a_pipeline_run_may_hold_its_pipeline():
    spec = {"steps": [script("only", "zero")]}
    found = chosen(document("PipelineRun", "nightly", pipelineSpec=spec))
    assert found.pipeline.name == "nightly"
    with pytest.raises(InvalidDocuments, match=r"PipelineRun/nightly: spec\.pipelineSpec\.steps\[0\]\.script\.inputs"):
        settled(found)


def test_of_several_one_must_be_named():
    assert refused(PIPELINE, OTHER, PARALLEL) == (
        "documents: a run takes one of Pipeline/iris, Pipeline/other and ParallelRunStep/score; "
        "select it with --pipeline NAME, or pass fewer files"
    )
    assert chosen(PIPELINE, OTHER, PARALLEL, name="other").pipeline.name == "other"


def test_a_name_that_no_pipeline_has_is_refused():
    assert (
        refused(PIPELINE, name="irsi")
        == "--pipeline: is 'irsi', which does not exist; the documents have Pipeline/iris"
    )


def test_a_pipeline_run_of_no_pipeline_is_refused():
    assert "spec.pipelineRef.name is 'iris': there is no such Pipeline; the documents have other" in refused(OTHER, RUN)


def test_to_retry_a_run_by_its_name_is_for_clusters():
    run = document("PipelineRun", "again", retryOf="nightly")
    assert "spec.retryOf is supported on clusters only; to continue a local run, pass --resume" in refused(
        PIPELINE, run
    )


def test_a_script_step_is_a_pipeline_of_its_own_and_its_fields_are_its_own():
    found = chosen(SCRIPT)
    assert found.pipeline.path("alone", "script.scriptName") == "spec.scriptName"
    with pytest.raises(InvalidDocuments, match=r"ScriptStep/alone: spec\.arguments\[0\] refers to inputs\.data"):
        settled(found)
