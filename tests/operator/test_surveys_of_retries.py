"""Surveys of PipelineRuns that retry another one: whose code is taken."""

import pytest
from runs import script
from survey_world import SurveyWorld, failed, lived, text_of


@pytest.fixture
def world():
    return SurveyWorld()


def test_a_retry_reads_the_code_of_failed_steps_again_and_leaves_that_of_the_others(world):
    code = {"uri": world.code.uri}
    failed(world, *world.chain, script("compare", "train", source=code))
    world.code.put("prepare.py", b"print('changed too')")
    world.code.put("train.py", b"print('fixed')")
    world.submit(name="again", retryOf="nightly")
    world.reconcile("again")
    assert world.condition(name="again")["reason"] == "ReadingSources"
    world.run("again")
    assert world.condition(name="again")["status"] == "True"
    first = world.frozen("train")["provision"]["source_uri"]
    train, compare = (world.frozen(name, "again")["provision"]["source_uri"] for name in ("train", "compare"))
    assert (text_of(train, "train.py"), text_of(first, "train.py")) == ("print('fixed')", "print('train')")
    assert compare == first
    assert train == first[:-1] + "1"
    assert world.step("prepare", "again")["resource"] == "ScriptStep/nightly-prepare"


def test_a_retry_of_a_retry_takes_it_from_where_it_came_from_first(world):
    failed(world)
    world.ends = {"again-train": "ScriptFailed"}
    world.submit(name="again", retryOf="nightly")
    world.run("again")
    world.code.put("train.py", b"print('fixed')")
    world.submit(name="third", retryOf="again")
    world.run("third")
    assert world.condition(name="third")["status"] == "True"
    copy = world.frozen("train", "third")["provision"]["source_uri"]
    assert copy.endswith("/sources/2")
    assert text_of(copy, "train.py") == "print('fixed')"


def test_a_retry_of_what_failed_with_a_configmap_has_no_survey(world):
    code = {"uri": world.code.uri}
    failed(world, script("prepare", source=code), script("train", "prepare"), script("compare", "train", source=code))
    world.submit(name="again", retryOf="nightly")
    world.run("again")
    assert world.condition(name="again")["status"] == "True"
    assert len(world.ran) == 1


def test_a_retry_whose_source_is_deleted_reports_it(world):
    failed(world)
    world.code.delete("")
    world.submit(name="again", retryOf="nightly")
    world.until(lambda: world.condition(name="again").get("status") == "False", "again")
    assert f'PipelineRun/again: The source "{world.code.uri}" ' in world.condition(name="again")["message"]


def test_a_retry_whose_script_is_deleted_states_whose(world):
    failed(world)
    world.code.delete("train.py")
    world.submit(name="again", retryOf="nightly")
    world.until(lambda: world.condition(name="again").get("status") == "False", "again")
    rule = "spec.retryOf reads the code of train again, whose scriptName is 'train.py': there is no such file in the"
    assert rule in world.condition(name="again")["message"]


def test_a_retry_comes_to_the_same_end_wherever_the_operator_is_killed():
    def retried(crash_after=None):
        world = SurveyWorld()
        failed(world)
        world.code.put("train.py", b"print('fixed')")
        before = len(world.kube.writes)
        world.kube.crash_after = None if crash_after is None else before + crash_after
        world.submit(name="again", retryOf="nightly")
        return lived(world, "again"), len(world.kube.writes) - before

    undisturbed, writes = retried()
    assert undisturbed.condition(name="again")["status"] == "True"
    for crash_after in range(1, writes + 1):
        world, _ = retried(crash_after)
        assert world.states("again") == undisturbed.states("again"), crash_after
        assert world.begun == undisturbed.begun, crash_after
        assert not world.surveys(), crash_after
        copy = world.frozen("train", "again")["provision"]["source_uri"]
        assert text_of(copy, "train.py") == "print('fixed')"
