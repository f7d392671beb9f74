"""Environments of steps on a cluster: which image their pods run, and what is installed on top of it."""

import pytest
from manifests import cluster_step, resource

from longshore_api.errors import InvalidDocuments
from longshore_api.validation import parse
from longshore_planner.catalogue import Document, gather
from longshore_planner.cluster.environments import DefaultImages
from longshore_planner.cluster.step_runs import ClusterRun, resolve_on_cluster

IMAGES = DefaultImages("python:3.11-slim", "cuda:12")
AROUND = (
    resource("Dataset", "images", {"file": {"paths": ["in/*.png"]}}),
    resource("Datastore", "data", {"uri": "pvc:claim/base", "default": True}),
    resource("ComputeCluster", "gpus", {"gpu": {"count": 1}}),
    resource("ComputeCluster", "arm", {"nodeSelector": {"kubernetes.io/arch": "arm64"}}),
)


def resolved(environment, *, images=IMAGES, **step):
    given = resource("ParallelRunStep", "score", cluster_step(**step)), resource("Environment", "scikit", environment)
    documents = [Document(f"{raw['kind']}/{raw['metadata']['name']}", "/", parse(raw)) for raw in (*AROUND, *given)]
    run = resolve_on_cluster(
        gather(documents), namespace="n", uid="0f8a7c52-1", generation=1, host_paths=False, images=images
    )
    assert ClusterRun.from_json(run.to_json()) == run
    return run.provision


@pytest.mark.parametrize(
    ("environment", "images", "step", "image"),
    [
        ({}, IMAGES, {}, "python:3.11-slim"),
        ({}, IMAGES, {"computeTarget": "gpus"}, "cuda:12"),
        ({}, DefaultImages("python:3.11-slim"), {"computeTarget": "gpus"}, "python:3.11-slim"),
        ({"image": "own:1"}, IMAGES, {"computeTarget": "gpus"}, "own:1"),
        ({"packages": {"pip": ["numpy"]}}, IMAGES, {}, "python:3.11-slim"),
    ],
)
def test_an_environment_without_an_image_has_that_of_the_installation(environment, images, step, image):
    assert resolved(environment, images=images, **step).image == image


@pytest.mark.parametrize("environment", [{}, {"packages": {"pip": ["numpy"]}}])
def test_without_both_the_step_is_refused_with_the_remedies(environment):
    with pytest.raises(InvalidDocuments) as caught:
        resolved(environment, images=DefaultImages())
    (problem,) = caught.value.problems
    rule = "is missing; set the script's image, or defaultImage in the values of Longshore's chart"
    assert problem.sentence == f"Environment/scikit: spec.image {rule}"


def test_packages_are_frozen_with_the_place_of_their_archive():
    packed = resolved({"packages": {"pip": ["scikit-learn", "pillow"]}, "python": "python3"}).environment
    assert packed is not None
    assert packed.packages.requirements == ("pillow", "scikit-learn")
    assert (packed.name, packed.interpreter, packed.architecture) == ("scikit", "python3", "")
    folder, _, digest = packed.uri.rpartition("/")
    assert folder == "/mnt/longshore/claim/claim/base/longshore/environments"
    assert len(digest) == len(packed.key) == 32


def test_nodes_of_another_architecture_have_an_archive_of_their_own():
    packages = {"packages": {"pip": ["numpy"]}}
    arm, other = (resolved(packages, computeTarget=each).environment for each in ("arm", "gpus"))
    assert arm is not None
    assert other is not None
    assert arm.architecture == "arm64"
    assert arm.uri != other.uri


def test_an_environment_without_packages_needs_no_builder():
    provision = resolved({"image": "own:1", "python": "python3"})
    assert (provision.environment, provision.script_interpreter) == (None, "python3")


def test_a_line_that_is_not_supported_is_refused():
    with pytest.raises(InvalidDocuments) as caught:
        resolved({"packages": {"pip": ["./wheel.whl"]}})
    assert "spec.packages.pip[0]" in caught.value.problems[0].sentence
