"""Pods that are killed or evicted in the middle of a step: the output is the same, and no try is used up."""

import pytest
from steps import assert_nothing_was_lost, uids


def is_replaced(steps, pod, before):
    found = steps.pods().get(pod)
    return found is not None and found["metadata"]["uid"] != before[pod]


@pytest.mark.parametrize("victim", ["score-worker-0", "score-coordinator"])
def test_a_pod_that_is_killed_is_replaced_and_costs_nothing(halfway, namespace, victim):
    before = uids(halfway.pods())
    namespace("delete", "pod", victim, "--grace-period=0", "--force")
    halfway.until(lambda: is_replaced(halfway, victim, before))
    assert_nothing_was_lost(halfway)


def test_an_evicted_worker_finishes_what_runs(halfway, namespace):
    namespace.evict("score-worker-0")
    halfway.until(lambda: "deletionTimestamp" in halfway.pods()["score-worker-0"]["metadata"])
    assert_nothing_was_lost(halfway)


def test_a_worker_that_is_evicted_in_the_middle_of_a_mini_batch_costs_no_try(halfway, namespace):
    before = uids(halfway.pods())
    namespace.evict("score-worker-1", gracePeriodSeconds=1)
    halfway.until(lambda: is_replaced(halfway, "score-worker-1", before))
    assert_nothing_was_lost(halfway)
