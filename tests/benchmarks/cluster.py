"""What a step costs on a cluster, beside a bare Job: `python tests/benchmarks/cluster.py [--repeat N]`.

Needs the local cluster (`make cluster-up`), where it installs Longshore's chart. It measures, each as the median of N:

* from `kubectl apply` to the first call of run(), and the same for the second pod of a Job that runs two pods of the
  same image in sequence; the ratio of the two is what Longshore promises to keep at 1.3 or below;
* the overhead of a step: from `kubectl apply` to its last status, for a step whose run() does nothing;
* the operator's writes to the API server for a step.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster import cluster, images, install
from localcluster.audit import calls
from localcluster.images import BASE
from localcluster.places import Places, locked, places
from localcluster.processes import wait_until

PROMISED = 1.3
ITEMS = 20
GROUP = 65532  # of a run's pods
PATIENCE = 120.0  # seconds
SCRIPT = "import time\n\ndef run(mini_batch):\n    return [time.time() for path in mini_batch]"


@dataclass(frozen=True)
class Measured:
    """Seconds since `kubectl apply`, and the writes of one step."""

    first_call: float
    finished: float
    writes: Counter[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="take the medians of N measurements")
    repeat = parser.parse_args().repeat
    place = places()
    prepare(place)
    jobs, steps = [], []
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        for number in range(repeat):  # in turns: the machine's moods are for both
            with namespace(place) as name:
                jobs.append(measure_job(place, name))
            with namespace(place) as name:
                steps.append(measure_step(place, name, Path(scratch, str(number))))
    report(jobs, steps)


def prepare(place: Places) -> None:
    """Have Longshore of the code as it is in the cluster, and the image that scripts run in."""
    cluster.running(place)
    with locked(images.store()):
        ours = images.product_image()
        for archive in (ours, images.base_archive()):
            images.load(place, archive)
    install.install(place, ours, host_paths=True)


@contextmanager
def namespace(place: Places) -> Iterator[str]:
    """Have a namespace in which pods can be made, for a while."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    install.kubectl(place, "create", "namespace", name)
    try:
        wait_until(lambda: has_account(place, name), "the namespace's service account", seconds=PATIENCE)
        yield name
    finally:
        install.kubectl(place, "delete", "namespace", name)


def has_account(place: Places, name: str) -> bool:
    return "default" in install.kubectl(place, "get", "serviceaccounts", "--output=name", f"--namespace={name}")


def measure_job(place: Places, name: str) -> float:
    """Return the seconds until the second pod's program runs."""
    container = {"name": "main", "image": BASE, "command": ["python3", "-c", "import time; print(time.time())"]}
    template = {"spec": {"containers": [container], "restartPolicy": "Never"}}
    spec = {"completions": 2, "parallelism": 1, "template": template}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "bare"}, "spec": spec}
    began = apply(place, name, job)
    wait = ("wait", "--for=condition=Complete", f"--timeout={PATIENCE:.0f}s", "job/bare")
    install.kubectl(place, f"--namespace={name}", *wait)
    printed = install.kubectl(place, f"--namespace={name}", "logs", "--selector=job-name=bare")
    return max(map(float, printed.split())) - began


def measure_step(place: Places, name: str, folder: Path) -> Measured:
    (folder / "in").mkdir(parents=True)
    for number in range(ITEMS):
        (folder / "in" / str(number)).touch()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, -1, GROUP)
        path.chmod(0o2770)
    script = f"--from-literal=score.py={SCRIPT}"
    install.kubectl(place, "create", "configmap", "code", script, f"--namespace={name}")
    for kind, spec in (
        ("Dataset", {"file": {"paths": ["in"]}}),
        ("Datastore", {"uri": f"file://{folder}", "default": True}),
        ("Environment", {"image": BASE, "python": "python3"}),
    ):
        apply(place, name, ours(kind, spec))
    step = {
        "inputs": [{"name": "files", "dataset": "bench"}],
        "output": {"name": "times"},
        "source": {"configMap": "code"},
        "entryScript": "score.py",
        "environment": {"name": "bench"},
        "nodeCount": 2,
        "miniBatchSize": 1,
        "outputAction": "append_row",
        "appendRowFileName": "times.txt",
    }
    began = apply(place, name, ours("ParallelRunStep", step))
    wait = ("wait", "--for=condition=Finished", f"--timeout={PATIENCE:.0f}s", "prs/bench")
    install.kubectl(place, f"--namespace={name}", *wait)
    finished = time.time()
    (output,) = folder.glob("longshore/*/times/times.txt")
    wait_until(lambda: not workers(place, name), "the workers to be gone", seconds=PATIENCE)
    by_operator = calls(place, user=install.USER)
    writes = Counter(str(each.use) for each in by_operator if each.namespace == name and each.writes)
    return Measured(min(map(float, output.read_text().split())) - began, finished - began, writes)


def apply(place: Places, name: str, manifest: dict[str, object]) -> float:
    """Apply a manifest; return when kubectl was started, as Unix seconds."""
    began = time.time()
    command = ("apply", "--validate=false", "--filename=-", f"--namespace={name}")
    install.kubectl(place, *command, stdin=json.dumps(manifest))
    return began


def ours(kind: str, spec: dict[str, object]) -> dict[str, object]:
    return {"apiVersion": "longshore.dev/v1alpha1", "kind": kind, "metadata": {"name": "bench"}, "spec": spec}


def workers(place: Places, name: str) -> str:
    selector = "--selector=longshore.dev/role=worker"
    return install.kubectl(place, "get", "pods", selector, "--output=name", f"--namespace={name}")


def report(jobs: list[float], steps: list[Measured]) -> None:
    job, first = statistics.median(jobs), statistics.median(each.first_call for each in steps)
    whole = statistics.median(each.finished for each in steps)
    verdict = f"{first / job:.2f} times that; at most {PROMISED}: {'holds' if first / job <= PROMISED else 'EXCEEDED'}"
    print(f"medians of {len(jobs)}, from kubectl apply:")
    print(f"  second pod of a bare Job runs    {job:6.2f} s")
    print(f"  first mini-batch of a step runs  {first:6.2f} s   {verdict}")
    print(f"  step Finished (its overhead)     {whole:6.2f} s")
    print(f"API writes per step: {statistics.median(each.writes.total() for each in steps):.0f}")
    for use, _ in steps[-1].writes.most_common():
        print(f"  {statistics.median(each.writes[use] for each in steps):4.0f}  {use}")


if __name__ == "__main__":
    main()
