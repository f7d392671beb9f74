"""A running step goes through an upgrade, an eviction and a rollback: versions read what each other wrote.

The later version is this one with a field more in what its processes write (tests/data/images/later).
"""

import pytest
from charts import IMAGE
from steps import Steps, assert_nothing_was_lost

pytestmark = pytest.mark.alone


def image_of(pod):
    (container,) = pod["spec"]["containers"]
    return container["image"]


def test_a_running_step_goes_through_an_upgrade_an_eviction_and_a_rollback(release, later_version, namespace, tmp_path):
    steps = Steps(namespace, tmp_path / "data")
    release.apply(hostPaths=True)
    steps.submit(limit=10)
    steps.until_done(10)
    before = steps.pods("coordinator")["score-coordinator"]

    release.apply(hostPaths=True, image={**IMAGE, "tag": later_version})
    steps.let_on(20)  # the later operator reads the run that the earlier one wrote, and its coordinator's snapshots
    steps.until_done(20)
    assert steps.pods("coordinator")["score-coordinator"]["metadata"]["uid"] == before["metadata"]["uid"]

    namespace.evict("score-coordinator")
    steps.until(lambda: renewed(steps, before))
    during = steps.pods("coordinator")["score-coordinator"]
    assert image_of(during) != image_of(before)
    steps.let_on(30)  # a later coordinator, with agents of the earlier version
    steps.until_done(30)

    release.config.rollback("longshore", wait="watcher", timeout=120)
    steps.let_on(35)  # the earlier operator reads a later coordinator's snapshots
    steps.until_done(35)
    namespace.evict("score-coordinator")
    steps.until(lambda: renewed(steps, during))  # an earlier coordinator reads what a later one wrote
    assert_nothing_was_lost(steps)


def renewed(steps, before):
    """Tell whether the coordinator's pod is another one."""
    found = steps.pods("coordinator").get("score-coordinator")
    return found is not None and found["metadata"]["uid"] != before["metadata"]["uid"]
