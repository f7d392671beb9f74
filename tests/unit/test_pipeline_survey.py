"""Which sources and inputs a survey looks at, where copies lie, and what becomes of steps with what was found."""

from dataclasses import replace
from functools import partial

import pytest
from pipelines import frozen, script

from longshore_api.errors import InvalidDocuments
from longshore_planner.cluster.pod_requirements import PodRequirements, Volume
from longshore_planner.pipelines import survey
from longshore_planner.pipelines.fingerprint import digest, why_not
from longshore_planner.pipelines.frozen import NONE, STAMPS
from longshore_planner.pipelines.on_cluster import is_copied, with_original, with_source
from longshore_planner.pipelines.survey import has_file, is_result_of, with_survey
from longshore_protocol.survey import SourceFound, SourceToCopy, SurveyResult

survey_of = partial(survey.survey_of, where="Pipeline/nightly")


def step(name, root="/mnt/longshore/claim/data", *, inputs=(), **provision):
    made = frozen(script(name, inputs=list(inputs))).steps[0]
    given = PodRequirements(volumes=(Volume(claim="data"),), **provision)
    run_uri = f"{root}/longshore/run-1/steps/{name}"
    job = {**made.job, "run_uri": run_uri, "source_uri": "/longshore/source"}
    return replace(made, job=job, provision=given.to_dict(), source="/longshore/source")


def targets(*steps, **how):
    survey = survey_of(steps, **{"code": {each.name for each in steps}, "contents": NONE, **how})
    return [(each.uri, each.target) for each in survey.request.sources]


def test_steps_with_the_same_source_in_the_same_store_share_a_copy():
    one, two = (step(name, source_uri="gs://bucket/code") for name in ("one", "two"))
    other = step("three", source_uri="gs://bucket/other")
    elsewhere = step("four", "s3://bucket", source_uri="gs://bucket/code")
    assert targets(one, two, other, elsewhere) == [
        ("gs://bucket/code", "/mnt/longshore/claim/data/longshore/run-1/sources/0"),
        ("gs://bucket/other", "/mnt/longshore/claim/data/longshore/run-1/sources/1"),
        ("gs://bucket/code", "s3://bucket/longshore/run-1/sources/2"),
    ]


def test_copies_of_earlier_runs_stay():
    copies = ["s3://bucket/longshore/run-1/sources/3", None, "gs://bucket/sources/code.zip", "s3://bucket/9"]
    ((_, target),) = targets(step("one", source_uri="gs://bucket/code"), copies=copies)
    assert target.endswith("/sources/4")


def test_a_survey_has_the_account_of_its_steps_and_there_is_one_or_it_is_reported():
    one, two = (step(name, source_uri="gs://bucket/code", service_account=name) for name in ("one", "two"))
    none = step("none", source_uri="gs://bucket/code")
    assert survey_of([one, none], code={"one", "none"}, contents=NONE).provision.service_account == "one"
    assert survey_of([one, two], code={"two"}, contents=NONE).provision.service_account == "two"
    with pytest.raises(InvalidDocuments) as caught:
        survey_of([one, two], code={"one", "two"}, contents=NONE)
    assert "Pipeline/nightly: the Datastores of its steps name the accounts one and two" in str(caught.value)


def test_what_needs_no_survey_has_none():
    steps = [step("one", config_map="code"), step("two", source_image="/app"), step("three", source_uri="gs://b/c")]
    assert survey_of(steps, code={"one", "two"}, contents=NONE) is None
    assert survey_of(steps, code={"one", "two"}, contents=STAMPS) is None  # they have no inputs


def test_a_survey_is_given_what_the_steps_concerned_are_given_for_their_stores():
    steps = [
        step("one", source_uri="gs://b/c", secrets=("a",), image="python"),
        step("two", secrets=("b",), config_map="code"),
        step("three", secrets=("c",), inputs=[{"name": "rows", "file": {"paths": ["/data"]}}]),
    ]
    survey = survey_of(steps, code={"one"}, contents=STAMPS)
    assert survey.provision == PodRequirements(volumes=(Volume(claim="data"),), secrets=("a", "c"))
    assert survey.request.contents == {"three": {"input rows": ["/data"]}}


def test_outputs_of_other_steps_are_not_looked_at():
    steps = [
        replace(each, provision=PodRequirements().to_dict())
        for each in frozen(script("one"), script("two", "one")).steps
    ]
    assert steps[1].parts["inputs"]["from_one"]
    assert survey_of(steps, code=set(), contents=STAMPS) is None


def reading(name, **more):
    return step(name, inputs=[{"name": "rows", "file": {"paths": ["/mnt/longshore/claim/data/in"]}}], **more)


def test_inputs_count_only_where_a_step_may_be_reused():
    never = replace(reading("never"), allow_reuse=False)
    assert survey_of([never], code=set(), contents=STAMPS) is None
    found = survey_of([never, reading("two")], code=set(), contents=STAMPS)
    assert found.request.contents == {"two": {"input rows": ["/mnt/longshore/claim/data/in"]}}


def test_what_was_found_of_an_input_is_in_the_fingerprint_with_places_as_users_know_them():
    given = reading("one")
    survey = survey_of([given], code=set(), contents=STAMPS)
    held = {"one": {"input rows": {"unknown": 'The path "/mnt/longshore/claim/data/in" cannot be listed'}}}
    made = with_survey(given, survey, SurveyResult((), {"one": {"input rows": "1"}}, held), run="uid")
    assert made.parts["contents"] == {"input rows": "1"}
    assert made.parts["held"] == {"input rows": {"unknown": 'The path "pvc:data/in" cannot be listed'}}


@pytest.mark.parametrize("why", ["another account", "too many inputs"])
def test_what_a_survey_did_not_report_equals_nothing(why):
    first, second = reading("one", service_account="a"), reading("two", service_account="b")
    if why == "another account":
        survey = survey_of([first, second], code=set(), contents=STAMPS)
        found, given = SurveyResult((), {"one": {"input rows": "1"}}), second
    else:
        survey = survey_of([first], code=set(), contents=STAMPS)
        found, given = SurveyResult(), first
    assert is_result_of(survey, found)
    one, two = (with_survey(given, survey, found, run=run).parts for run in ("uid-1", "uid-2"))
    assert digest(one) != digest(two)
    assert why_not(two, one).startswith('input "rows": its files cannot be compared: ')


def test_a_step_gets_its_copy_and_gives_the_original_back():
    original = step("one", source_uri="/mnt/longshore/claim/code")
    survey = survey_of([original], code={"one"}, contents=NONE)
    found = SurveyResult((SourceFound({"one.py": "1"}, {"branch": "trunk"}),))
    made = with_survey(original, survey, found, run="uid")
    target = "/mnt/longshore/claim/data/longshore/run-1/sources/0"
    assert made.provision["source_uri"] == target
    assert made.job["source_uri"] == "/longshore/source"
    assert made.spec["source"] == {"uri": "pvc:data/longshore/run-1/sources/0"}
    assert (made.parts["code"], made.git) == ({"one.py": "1"}, {"branch": "trunk"})
    assert (is_copied(original), is_copied(made)) == (False, True)
    again = with_original(made)
    assert again.provision == original.provision
    once_more = with_survey(again, survey_of([again], code={"one"}, contents=NONE, copies=[target]), found, run="uid")
    assert with_original(once_more).provision == original.provision


def test_a_step_gets_a_copied_configmap_and_gives_the_original_back():
    made = with_source(step("one", config_map="code"), {"one.py": "1"}, copy="copy")
    assert (made.provision["config_map"], made.spec["source"]) == ("copy", {"configMap": "copy"})
    assert with_original(made).provision["config_map"] == "code"
    assert with_original(with_source(with_original(made), {"one.py": "2"}, copy="next")).source == "code"


def test_a_source_in_an_image_is_no_copy():
    made = with_source(step("one", source_image="/app"), {"/app": "in python"})
    assert not is_copied(made)
    assert with_original(made) is made


def test_a_result_of_another_survey_is_none_of_this_one():
    survey = survey_of([step("one", source_uri="gs://b/c")], code={"one"}, contents=NONE)
    assert is_result_of(survey, SurveyResult((SourceFound({}),)))
    assert not is_result_of(survey, SurveyResult())
    assert not is_result_of(survey, SurveyResult((SourceFound({}),), {"one": {"rows": "1"}}))


@pytest.mark.parametrize(
    ("name", "there"),
    [("one.py", True), ("./one.py", True), ("lib/x.py", True), ("lib/a/b.py", True), ("two.py", False), ("li", False)],
)
def test_a_file_may_be_in_a_folder_that_is_declared_as_one(name, there):
    assert has_file(SourceFound({"one.py": "1", "lib/": "2"}), name) is there
    assert has_file(SourceFound({"./": "1"}), name)


def test_places_in_sentences_are_those_of_users():
    survey = survey_of([step("one", source_uri="/mnt/longshore/claim/code")], code={"one"}, contents=NONE)
    assert survey.request.sources == (
        SourceToCopy("/mnt/longshore/claim/code", "/mnt/longshore/claim/data/longshore/run-1/sources/0"),
    )
    said = (
        'The source "/mnt/longshore/claim/code" cannot be copied to '
        '"/mnt/longshore/claim/data/longshore/run-1/sources/0"'
    )
    assert survey.shown(said) == 'The source "pvc:code" cannot be copied to "pvc:data/longshore/run-1/sources/0"'
