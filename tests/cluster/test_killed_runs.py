"""A PipelineRun of which everything is killed, the operator too."""

import pytest
from localcluster import install
from squares import SCORED, TOTAL

pytestmark = pytest.mark.alone


def test_a_run_of_which_everything_is_killed_ends_with_the_same_outputs(pipelines, namespace, place):
    for gate in ("score", "collect"):
        pipelines.close(gate)
    pipelines.start("first")
    pipelines.until_running("first", "score")
    pipelines.until_done(6, SCORED)
    install.kill(place)
    namespace("delete", "pod", "first-score-coordinator", "--grace-period=0", "--force")
    pipelines.open("score")
    pipelines.until_running("first", "collect")
    pipelines.until(lambda: _runs(pipelines.task_pods("first-collect")))
    install.stop(place)
    (pod,) = pipelines.task_pods("first-collect")
    namespace("delete", "pod", pod, "--grace-period=0", "--force")
    install.start(place)
    pipelines.until(lambda: _runs(pipelines.task_pods("first-collect")))
    pipelines.open("collect")
    assert pipelines.ended("first")["status"] == "True", pipelines.run_status("first")
    assert pipelines.total("first") == TOTAL
    assert [each["attempts"] for each in pipelines.run_status("first")["steps"]] == [1, 1, 1]


def _runs(pods):
    return [each for each in pods.values() if each["status"]["phase"] == "Running" and _main_runs(each)]


def _main_runs(pod):
    states = {each["name"]: each["state"] for each in pod["status"].get("containerStatuses", [])}
    return "running" in states.get("main", {})
