"""A ParallelRunStep in real pods, from its manifest to its end, and the reasons when it does not get there."""

from steps import EXPECTED, ITEMS, SCRIPT, STEP


def test_a_step_runs_to_its_end_and_leaves_no_worker_and_no_secret(steps, namespace):
    steps.submit()
    assert steps.finish()["status"] == "True", steps.condition()
    assert steps.output() == EXPECTED
    assert steps.status()["progress"]["columns"]["done"] == f"{ITEMS}/{ITEMS}"
    steps.until(lambda: not steps.pods("worker"))
    steps.until(lambda: not namespace.get("secrets,services,networkpolicies", "--selector=longshore.dev/step=score"))
    assert set(steps.pods()) == {"score-coordinator"}  # a record, as the settled run is
    assert namespace.get("configmaps", "--selector=longshore.dev/step=score")


def test_a_watch_shows_the_progress_line_by_line_to_the_end(steps, namespace, tmp_path):
    record = tmp_path / "watch.txt"
    with namespace.recorded(record, "get", "prs", "--watch"):
        steps.submit(limit=8)
        for done in range(8, ITEMS, 8):
            steps.until_done(done)
            steps.let_on(done + 8)
        steps.finish()
        steps.until(lambda: "True" in record.read_text())
    titles, *lines = [line.split() for line in record.read_text().splitlines()]
    shown = [line[3] for line in lines if len(line) > 3]
    stages = [f"{done}/{ITEMS}" for done in range(8, ITEMS + 1, 8)]
    assert titles[:4] == ["NAME", "SUCCEEDED", "REASON", "DONE"]
    assert [each for each in dict.fromkeys(shown) if each in stages] == stages
    assert len(stages) == 5
    assert lines[-1][1:3] == ["True", "Succeeded"]


def test_waiting_for_finished_ends_for_a_success_and_for_a_failure(steps, namespace):
    steps.script("bad", "def run(mini_batch):\n    raise ValueError('bad row')")
    steps.submit("good", limit=4)
    steps.submit("worse", source={"configMap": "bad"}, errorThreshold=0, runMaxTry=1)
    waiting = ["wait", "--for=condition=Finished", "--timeout=120s"]
    namespace(*waiting, f"{STEP}/worse", patience=130)
    assert steps.condition("Finished", "good")["status"] == "False"
    steps.let_on()
    namespace(*waiting, f"{STEP}/good", patience=130)
    assert steps.condition(name="good")["status"] == "True"
    assert steps.condition(name="worse")["status"] == "False"
    described = namespace("describe", STEP, "worse")
    assert "ErrorThresholdExceeded" in described
    assert "ValueError: bad row" in described


def test_a_deleted_step_leaves_nothing_but_its_folder(steps, namespace):
    steps.submit(limit=10)
    steps.until_done(10)
    namespace("delete", STEP, "score", "--wait=false")
    steps.let_on()  # what runs may finish
    kinds = "pods,services,secrets,configmaps,networkpolicies"
    steps.until(lambda: not namespace.get(kinds, "--selector=longshore.dev/step=score"))
    assert (steps.run_folder() / "state").is_dir()


def test_what_keeps_a_step_waiting_is_reported_with_what_is_lacking(steps):
    steps.apply("Environment", "missing", image="localhost/there-is-no-such-image:1")
    steps.apply("ComputeCluster", "huge", resources={"requests": {"cpu": "1000"}})
    steps.submit("imageless", environment={"name": "missing"})
    steps.submit("homeless", computeTarget="huge")
    steps.until(lambda: steps.condition(name="imageless")["reason"] == "ImagePull")
    assert "localhost/there-is-no-such-image:1" in steps.condition(name="imageless")["message"]
    steps.until(lambda: steps.condition(name="homeless")["reason"] == "Unschedulable")
    assert "Insufficient cpu" in steps.condition(name="homeless")["message"]
    for name in ("imageless", "homeless"):
        assert steps.condition(name=name)["status"] == "Unknown"


def test_bad_input_fails_the_step_with_the_field_and_starts_nothing(steps, namespace):
    steps.submit(entryScript="nothing.py")
    assert steps.finish()["reason"] == "InvalidInput"
    assert "spec.entryScript is 'nothing.py': ConfigMap code has no such key" in steps.condition()["message"]
    assert not namespace.get("pods,services,secrets,configmaps", "--selector=longshore.dev/step=score")


def test_a_step_that_is_applied_before_all_that_it_refers_to_runs(steps):
    """GitOps tools may apply a folder in any order, with time between."""
    inputs = [{"name": "files", "dataset": "late"}]
    late = {"name": "late"}
    steps.submit(inputs=inputs, environment=late, source={"configMap": "late"}, computeTarget="late")
    steps.until(lambda: steps.condition()["reason"] == "WaitingForReferences")
    steps.apply("ComputeCluster", "late", maxNodes=2)
    steps.apply("Environment", "late", image="docker.io/library/python:3.11-slim", python="python3")
    steps.until(lambda: "'late': there is no such Dataset" in steps.condition()["message"])
    steps.apply("Dataset", "late", file={"paths": ["in/*.txt"]})
    steps.until(lambda: "'late': there is no such ConfigMap" in steps.condition()["message"])
    assert steps.condition()["status"] == "Unknown"
    steps.script("late", SCRIPT)
    assert steps.finish()["status"] == "True"


def test_a_script_that_needs_more_memory_than_its_worker_has_is_reported(steps):
    greedy = "import os\n\ndef run(mini_batch):\n    return [len(os.urandom(1 << 20) * 2000) for path in mini_batch]"
    steps.script("greedy", greedy)
    steps.apply("ComputeCluster", "small", resources={"limits": {"memory": "128Mi"}})
    steps.submit(source={"configMap": "greedy"}, computeTarget="small", errorThreshold=0, runMaxTry=1)
    assert steps.finish()["reason"] == "ErrorThresholdExceeded"
    error = steps.status()["firstError"]
    assert error["category"] == "OutOfMemory"
    assert error["pod"].startswith("score-worker-")
