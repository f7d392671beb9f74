"""The chart, rendered by Helm itself: clean, strict, restricted, and of one mind with the operator it installs."""

import ast
import json
from pathlib import Path

import helm_python as helm
import pytest
import yaml

from longshore import __version__
from longshore_api.crdgen.__main__ import texts
from longshore_operator.manifests import names
from longshore_operator.settings import LowPriority, Settings

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "longshore"
NAMESPACE = "longshore-system"
MONITORED = {"release": "prometheus"}
EVERYTHING = {
    "scratchSizeLimit": "20Gi",
    "coordinatorMemory": "1Gi",
    "coordinatorMemoryLimit": "3Gi",
    "agentMemoryLimit": "500Mi",
    "missingReferenceGraceSeconds": 0,
    "defaultImage": "registry.example/python:3.12",
    "defaultGpuImage": "registry.example/cuda:12",
    "builderMemory": "1Gi",
    "builderMemoryLimit": "8Gi",
    "image": {
        "repository": "registry.example/longshore",
        "tag": "1.2.3",
        "digest": "sha256:" + "0" * 64,
        "pullPolicy": "Always",
        "pullSecrets": ["ours", "theirs"],
    },
    "commonLabels": {"team": "research"},
    "rbac": {"namespaced": ["a", "b"]},
    "serviceAccount": {"name": "boss", "annotations": {"why": "test"}},
    "operator": {
        "logFormat": "text",
        "logLevel": "DEBUG",
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "system", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "podLabels": {"more": "labels"},
        "podAnnotations": {"more": "annotations"},
    },
    "hostPaths": True,
    "lowPriority": {"nodeSelector": {"pool": "spot"}, "tolerations": [{"key": "spot", "operator": "Exists"}]},
    "metrics": {
        "port": 9999,
        "service": {"annotations": {"scrape": "true"}},
        "serviceMonitor": {"create": True, "labels": MONITORED},
        "dashboard": {"create": True, "namespace": "grafana", "annotations": {"grafana_folder": "Batch"}},
        "prometheusRule": {"create": True, "labels": MONITORED},
    },
    "networkPolicy": {"metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]},
    "podDisruptionBudget": {"create": True, "maxUnavailable": "50%"},
}
LEAST = {
    "crds": {"install": False},
    "rbac": {"create": False},
    "serviceAccount": {"create": False},
    "operator": {"runAsUser": None},
    "placeholder": {"priorityClass": {"create": False, "name": ""}},
    "lowPriority": {"priorityClass": {"create": False, "name": ""}, "tolerations": []},
    "metrics": {"service": {"create": False}},
    "networkPolicy": {"create": False},
}
VALUES = {"defaults": {}, "everything": EVERYTHING, "least": LEAST}
per_values = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)


@pytest.fixture(scope="session")
def chart():
    with helm.Chart.load(CHART) as chart:
        yield chart


@pytest.fixture
def render(chart):
    """Render with values; the objects by kind and name."""

    def render(values=None, **options):
        texts = chart.render(values or {}, name="longshore", namespace=NAMESPACE, **options)
        objects = [
            each for name, text in texts.items() if name.endswith(".yaml") for each in yaml.safe_load_all(text) if each
        ]
        found = {
            (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): each for each in objects
        }
        assert len(found) == len(objects), "two objects of one name"
        return found

    return render


def of(found, kind):
    return [each for (of_kind, _, _), each in found.items() if of_kind == kind]


def pod_spec(found):
    (deployment,) = of(found, "Deployment")
    return deployment["spec"]["template"]["spec"]


def environment(found):
    (container,) = pod_spec(found)["containers"]
    return {each["name"]: each["value"] for each in container["env"]}


# --- the chart itself -----------------------------------------------------------------------------------------------


@per_values
def test_lint_finds_nothing(values):
    report = helm.lint(CHART, values, strict=True)
    assert report["errors"] == []
    assert [each for each in report["messages"] if each["error"] != "icon is recommended"] == []


def test_lint_finds_what_is_wrong(tmp_path):
    broken = tmp_path / "longshore"
    broken.mkdir()
    (broken / "Chart.yaml").write_text("apiVersion: v2\nname: longshore\n")
    assert helm.lint(broken)["errors"]


def leaves(schema, path=()):
    if "properties" not in schema:
        yield path
    for name, each in schema.get("properties", {}).items():
        yield from leaves(each, (*path, name))


def values_at(values, path):
    for name in path:
        assert name in values, f"{'.'.join(path)} has no default in values.yaml"
        values = values[name]
    return values


def test_every_value_of_the_schema_has_a_default_and_no_other_is_taken():
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    for path in leaves(schema):
        if path not in {("global",), ("operator", "resources", "requests"), ("operator", "resources", "limits")}:
            values_at(defaults, path)

    def strict(part):
        if "properties" in part:
            assert part["additionalProperties"] is False
        for each in part.get("properties", {}).values():
            strict(each)

    strict(schema)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"imag": {}}, "additional properties 'imag' not allowed"),
        ({"image": {"tagg": "1"}}, "at '/image': additional properties 'tagg' not allowed"),
        ({"image": {"pullPolicy": "Sometimes"}}, "at '/image/pullPolicy': value must be one of 'Always'"),
        ({"image": {"digest": "abc"}}, "at '/image/digest'"),
        ({"hostPaths": "yes"}, "at '/hostPaths': got string, want boolean"),
        ({"rbac": {"namespaced": ["Upper"]}}, "at '/rbac/namespaced/0'"),
        ({"operator": {"logFormat": "xml"}}, "at '/operator/logFormat'"),
        ({"operator": {"runAsUser": 0}}, "at '/operator/runAsUser'"),
        ({"placeholder": {"priorityClass": {"value": 10}}}, "at '/placeholder/priorityClass/value'"),
        ({"placeholder": {"priorityClass": {"name": ""}}}, "at '/placeholder/priorityClass"),
        ({"lowPriority": {"tolerations": [{"kee": "x"}]}}, "at '/lowPriority/tolerations/0'"),
        ({"metrics": {"port": 8080}}, "at '/metrics/port'"),
    ],
)
def test_a_value_that_is_wrong_is_refused_and_named(render, values, said):
    with pytest.raises(helm.HelmError) as caught:
        render(values)
    assert said in str(caught.value)


def test_a_service_monitor_without_a_service_is_refused(render):
    with pytest.raises(helm.HelmError, match=r"metrics.serviceMonitor.create is true: it needs metrics.service.create"):
        render({"metrics": {"service": {"create": False}, "serviceMonitor": {"create": True}}})


# --- the operator that it installs ----------------------------------------------------------------------------------


def breaches(pod):
    """Yield what Pod Security's profile "restricted" would refuse."""
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield key
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    for volume in pod.get("volumes", []):
        if volume.keys() - {"name"} - allowed:
            yield f"volume {volume['name']}"
    shared = pod.get("securityContext", {})
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        own = container.get("securityContext", {})
        context = {**shared, **own}
        capabilities = own.get("capabilities", {})
        rules = {
            "runs as root": context.get("runAsNonRoot") is True and context.get("runAsUser", 1) != 0,
            "seccomp": context.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost"),
            "escalates": own.get("allowPrivilegeEscalation") is False and not own.get("privileged"),
            "capabilities": capabilities.get("drop") == ["ALL"]
            and set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"},
            "host ports": not any("hostPort" in each for each in container.get("ports", [])),
        }
        yield from (f"{container['name']}: {rule}" for rule, kept in rules.items() if not kept)


@per_values
def test_every_pod_is_restricted_and_cannot_write_its_root(render, values):
    pod = pod_spec(render(values))
    assert list(breaches(pod)) == []
    assert all(each["securityContext"]["readOnlyRootFilesystem"] for each in pod["containers"])


def test_what_is_not_restricted_is_noticed():
    assert len(list(breaches({"containers": [{"name": "c", "ports": [{"hostPort": 1}]}], "hostPID": True}))) == 6


def read_variables():
    """Return the variables that the operator's settings read: what they are called in its source."""
    tree = ast.parse((ROOT / "operator" / "longshore_operator" / "settings.py").read_text())
    texts = {each.value for each in ast.walk(tree) if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    return {each for each in texts if each.startswith("LONGSHORE_") and each.replace("_", "").isalpha()}


@per_values
def test_the_operator_gets_each_of_its_settings_and_nothing_else(render, values):
    assert environment(render(values)).keys() == read_variables()
    assert len(read_variables()) == len(Settings.__dataclass_fields__)


def test_the_defaults_are_settings_that_the_operator_takes(render):
    settings = Settings.from_environment(environment(render()))
    assert settings.image == f"longshore/longshore:{__version__}"
    assert not settings.host_paths
    assert settings.default_image == "docker.io/library/python:3.11-slim"
    assert settings.placeholder_priority_class == "longshore-placeholder"
    assert settings.low_priority.priority_class_name == "longshore-lowpriority"
    assert [each["key"] for each in settings.low_priority.tolerations] == [
        "kubernetes.azure.com/scalesetpriority",
        "cloud.google.com/gke-spot",
    ]


def test_every_setting_can_be_set(render):
    assert Settings.from_environment(environment(render(EVERYTHING))) == Settings(
        image="registry.example/longshore:1.2.3@sha256:" + "0" * 64,
        pull_policy="Always",
        image_pull_secrets=("ours", "theirs"),
        host_paths=True,
        placeholder_priority_class="longshore-placeholder",
        scratch_size_limit="20Gi",
        coordinator_memory="1Gi",
        coordinator_memory_limit="3Gi",
        agent_memory_limit="500Mi",
        missing_reference_grace_seconds=0,
        default_image="registry.example/python:3.12",
        default_gpu_image="registry.example/cuda:12",
        builder_memory="1Gi",
        builder_memory_limit="8Gi",
        low_priority=LowPriority("longshore-lowpriority", {"pool": "spot"}, ({"key": "spot", "operator": "Exists"},)),
    )


def test_without_classes_pods_get_the_clusters_default(render):
    settings = Settings.from_environment(environment(render(LEAST)))
    assert (settings.placeholder_priority_class, settings.low_priority) == ("", LowPriority())
    assert of(render(LEAST), "PriorityClass") == []


def test_one_replica_is_recreated_and_needs_no_budget(render):
    found = render()
    (deployment,) = of(found, "Deployment")
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (1, {"type": "Recreate"})
    assert "affinity" not in pod_spec(found)
    assert of(found, "PodDisruptionBudget") == []


def test_several_replicas_are_spread_protected_and_replaced_one_by_one(render):
    found = render({"operator": {"replicas": 2}})
    (deployment,), (budget,) = of(found, "Deployment"), of(found, "PodDisruptionBudget")
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert budget["spec"]["maxUnavailable"] == 1
    (term,) = pod_spec(found)["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    selected = term["podAffinityTerm"]["labelSelector"]["matchLabels"]
    assert selected.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_an_affinity_of_the_installers_replaces_ours(render):
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}
    assert pod_spec(render({"operator": {"replicas": 2, "affinity": affinity}}))["affinity"] == affinity


@pytest.mark.parametrize("values", [{}, {"rbac": {"namespaced": [NAMESPACE]}}, EVERYTHING], ids=["all", "own", "some"])
def test_the_lease_that_the_operator_holds_is_the_one_it_may_hold(render, values):
    found = render(values)
    (container,), (deployment,) = pod_spec(found)["containers"], of(found, "Deployment")
    (lease,) = [each.partition("=")[2] for each in container["args"] if each.startswith("--lease=")]
    namespace, _, name = lease.partition("/")
    (role,) = [each for each in of(found, "Role") if each["metadata"]["name"] == f"{name}-leader"]
    assert (role["metadata"]["namespace"], name) == (namespace, deployment["metadata"]["name"])
    granted = {verb: rule.get("resourceNames") for rule in role["rules"] for verb in rule["verbs"]}
    assert granted == {"create": None, "get": [name], "update": [name]}
    assert {(*rule["apiGroups"], *rule["resources"]) for rule in role["rules"]} == {("coordination.k8s.io", "leases")}
    (binding,) = [each for each in of(found, "RoleBinding") if each["metadata"]["name"] == f"{name}-leader"]
    assert binding["subjects"][0]["name"] == pod_spec(found)["serviceAccountName"]


def test_what_selects_the_pod_matches_its_labels(render):
    found = render(EVERYTHING)
    (deployment,) = of(found, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    (service,), (policy,), (budget,) = (of(found, each) for each in ("Service", "NetworkPolicy", "PodDisruptionBudget"))
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        policy["spec"]["podSelector"]["matchLabels"],
        budget["spec"]["selector"]["matchLabels"],
    ]
    for each in selectors:
        assert each.items() <= labels.items()
    (monitor,) = of(found, "ServiceMonitor")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert MONITORED.items() <= monitor["metadata"]["labels"].items()
    assert labels[names.APP_NAME] == names.OPERATOR  # whom the coordinators' NetworkPolicies let in


def test_ports_have_the_protocol_that_old_servers_want_in_what_is_applied(render):
    found = render(EVERYTHING)
    (service,), (container,) = of(found, "Service"), pod_spec(found)["containers"]
    assert {each["protocol"] for each in [*service["spec"]["ports"], *container["ports"]]} == {"TCP"}


# --- its rights -----------------------------------------------------------------------------------------------------


def watching(found, kind):
    """Return the roles, or their bindings, that are about namespaces which are watched: all but the leader's."""
    return [each for each in of(found, kind) if not each["metadata"]["name"].endswith("-leader")]


def test_the_whole_cluster_is_watched_with_one_cluster_role(render):
    found = render()
    assert [len(of(found, each)) for each in ("ClusterRole", "ClusterRoleBinding")] == [1, 1]
    assert [watching(found, each) for each in ("Role", "RoleBinding")] == [[], []]
    (container,) = pod_spec(found)["containers"]
    assert not [each for each in container["args"] if each.startswith("--namespace")]


def test_some_namespaces_are_watched_with_a_role_in_each(render):
    found = render(EVERYTHING)
    assert [len(of(found, each)) for each in ("ClusterRole", "ClusterRoleBinding")] == [0, 0]
    assert {each["metadata"]["namespace"] for each in watching(found, "Role")} == {"a", "b"}
    assert {each["metadata"]["namespace"] for each in watching(found, "RoleBinding")} == {"a", "b"}
    (container,) = pod_spec(found)["containers"]
    assert [each for each in container["args"] if each.startswith("--namespace")] == ["--namespace=a", "--namespace=b"]
    subject = {"kind": "ServiceAccount", "name": "boss", "namespace": NAMESPACE}
    assert [each["subjects"] for each in watching(found, "RoleBinding")] == [[subject], [subject]]
    assert pod_spec(found)["serviceAccountName"] == "boss"


def test_no_right_is_a_wildcard_and_all_roles_are_alike(render):
    (cluster_wide,) = of(render(), "ClusterRole")
    roles = watching(render(EVERYTHING), "Role")
    assert [each["rules"] for each in roles] == [cluster_wide["rules"]] * 2
    for rule in cluster_wide["rules"]:
        assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}


RECONCILED = {"pipelines", "pipelineruns", "parallelrunsteps", "scriptsteps", "transfersteps", "computeclusters"}
STEPS = {"parallelrunsteps", "scriptsteps", "transfersteps"}
REGISTERED = {"models", "datasets"}


@pytest.fixture
def rights(render):
    """Return the verbs that are granted, by resource, of our own group or of all others."""

    def rights(*, ours):
        (role,) = of(render(), "ClusterRole")
        granted = [
            (resource, set(rule["verbs"]))
            for rule in role["rules"]
            for resource in rule["resources"]
            if (rule["apiGroups"] == ["longshore.dev"]) is ours
        ]
        assert len(dict(granted)) == len(granted), "a resource in two rules"
        return dict(granted)

    return rights


def test_every_kind_that_has_a_definition_is_read(rights):
    granted = {name: verbs for name, verbs in rights(ours=True).items() if "/" not in name}
    assert {f"{name}.yaml" for name in granted} == texts().keys()
    assert all("list" in verbs for verbs in granted.values())
    assert all("watch" in verbs for verbs in granted.values())


def test_what_is_reconciled_or_registered_has_its_status_patched_and_nothing_else_of_it(rights):
    granted = {name: verbs for name, verbs in rights(ours=True).items() if "/" in name}
    assert granted == {f"{name}/status": {"patch"} for name in (*RECONCILED, *REGISTERED)}


def test_of_our_kinds_only_steps_are_changed_and_only_steps_and_runs_deleted(rights):
    granted = rights(ours=True)
    assert {name for name, verbs in granted.items() if "create" in verbs} == {*STEPS, *REGISTERED}
    assert {name for name, verbs in granted.items() if "patch" in verbs and "/" not in name} == STEPS
    assert {name for name, verbs in granted.items() if "delete" in verbs} == {*STEPS, "pipelineruns"}
    assert not {name for name, verbs in granted.items() if verbs & {"update", "deletecollection"}}


def test_what_is_kubernetes_own_is_made_and_deleted_and_never_changed(rights):
    for verbs in rights(ours=False).values():
        assert verbs <= {"get", "list", "watch", "create", "delete"}


def test_secrets_are_read_by_name_only(rights):
    assert rights(ours=False)["secrets"] == {"get", "create", "delete"}


# --- definitions ----------------------------------------------------------------------------------------------------


def test_the_charts_definitions_are_those_that_make_crds_writes():
    files = {each.name: each.read_text() for each in (CHART / "files" / "crds").iterdir()}
    assert files == texts(), "the chart's definitions are stale: run `make crds`"


def test_the_definitions_are_rendered_as_they_are_and_outlive_the_release(render):
    rendered = {each["metadata"]["name"]: each for each in of(render(), "CustomResourceDefinition")}
    files = [yaml.safe_load(each.read_text()) for each in (ROOT / "crds").iterdir()]
    assert rendered.keys() == {each["metadata"]["name"] for each in files}
    for each in files:
        found = rendered[each["metadata"]["name"]]
        assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
        assert found["spec"] == each["spec"]


def test_definitions_can_be_left_to_others(render):
    assert of(render(LEAST), "CustomResourceDefinition") == []
