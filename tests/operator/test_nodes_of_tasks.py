"""Steps and tasks that compete for the nodes of one ComputeCluster, in a cluster in memory."""

import pytest
from rivals import Rivals, compute, left_behind, with_lags
from task_world import CODE
from world import NAMESPACE

from longshore_operator.common.pool import is_node

TASKS = ("first", "third", "fourth")  # one has the name of a ParallelRunStep


def crowd(rivals):
    rivals.kube.put(CODE | {"data": {"score.py": "", "train.py": ""}})
    rivals.kube.put(compute(minNodes=1))
    for minute, name in enumerate(("first", "second")):
        rivals.put(name, minute=2 * minute)
    for minute, name in enumerate(TASKS):
        rivals.put_task(name, minute=1 + 2 * minute)
    rivals.tasks.ends["third-task-0"] = "evicted"


def all_done(rivals):
    nodes = list(filter(is_node, rivals.workers())), len(rivals.pods("placeholder"))
    statuses = [rivals.status(name, "ScriptStep").get("conditions", [{}]) for name in TASKS]
    reasons = [each[0].get("reason") for each in statuses]
    return len(rivals.order) == 2 and nodes == ([], 1) and reasons == ["Succeeded"] * 3


def crowd_undisturbed():
    rivals = Rivals()
    crowd(rivals)
    rivals.run(until=lambda: all_done(rivals))
    return rivals


CROWD = crowd_undisturbed()


def test_steps_and_tasks_stand_in_one_line(rivals):
    crowd(rivals)
    rivals.run(until=lambda: rivals.done["first"] > 0)
    assert [rivals.status(name, "ScriptStep")["conditions"][0]["message"] for name in TASKS] == [
        "waiting for a node of ComputeCluster cpu, which has 3; in use: first 3"
    ] * 3
    told = set()

    def second_is_done():
        told.add(rivals.status("fourth", "ScriptStep")["conditions"][0]["message"].rpartition("; ")[2])
        return rivals.finished("second")

    rivals.run(until=second_is_done)
    assert "in use: ScriptStep/first 1, second 2" in told
    rivals.run(until=lambda: all_done(rivals))
    assert rivals.status("third", "ScriptStep")["losses"] == 1
    assert rivals.most == 3


def test_a_task_of_higher_priority_goes_first(rivals):
    crowd(rivals)
    rivals.kube.objects["ScriptStep", NAMESPACE, "fourth"]["spec"]["priority"] = 7
    rivals.look()
    assert "fourth-task-0" in rivals.kube.of("Pod")


def test_nodes_of_tasks_are_counted_and_ended_ones_are_not(rivals):
    crowd(rivals)
    for name in ("first", "second"):
        del rivals.kube.objects["ParallelRunStep", NAMESPACE, name]
    rivals.run(until=lambda: rivals.status("cpu", "ComputeCluster")["nodeStateCounts"]["runningNodeCount"] == 3)
    rivals.order = ["first", "second"]
    rivals.run(until=lambda: all_done(rivals))
    assert len(rivals.workers()) == 3  # as records


@pytest.mark.parametrize(("killed_after", "lag"), with_lags(len(CROWD.kube.writes)))
def test_steps_and_tasks_never_have_more_nodes_than_there_are_whenever_the_operator_is_killed(killed_after, lag):
    rivals = Rivals(lag=lag)
    crowd(rivals)
    rivals.run_killed(killed_after, until=lambda: all_done(rivals))
    assert all_done(rivals)
    assert rivals.most <= 3
    assert left_behind(rivals) == left_behind(CROWD)
