"""The chart on a real cluster: installed, upgraded and removed by Helm, its operator with the chart's roles alone.

The definitions are the session's, not the release's: other tests need them.
"""

import urllib.error
import urllib.request

import pytest
from charts import RELEASE

pytestmark = pytest.mark.alone


def asked(pod, path):
    try:
        with urllib.request.urlopen(f"http://{pod['status']['podIP']}:9090{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_operator_watches_with_the_charts_roles_alone(release):
    assert release.apply()["status"] == "deployed"
    (pod,) = release.pods()
    assert asked(pod, "/readyz")[0] == 200
    text = asked(pod, "/metrics")[1]
    for kind in ("ParallelRunStep", "ComputeCluster", "Pod"):
        assert f'longshore_api_requests_total{{code="200",kind="{kind}",verb="watch"}} 1.0' in text
    assert 'code="403"' not in text


def test_a_bad_step_is_reported_by_the_installed_operator(release, namespace):
    release.apply()
    inputs = [{"name": "files", "dataset": "nowhere"}]
    spec = {
        "inputs": inputs,
        "outputAction": "summary_only",
        "source": {"configMap": "code"},
        "entryScript": "score.py",
    }
    manifest = {"apiVersion": "longshore.dev/v1alpha1", "kind": "ParallelRunStep", "metadata": {"name": "bad"}}
    namespace("apply", "--validate=false", "--filename=-", stdin={**manifest, "spec": spec})

    def reason():
        found = namespace.get("parallelrunsteps.longshore.dev", "bad").get("status", {}).get("conditions", [])
        return next((each["reason"] for each in found if each["type"] == "Succeeded"), "")

    namespace.eventually(lambda: reason() == "InvalidInput")
    (pod,) = release.pods()
    assert 'code="403"' not in asked(pod, "/metrics")[1]


def test_an_upgrade_ends_the_operator_before_it_starts_the_next(release, namespace):
    release.apply()
    (before,) = release.pods()
    assert release.apply(operator={"logFormat": "text"})["revision"] == 2
    (after,) = release.pods()
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert "watching " + namespace.namespace in namespace("logs", "deployment/longshore")


def test_nothing_is_left_of_a_release_that_is_removed(release, namespace):
    release.apply()
    release.config.uninstall(RELEASE, wait="watcher", timeout=120)
    kinds = "deployments,services,networkpolicies,serviceaccounts,roles,rolebindings"
    left = {each["metadata"]["name"] for each in namespace.get(kinds)}
    assert left <= {"default"}
    classes = {each["metadata"]["name"] for each in namespace.get("priorityclasses")}
    assert not [each for each in classes if each.startswith(namespace.namespace)]
    assert len(namespace.get("crds")) >= 6
