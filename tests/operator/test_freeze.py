"""Freezing a PipelineRun from plain values; no cluster is asked."""

from datetime import UTC, datetime

import pytest
from runs import AROUND, CODE, script
from world import NAMESPACE, kind

from longshore_api.errors import InvalidDocuments
from longshore_api.pipeline_status import PipelineRunStatus
from longshore_operator.common.continuations import Continuation
from longshore_operator.common.references import Found
from longshore_operator.common.values import Blocked
from longshore_operator.manifests.subject import Subject
from longshore_operator.pipeline_runs.freeze import EarlierRun, complete, draft_retry, draft_run
from longshore_operator.settings import Settings
from longshore_planner.pipelines.frozen import Options

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RUN = Subject("PipelineRun", NAMESPACE, "nightly", "0f8a7c52-1111-2222-3333-444444444444")
STEPS = (script("prepare", allowReuse=False), script("train", "prepare", allowReuse=False))
FOUND = Found({"code": {"data": CODE}})
AGAIN = Subject("PipelineRun", NAMESPACE, "again", "1f8a7c52-1111-2222-3333-444444444444")


def draft(*around, steps=STEPS):
    run = kind("PipelineRun", "nightly", pipelineRef={"name": "iris"})
    pipeline = kind("Pipeline", "iris", steps=list(steps))
    return draft_run(RUN, run, pipeline, [*AROUND[:-1], *around], Settings(image="longshore:test"))


def frozen():
    return complete(draft(), FOUND, ()).frozen


def status(succeeded="False", *, states=("Succeeded", "Failed")):
    condition = {
        "type": "Succeeded",
        "status": succeeded,
        "reason": "StepFailed",
        "lastTransitionTime": NOON,
        "observedGeneration": 1,
    }
    steps = [{"name": name, "state": state} for name, state in zip(("prepare", "train"), states, strict=True)]
    raw = {"observedGeneration": 1, "conditions": [condition], "pipeline": "iris", "steps": steps, "columns": {}}
    return PipelineRunStatus.model_validate(raw)


def retry(earlier, *everyone):
    return draft_retry(AGAIN, "nightly", earlier, everyone, Options(), where="run")


def earlier(**changes):
    return EarlierRun(**{"is_finished": True, "run_id": "r", "frozen": frozen(), "status": status(), **changes})


def test_a_draft_names_what_must_be_read():
    assert draft().config_maps == {"code"}
    assert draft().secrets == set()


def test_a_complete_run_has_a_copy_of_its_code_and_no_survey():
    made = complete(draft(), FOUND, ())
    assert made.survey is None
    assert not made.is_retry
    (copy,) = made.copies
    assert copy.manifest.data == CODE
    names = {each.provision["config_map"] for each in made.frozen.pipeline.steps}
    assert names == {copy.manifest.metadata.name}


SOURCES = {
    "no such ConfigMap": (Found(), "is 'code': there is no such ConfigMap"),
    "no such key": (Found({"code": {"data": {"prepare.py": ""}}}), "is 'train.py': ConfigMap code has no such key"),
}


@pytest.mark.parametrize("case", SOURCES)
def test_missing_code_is_a_problem(case):
    found, sentence = SOURCES[case]
    with pytest.raises(InvalidDocuments, match=sentence):
        complete(draft(), found, ())


@pytest.mark.parametrize("secrets", [frozenset(), frozenset({"key"})])
def test_a_missing_secret_is_a_problem(secrets):
    store = kind("Datastore", "data", uri="s3://bucket", default=True, secretRef={"name": "key"})
    made = draft_run(
        RUN,
        kind("PipelineRun", "nightly", pipelineRef={"name": "iris"}),
        kind("Pipeline", "iris", steps=list(STEPS)),
        [AROUND[2], store],
        Settings(image="longshore:test"),
    )
    assert made.secrets == {"key"}
    if secrets:
        assert complete(made, Found(FOUND.config_maps, secrets), ()).frozen.pipeline.steps
    else:
        with pytest.raises(InvalidDocuments, match="'key': there is no such Secret"):
            complete(made, FOUND, ())


def test_a_retry_reads_again_the_code_of_the_steps_that_failed():
    made = retry(earlier())
    assert made.is_retry
    assert made.reads == {"train"}
    assert made.code == {"train"}
    changed = Found({"code": {"data": {**CODE, "train.py": "print('better')"}}})
    before, after = (each.pipeline.step("train").parts for each in (frozen(), complete(made, changed, ()).frozen))
    assert before["code"]["train.py"] != after["code"]["train.py"]
    assert made.pipeline.pipeline.step("prepare") == frozen().pipeline.step("prepare")


RETRIES = {
    "no such run": (None, "there is no other PipelineRun of that name"),
    "never begun": ({"frozen": None}, "it never began"),
    "of another version": ({"status": None}, "its status is of another version"),
    "succeeded": ({"status": status("True")}, "it has succeeded"),
}


@pytest.mark.parametrize("case", RETRIES)
def test_what_cannot_be_retried_is_a_problem(case):
    changes, sentence = RETRIES[case]
    with pytest.raises(InvalidDocuments, match=sentence):
        retry(None if changes is None else earlier(**changes))


def test_a_run_that_was_retried_already_is_not_retried():
    later = Continuation("later", NOON, "nightly", is_finished=True, run_id="r")
    with pytest.raises(InvalidDocuments, match="later has gone on with it: retry that one"):
        retry(earlier(), later)


@pytest.mark.parametrize(
    ("changes", "everyone", "sentence"),
    [
        ({"is_finished": False}, (), "waiting for nightly to end, which this run retries"),
        ({}, [Continuation("rival", NOON, "nightly", run_id="r")], "waiting for rival to end, which retries the same"),
    ],
)
def test_a_retry_waits(changes, everyone, sentence):
    found = retry(earlier(**changes), *everyone)
    assert isinstance(found, Blocked)
    assert found.message.startswith(sentence)
