"""The GPUs of a node, shared out among the processes of its worker: asked of the cluster, given, and told."""

import pytest
from steps import SCRIPT, STEP

GPU = "nvidia.com/gpu"
SAYS = SCRIPT.replace("return name", 'return os.environ["CUDA_VISIBLE_DEVICES"] + " " + name')


@pytest.fixture
def gpu(kubectl):
    """Have the cluster's one node offer a GPU, as a device plugin would; nothing of it is real but what is counted."""
    (node,) = (each["metadata"]["name"] for each in kubectl.get("nodes"))
    manager = {"fieldManager": "test", "force": "true"}

    def offer(amounts):
        status = {"capacity": amounts, "allocatable": amounts}
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}, "status": status}
        kubectl.request("PATCH", f"/api/v1/nodes/{node}/status", body, **manager)

    offer({GPU: "1"})
    yield
    offer({GPU: "0"})


@pytest.mark.usefixtures("gpu")
def test_two_processes_share_the_one_gpu_of_their_node_and_the_status_reports_it(steps, namespace):
    steps.script("says", SAYS)
    steps.apply("ComputeCluster", "gpus", gpu={"count": 1})
    changes = {"source": {"configMap": "says"}, "computeTarget": "gpus", "nodeCount": 1, "processCountPerNode": 2}
    steps.submit(limit=10, **changes)
    shared = [{"worker": "score-worker-0", "device": "gpu:0", "processes": 2}]
    steps.until(lambda: steps.status().get("devices") == shared)
    assert steps.finish()["status"] == "True", steps.condition()
    assert {line.split()[0] for line in steps.output().splitlines()} == {"0"}
    assert steps.status()["devices"] == shared
    assert "gpu:0" in namespace("describe", STEP, "score")
