"""Many PipelineRuns at a time on the control plane; their pods find no node, and the test ends them."""

import json
import os
import time
from collections import Counter

import pytest
from localcluster import install
from localcluster.audit import calls
from squares import RUN
from steps import Steps

COUNT = int(os.environ.get("LONGSHORE_TEST_RUNS", "25"))  # `make bench-cluster` takes a hundred
STEPS = ("prepare", "train", "compare")
RUNS = [
    {
        "apiVersion": "longshore.dev/v1alpha1",
        "kind": "PipelineRun",
        "metadata": {"name": f"run-{number:02d}"},
        "spec": {"pipelineRef": {"name": "many"}, "parameters": {"seed": number}},
    }
    for number in range(COUNT)
]
PATIENCE = 420.0  # seconds: the machine has two cores for all of it


def script(name, *reads):
    return {
        "name": name,
        "script": {
            "source": {"configMap": "scripts"},
            "scriptName": "any.py",
            "arguments": ["--seed", "$(parameters.seed)"],
            "inputs": [{"name": f"of-{each}", "from": f"$(steps.{each}.outputs.out)"} for each in reads],
            "outputs": [{"name": "out"}],
            "environment": {"name": "plain"},
            "computeTarget": "nowhere",
        },
    }


@pytest.fixture
def pipeline(operator, namespace, tmp_path):  # noqa: ARG001, the operator must run
    steps = Steps(namespace, tmp_path / "data")
    namespace("create", "configmap", "scripts", "--from-literal=any.py=pass")
    nowhere = {"nodeSelector": {"longshore.dev/test": "no-such-node"}, "idleSecondsBeforeScaleDown": 0}
    steps.apply("ComputeCluster", "nowhere", maxNodes=2 * COUNT, **nowhere)
    steps.apply(
        "Pipeline",
        "many",
        parameters=[{"name": "seed", "type": "integer"}],
        steps=[script("prepare"), script("train", "prepare"), script("compare", "prepare", "train")],
    )
    return steps


def ends(kubectl, pod):
    """Say of a pod what its kubelet would when its script has ended well."""
    now = time.time()
    result = {"state": "succeeded", "exit_code": 0, "message": "", "metrics": {}, "started": now, "finished": now}
    terminated = {"exitCode": 0, "reason": "Completed", "message": json.dumps(result)}
    containers = [
        {
            "name": each["name"],
            "image": each["image"],
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"terminated": terminated if each["name"] == "collect" else {**terminated, "message": ""}},
        }
        for each in pod["spec"]["containers"]
    ]
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "status": {"phase": "Succeeded", "containerStatuses": containers},
    }
    kubectl.request(
        "PATCH", f"/api/v1/namespaces/{namespace}/pods/{name}/status", body, fieldManager="kubelet", force="true"
    )


@pytest.mark.usefixtures("pipeline")
def test_no_step_is_lost_and_none_is_doubled(namespace, place, capsys):
    began = time.monotonic()
    namespace("create", "--validate=false", "--filename=-", stdin={"apiVersion": "v1", "kind": "List", "items": RUNS})
    ended = set()

    def all_over():
        pods = namespace.read("pods", fieldSelector="status.phase=Pending")
        for pod in pods:
            if pod["metadata"]["uid"] not in ended:
                ended.add(pod["metadata"]["uid"])
                ends(namespace, pod)
        runs = namespace.read(RUN) if not pods else []
        return runs and all(finished(each) for each in runs)

    namespace.eventually(all_over, patience=PATIENCE)
    took = time.monotonic() - began
    runs = namespace.get(RUN)
    assert len(runs) == COUNT
    for each in runs:
        steps = each["status"]["steps"]
        assert [(step["name"], step["state"], step["attempts"]) for step in steps] == [
            (name, "Succeeded", 1) for name in STEPS
        ]
    assert len(ended) == COUNT * len(STEPS)

    made, written = Counter(), Counter()
    for call in calls(place, user=install.USER):
        if call.namespace == namespace.namespace and call.writes and call.code < 300:
            written[f"{call.use.verb} {call.use.resource}"] += 1
            if call.use.verb == "create":
                made[call.use.resource] += 1
    assert {kind: made[kind] for kind in ("scriptsteps", "pods")} == dict.fromkeys(
        ("scriptsteps", "pods"), COUNT * len(STEPS)
    )
    assert made["configmaps"] == COUNT * (2 + len(STEPS))  # settled, a copy of its code, and a run for each step
    with capsys.disabled():
        per_step = {what: round(count / COUNT / len(STEPS), 2) for what, count in written.most_common()}
        print(f"\n{COUNT} runs of {len(STEPS)} steps in {took:.0f} s, {sum(per_step.values()):.1f} writes a step:")
        print(f"  {per_step}")


def finished(run):
    conditions = run.get("status", {}).get("conditions", [])
    return any((each["type"], each["status"]) == ("Finished", "True") for each in conditions)
