"""Steps that are suspended, cancelled, resumed by others, refused, and deleted when their time has come."""

import json

from steps import EXPECTED, ITEMS, STEP


def change(namespace, name="score", **spec):
    namespace("patch", STEP, name, "--type=merge", f"--patch={json.dumps({'spec': spec})}")


def test_a_suspended_step_has_no_pod_and_goes_on_from_what_it_did(steps, namespace):
    steps.submit(limit=15)
    steps.until_done(15)
    steps.let_on(17)  # what runs in this moment is finished, and kept
    change(namespace, suspend=True)
    steps.until(lambda: steps.condition()["reason"] == "Suspended")
    assert not steps.pods()
    kept = steps.done()
    assert 15 <= kept <= 17
    assert steps.condition("Finished")["status"] == "False"
    change(namespace, suspend=False)
    assert steps.finish()["status"] == "True"
    assert steps.output() == EXPECTED
    assert steps.status()["progress"]["miniBatches"]["retried"] == 0


def test_a_cancelled_step_keeps_what_is_committed_for_a_step_that_resumes_it(steps, namespace):
    steps.submit(limit=20)
    steps.until_done(20)
    steps.let_on(22)
    change(namespace, cancel=True)
    namespace("wait", "--for=condition=Finished", STEP, "score", "--timeout=150s", patience=180)
    assert steps.condition()["reason"] == "Cancelled"
    assert "a step with resumeFrom: score goes on from there" in steps.condition()["message"]
    assert not steps.pods()
    steps.let_on()
    steps.script(
        "strict",
        "def run(mini_batch):\n    assert mini_batch[0][-7:] >= '020.txt', 'done before'\n"
        "    import os\n    return [os.path.basename(p) + ' ' + open(p).read() for p in mini_batch]",
    )
    steps.submit("again", resumeFrom="score", source={"configMap": "strict"}, errorThreshold=0)
    steps.until(lambda: steps.condition("Finished", "again")["status"] == "True")
    assert steps.condition(name="again")["status"] == "True", steps.condition(name="again")
    assert steps.output() == EXPECTED  # in the folder of the run that both worked on
    assert steps.status("again")["runId"] == steps.status("score")["runId"]


def test_a_step_deletes_itself_when_its_time_has_come_and_its_output_stays(steps, namespace):
    steps.submit(ttlSecondsAfterFinished=2)
    steps.until(lambda: namespace.try_("get", STEP, "score").returncode != 0)
    steps.until(lambda: not namespace.get("pods,configmaps,secrets", "--selector=longshore.dev/step=score"))
    assert steps.output() == EXPECTED


def test_a_quota_that_leaves_no_room_is_said(steps, namespace):
    namespace("create", "quota", "none", "--hard=pods=0")
    steps.submit()
    steps.until(lambda: steps.condition()["reason"] == "QuotaExceeded")
    assert "exceeded quota: none" in steps.condition()["message"]
    namespace("delete", "quota", "none")
    assert steps.finish()["status"] == "True"
    assert steps.done() == ITEMS
