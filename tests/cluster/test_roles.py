"""The operator's rights: what its role grants is what it uses, verb by verb."""

from datetime import UTC, datetime

import pytest
from localcluster import install
from localcluster.audit import calls
from steps import STEP

pytestmark = pytest.mark.alone


def granted(kubectl):
    """Return each (group, resource, verb) of the operator's roles that it uses while it runs."""
    lease = kubectl.get("role", f"{install.RELEASE}-leader", f"--namespace={install.NAMESPACE}")["rules"]
    return {
        (group, resource, verb)
        for rule in [*kubectl.get("clusterrole", install.RELEASE)["rules"], *lease]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if (resource, verb) != ("leases", "create")  # once, by the first operator of the release
    }


def used(place, since):
    """Return each (group, resource, verb) that the operator asked for; paths that are no resources are everybody's."""
    return {
        (each.use.group, each.use.resource, each.use.verb)
        for each in calls(place, user=install.USER)
        if each.at >= since and not each.use.path
    }


@pytest.fixture
def every_kind(steps, namespace):
    """Resources of every kind, in lives that need every right."""
    namespace("create", "secret", "generic", "key", "--from-literal=AWS_SECRET_ACCESS_KEY=open-sesame")
    steps.apply("Datastore", "data", uri=f"file://{steps.folder}", default=True, secretRef={"name": "key"})
    steps.apply("Datastore", "stuck", uri="pvc:no-such-claim")
    steps.apply("ComputeCluster", "nodes", minNodes=1, maxNodes=2, resources={"requests": {"cpu": "10m"}})
    steps.script("script", "print('done')")
    script = {"source": {"configMap": "script"}, "scriptName": "score.py", "environment": {"name": "plain"}}
    transfer = {"source": {"path": "in/000.txt"}, "destination": {"path": "copy.txt"}}
    stuck = {"datastore": "stuck", "paths": ["in"]}
    score = {
        "inputs": [{"name": "files", "file": stuck}],
        "source": {"configMap": "code"},
        "entryScript": "score.py",
        "environment": {"name": "plain"},
        "outputAction": "summary_only",
    }
    registered = [
        {"name": name, "registerOnComplete": {"kind": kind, "name": name}}
        for name, kind in (("net", "Model"), ("rows", "Dataset"))
    ]
    waiting = [
        {"name": "read", "script": {**script, "inputs": [{"name": "files", "file": stuck}]}},
        {"name": "copy", "transfer": {**transfer, "source": {"datastore": "stuck", "path": "in"}}},
        {"name": "score", "parallelRun": score},
    ]
    steps.apply("Pipeline", "waiting", steps=waiting)
    steps.apply(
        "Pipeline",
        "quick",
        steps=[{"name": "print", "script": {**script, "outputs": registered}}],
        successfulRunsHistoryLimit=5,
    )
    # Without a look at files first, which would wait for the claim.
    steps.apply("PipelineRun", "cancelled", pipelineRef={"name": "waiting"}, contentFingerprint="none")
    steps.apply("PipelineRun", "fleeting", pipelineRef={"name": "quick"}, ttlSecondsAfterFinished=0)
    steps.apply("ScriptStep", "fleeting-script", **script, ttlSecondsAfterFinished=0)
    steps.apply("TransferStep", "fleeting-transfer", **transfer, ttlSecondsAfterFinished=0)
    steps.submit("kept", computeTarget="nodes")
    steps.submit("fleeting", ttlSecondsAfterFinished=0)


def test_the_operator_uses_each_verb_that_its_role_grants_and_no_other(request, steps, namespace, place):
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    install.stop(place)
    install.start(place)  # lists and watches begin anew
    request.getfixturevalue("every_kind")
    children = [
        f"{kind}/cancelled-{step}" for kind, step in (("lsscript", "read"), ("lstransfer", "copy"), (STEP, "score"))
    ]
    steps.until(lambda: namespace.try_("get", *children).returncode == 0)
    namespace("patch", "lsrun", "cancelled", "--type=merge", '--patch={"spec":{"cancel":true}}')
    steps.finish("kept")
    fleeting = ("lsrun/fleeting", "lsscript/fleeting-script", "lstransfer/fleeting-transfer", f"{STEP}/fleeting")
    for each in fleeting:
        steps.until(lambda each=each: namespace.try_("get", each).returncode != 0)
    namespace("wait", "--for=condition=Finished", "lsrun/cancelled", "--timeout=60s")
    steps.until(lambda: not namespace.get("secrets,services,networkpolicies", "--selector=longshore.dev/step=kept"))
    install.stop(place)  # a watch is in the log when it ends
    assert used(place, since) == granted(namespace)
    here = ("", namespace.namespace)  # namespaces of earlier tests may be ending, and refuse whatever is new
    seen = [each for each in calls(place, user=install.USER) if each.at >= since and each.namespace in here]
    assert not [each for each in seen if each.code == 403]
