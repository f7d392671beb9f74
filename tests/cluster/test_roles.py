"""The operator's rights: what its role grants is what it uses, verb by verb."""

from datetime import UTC, datetime

from localcluster import install
from localcluster.audit import calls
from steps import STEP


def granted(kubectl):
    """Return each (group, resource, verb) of the operator's role."""
    return {
        (group, resource, verb)
        for rule in kubectl.get("clusterrole", install.RELEASE)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(place, since):
    """Return each (group, resource, verb) that the operator asked for; paths that are no resources are everybody's."""
    return {
        (each.use.group, each.use.resource, each.use.verb)
        for each in calls(place, user=install.USER)
        if each.at >= since and not each.use.path
    }


def test_the_operator_uses_each_verb_that_its_role_grants_and_no_other(steps, namespace, place):
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    install.stop(place)
    install.start(place)  # lists and watches begin anew
    namespace("create", "secret", "generic", "key", "--from-literal=AWS_SECRET_ACCESS_KEY=open-sesame")
    steps.apply("Datastore", "data", uri=f"file://{steps.folder}", default=True, secretRef={"name": "key"})
    steps.apply("ComputeCluster", "nodes", minNodes=1, maxNodes=2, resources={"requests": {"cpu": "10m"}})
    steps.submit("kept", computeTarget="nodes")
    steps.submit("fleeting", ttlSecondsAfterFinished=0)
    steps.finish("kept")
    steps.until(lambda: namespace.try_("get", STEP, "fleeting").returncode != 0)
    steps.until(lambda: not namespace.get("secrets,services,networkpolicies", "--selector=longshore.dev/step=kept"))
    install.stop(place)  # a watch is in the log when it ends
    assert used(place, since) == granted(namespace)
    assert not [each for each in calls(place, user=install.USER) if each.at >= since and each.code == 403]
