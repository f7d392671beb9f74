"""Steps that are suspended, cancelled, resumed by others, refused, and deleted when their time has come."""

import json

import pytest
from steps import EXPECTED, ITEMS, STEP


def change(namespace, name="score", **spec):
    namespace("patch", STEP, name, "--type=merge", f"--patch={json.dumps({'spec': spec})}")


@pytest.fixture
def slow(steps):
    """A script with which a step of two workers takes a while; it notes what it runs."""
    script = """
import os, time

def run(mini_batch):
    time.sleep(0.7)
    name = os.path.basename(mini_batch[0])
    with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], "ran"), "a") as ran:
        ran.write(name + "\\n")
    return [name + " " + open(mini_batch[0]).read()]
"""
    steps.script("slow", script)
    return {"source": {"configMap": "slow"}, "errorThreshold": 0}


def ran(steps):
    return sorted((steps.run_folder("score") / "rows" / "ran").read_text().split())


def test_a_suspended_step_has_no_pod_and_goes_on_from_what_it_did(steps, slow, namespace):
    steps.submit(**slow)
    steps.until(lambda: steps.done() >= 5)
    change(namespace, suspend=True)
    steps.until(lambda: steps.condition()["reason"] == "Suspended")
    assert not steps.pods()
    kept = steps.done()
    assert 5 <= kept < ITEMS
    assert steps.condition()["message"] == f"suspended: {kept} of {ITEMS} mini-batches are committed"
    assert steps.condition("Finished")["status"] == "False"
    change(namespace, suspend=False)
    assert steps.finish()["status"] == "True"
    assert steps.output() == EXPECTED
    assert ran(steps) == [f"{index:03d}.txt" for index in range(ITEMS)]  # each once


def test_a_cancelled_step_keeps_what_is_committed_for_a_step_that_resumes_it(steps, slow, namespace):
    steps.submit(**slow)
    steps.until(lambda: steps.done() >= 5)
    change(namespace, cancel=True)
    namespace("wait", "--for=condition=Finished", STEP, "score", "--timeout=150s", patience=180)
    assert steps.condition()["reason"] == "Cancelled"
    assert "a step with resumeFrom: score goes on from there" in steps.condition()["message"]
    assert not steps.pods()
    assert steps.done() < ITEMS
    steps.submit("again", resumeFrom="score", **slow)
    steps.until(lambda: steps.condition("Finished", "again")["status"] == "True")
    assert steps.condition(name="again")["status"] == "True", steps.condition(name="again")
    assert steps.output() == EXPECTED  # in the folder of the run that both worked on
    assert ran(steps) == [f"{index:03d}.txt" for index in range(ITEMS)]
    assert steps.status("again")["runId"] == steps.status("score")["runId"]


def test_a_step_deletes_itself_when_its_time_has_come_and_its_output_stays(steps, namespace):
    steps.submit(ttlSecondsAfterFinished=2)
    steps.until(lambda: namespace.try_("get", STEP, "score").returncode != 0)
    steps.until(lambda: not namespace.get("pods,configmaps,secrets", "--selector=longshore.dev/step=score"))
    assert steps.output() == EXPECTED


def test_a_quota_that_leaves_no_room_is_reported(steps, namespace):
    namespace("create", "quota", "none", "--hard=pods=0")
    steps.submit()
    steps.until(lambda: steps.condition()["reason"] == "QuotaExceeded")
    assert "exceeded quota: none" in steps.condition()["message"]
    namespace("delete", "quota", "none")
    assert steps.finish()["status"] == "True"
    assert steps.done() == ITEMS
