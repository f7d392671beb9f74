"""Statuses that an API server keeps, shows and refuses, where no operator writes them."""

import pytest
from kube import words
from manifests import API_VERSION, manifest, step

pytestmark = pytest.mark.alone


# Status
def condition(type_, status, reason):
    since = "2026-01-01T00:00:00Z"
    return {"type": type_, "status": status, "reason": reason, "message": "All is well.", "lastTransitionTime": since}


STATUS = {
    "observedGeneration": 1,
    "conditions": [condition("Succeeded", "Unknown", "Running")],
    "progress": {
        "miniBatches": {"total": 40, "scheduled": 40, "succeeded": 30, "failed": 2},
        "columns": {"done": "32/40", "failed": "2", "rate": "12/min", "eta": "40s", "workers": "2/2"},
    },
}


def path_of(kubectl, name="sample"):
    return f"/apis/{API_VERSION}/namespaces/{kubectl.namespace}/parallelrunsteps/{name}"


def test_the_columns_of_a_step_show_its_status(unattended):
    unattended("create", "--filename=-", stdin=step())
    made = unattended.get("prs", "sample")
    unattended.request("PUT", f"{path_of(unattended)}/status", {**made, "status": STATUS})
    titles, row = words(unattended("get", "prs"))
    assert titles == ["NAME", "SUCCEEDED", "REASON", "DONE", "FAILED", "RATE", "ETA", "WORKERS", "AGE"]
    assert row[:-1] == ["sample", "Unknown", "Running", "32/40", "2", "12/min", "40s", "2/2"]
    assert "MESSAGE" in words(unattended("get", "prs", "--output=wide"))[0]


def test_spec_and_status_are_written_apart(unattended):
    unattended("create", "--filename=-", stdin={**step(), "status": STATUS})
    made = unattended.get("prs", "sample")
    assert "status" not in made
    written = {**made, "spec": {**made["spec"], "nodeCount": 7}, "status": STATUS}
    kept = unattended.request("PUT", f"{path_of(unattended)}/status", written)
    assert (kept["spec"], kept["status"]) == (made["spec"], STATUS)
    assert kept["metadata"]["generation"] == 1
    kept = unattended.request("PUT", path_of(unattended), {**kept, "spec": written["spec"], "status": {}})
    assert (kept["spec"]["nodeCount"], kept["status"]) == (7, STATUS)
    assert kept["metadata"]["generation"] == 2


@pytest.mark.parametrize("status", [{"conditions": [{"status": "True"}]}, {"observedGeneration": "one"}], ids=str)
def test_a_bad_status_is_refused(unattended, status):
    unattended("create", "--filename=-", stdin=step())
    made = unattended.get("prs", "sample")
    stdin = {**made, "status": status}
    ended = unattended.try_("replace", f"--raw={path_of(unattended)}/status", "--filename=-", stdin=stdin)
    assert ended.returncode != 0
    assert f"status.{next(iter(status))}" in ended.stderr


def test_conditions_that_two_apply_merge_by_type(unattended):
    """Of a kind without integer-or-string: for the others, API servers before 1.21 take each list as one value."""
    unattended("create", "--filename=-", stdin=manifest("Datastore", {"uri": "file:///data"}))
    path = f"/apis/{API_VERSION}/namespaces/{unattended.namespace}/datastores/sample/status"
    head = {"apiVersion": API_VERSION, "kind": "Datastore"}
    for manager, type_ in (("one", "Ready"), ("two", "Stalled"), ("one", "Ready")):
        status = {"conditions": [condition(type_, "True", manager.capitalize())]}
        unattended.request("PATCH", path, {**head, "status": status}, fieldManager=manager)
    kept = unattended.get("lsstore", "sample")["status"]["conditions"]
    assert {each["type"]: each["reason"] for each in kept} == {"Ready": "One", "Stalled": "Two"}


def test_an_applied_status_of_a_step_takes_the_place_of_the_earlier_one(unattended):
    unattended("create", "--filename=-", stdin=step())
    head = {"apiVersion": API_VERSION, "kind": "ParallelRunStep"}
    for done in ("31/40", "32/40"):
        progress = {**STATUS["progress"], "columns": {"done": done}}
        body = {**head, "status": {**STATUS, "progress": progress}}
        unattended.request("PATCH", f"{path_of(unattended)}/status", body, fieldManager="longshore")
    kept = unattended.get("prs", "sample")
    assert kept["status"] == body["status"]
    assert kept["metadata"]["generation"] == 1


def test_a_field_belongs_to_who_applied_it(unattended):
    def apply(raw, *more):
        return unattended.try_("apply", "--server-side", *more, "--validate=false", "--filename=-", stdin=raw)

    mine, theirs = "--field-manager=mine", "--field-manager=theirs"
    assert apply(step(nodeCount=2), mine).returncode == 0
    ended = apply(step(nodeCount=3), theirs)
    assert ended.returncode != 0
    assert ".spec.nodeCount" in ended.stderr
    assert unattended.get("prs", "sample")["spec"]["nodeCount"] == 2
    assert apply(step(nodeCount=3), theirs, "--force-conflicts").returncode == 0
    assert unattended.get("prs", "sample")["spec"]["nodeCount"] == 3
