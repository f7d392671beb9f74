"""The definitions in crds/ as a real API server takes them, and manifests as it takes or refuses them."""

import pytest
from bad_manifests import BY_KEY, BY_SCHEMA, is_named
from kube import words
from manifests import covers, manifest, of_data, of_documentation, of_examples, step

KINDS = [
    "computeclusters",
    "datasets",
    "datastores",
    "environments",
    "models",
    "parallelrunsteps",
    "pipelineruns",
    "pipelines",
    "scriptsteps",
    "transfersteps",
]
MANIFESTS = [pytest.param(raw, id=name) for name, raw in (*of_examples(), *of_documentation(), *of_data())]
REFUSED = [pytest.param(raw, field, id=f"{raw['kind']}-{field}") for raw, field in (*BY_SCHEMA, *BY_KEY)]


def without_namespace(raw):
    return {**raw, "metadata": {key: each for key, each in raw["metadata"].items() if key != "namespace"}}


# The definitions
def test_each_file_becomes_an_established_definition(kubectl, crds):
    assert crds == [f"{kind}.longshore.dev" for kind in KINDS]
    for each in crds:
        conditions = {c["type"]: c["status"] for c in kubectl.get("crd", each)["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}  # NonStructuralSchema would be a third


@pytest.mark.usefixtures("crds")
def test_each_kind_is_found_by_its_short_names_and_category(kubectl):
    listed = words(kubectl("api-resources", "--categories=longshore", "--no-headers"))
    short = {line[0]: line[1].split(",") for line in listed}
    assert short == {
        "computeclusters": ["amlcompute"],
        "datasets": ["lsdata"],
        "datastores": ["lsstore"],
        "environments": ["lsenv"],
        "models": ["lsmodel"],
        "parallelrunsteps": ["prs", "parallelrun"],
        "pipelineruns": ["lsrun"],
        "pipelines": ["lspipeline"],
        "scriptsteps": ["lsscript"],
        "transfersteps": ["lstransfer"],
    }


@pytest.mark.parametrize(
    ("field", "explained"),
    [
        ("parallelrunstep.spec.miniBatchSize", "Files (file inputs, 10 if not given) or bytes such as 1024"),
        ("prs.spec.inputs.tabular.separator", "Character between fields (csv)."),
        ("prs.status.progress.miniBatches.total", "All mini-batches; absent until the inputs are listed completely."),
        ("amlcompute.spec.minNodes", "Nodes that are kept while no step runs."),
        ("lspipeline.spec.steps.retries", "Attempts after the first one failed."),
        ("lsrun.spec.retryOf", "Clusters only: a failed or cancelled PipelineRun to continue."),
        ("lsscript.spec.scriptName", "Path of the script below the source folder."),
        ("lstransfer.spec.destination", "Location and name of the copy."),
    ],
)
@pytest.mark.usefixtures("crds")
def test_kubectl_explains_a_field(kubectl, field, explained):
    def told():
        ended = kubectl.try_("explain", field)  # the server publishes a new definition's schema a little later
        return ended.returncode == 0 and " ".join(ended.stdout.split())

    assert explained in kubectl.eventually(told)


# Manifests
@pytest.mark.parametrize("raw", MANIFESTS)
def test_a_manifest_of_the_examples_and_tests_is_taken_and_loses_nothing(namespace, raw):
    namespace("create", "--filename=-", stdin=without_namespace(raw))
    kept = namespace.get(f"{raw['kind']}.longshore.dev", raw["metadata"]["name"])
    assert covers(kept["spec"], raw["spec"])


def test_what_is_not_given_gets_its_default(namespace):
    namespace("create", "--filename=-", stdin=manifest("ComputeCluster", {}))
    spec = namespace.get("amlcompute", "sample")["spec"]
    assert spec == {"vmPriority": "dedicated", "minNodes": 0, "maxNodes": 4, "idleSecondsBeforeScaleDown": 1800}


@pytest.mark.parametrize(("raw", "field"), REFUSED)
def test_a_bad_manifest_is_refused_by_the_server_with_its_fields_name(shared_namespace, raw, field):
    without_kubectls_own = ("create", "--validate=false", "--filename=-")
    ended = shared_namespace.try_(*without_kubectls_own, stdin=raw)
    assert ended.returncode != 0
    assert "is invalid" in ended.stderr
    assert is_named(field, ended.stderr), ended.stderr
    assert shared_namespace.get(f"{raw['kind']}.longshore.dev") == []


def test_a_misspelt_field_is_refused_by_kubectl_and_pruned_by_the_server(namespace):
    namespace.eventually(lambda: namespace.try_("explain", "prs.spec").returncode == 0)  # kubectl knows the fields
    ended = namespace.try_("create", "--validate=true", "--filename=-", stdin=step(nodeCounts=2))
    assert ended.returncode != 0
    assert "nodeCounts" in ended.stderr
    namespace("create", "--validate=false", "--filename=-", stdin=step(nodeCounts=2))
    assert "nodeCounts" not in namespace.get("prs", "sample")["spec"]
