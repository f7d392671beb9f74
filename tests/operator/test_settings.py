"""The environment of the operator: read once, refused with a sentence when it is not what it must be."""

import json

import pytest

from longshore_operator.settings import InvalidSettings, LowPriority, Settings

SPOT = {"key": "kubernetes.azure.com/scalesetpriority", "operator": "Equal", "value": "spot", "effect": "NoSchedule"}


def settings(**variables):
    return Settings.from_environment(
        {"LONGSHORE_IMAGE": "longshore:1"} | {f"LONGSHORE_{k}": v for k, v in variables.items()}
    )


def test_only_the_image_must_be_given():
    assert settings() == Settings(image="longshore:1")


def test_each_variable_is_read():
    low_priority = {"priorityClassName": "low", "nodeSelector": {"pool": "spot"}, "tolerations": [SPOT]}
    found = settings(
        PULL_POLICY="Always",
        IMAGE_PULL_SECRETS="ours, theirs",
        HOST_PATHS="true",
        PLACEHOLDER_PRIORITY_CLASS="longshore-placeholder",
        LOW_PRIORITY=json.dumps(low_priority),
        SCRATCH_SIZE_LIMIT="20Gi",
        COORDINATOR_MEMORY="1Gi",
        COORDINATOR_MEMORY_LIMIT="3Gi",
        AGENT_MEMORY_LIMIT="500Mi",
        MISSING_REFERENCE_GRACE_SECONDS="0",
        DEFAULT_IMAGE="python:3.12",
        DEFAULT_GPU_IMAGE="cuda:12",
        BUILDER_MEMORY="1Gi",
        BUILDER_MEMORY_LIMIT="8Gi",
    )
    assert found == Settings(
        image="longshore:1",
        pull_policy="Always",
        image_pull_secrets=("ours", "theirs"),
        host_paths=True,
        placeholder_priority_class="longshore-placeholder",
        low_priority=LowPriority("low", {"pool": "spot"}, (SPOT,)),
        scratch_size_limit="20Gi",
        coordinator_memory="1Gi",
        coordinator_memory_limit="3Gi",
        agent_memory_limit="500Mi",
        missing_reference_grace_seconds=0,
        default_image="python:3.12",
        default_gpu_image="cuda:12",
        builder_memory="1Gi",
        builder_memory_limit="8Gi",
    )


def test_an_empty_variable_is_as_good_as_none():
    empty = ("PULL_POLICY", "IMAGE_PULL_SECRETS", "HOST_PATHS", "PLACEHOLDER_PRIORITY_CLASS", "LOW_PRIORITY")
    assert settings(**dict.fromkeys((*empty, "SCRATCH_SIZE_LIMIT"), "")) == Settings(image="longshore:1")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("IMAGE", "", "LONGSHORE_IMAGE is missing"),
        ("PULL_POLICY", "Sometimes", "LONGSHORE_PULL_POLICY is 'Sometimes': it must be one of IfNotPresent"),
        ("HOST_PATHS", "yes", "LONGSHORE_HOST_PATHS is 'yes': it must be one of false, true"),
        ("SCRATCH_SIZE_LIMIT", "lots", "LONGSHORE_SCRATCH_SIZE_LIMIT is 'lots': it must be an amount of bytes"),
        ("COORDINATOR_MEMORY", "much", "LONGSHORE_COORDINATOR_MEMORY is 'much': it must be an amount of bytes"),
        ("COORDINATOR_MEMORY_LIMIT", "-1Gi", "LONGSHORE_COORDINATOR_MEMORY_LIMIT is '-1Gi'"),
        ("AGENT_MEMORY_LIMIT", "64 Mi", "LONGSHORE_AGENT_MEMORY_LIMIT is '64 Mi'"),
        ("MISSING_REFERENCE_GRACE_SECONDS", "10m", "LONGSHORE_MISSING_REFERENCE_GRACE_SECONDS is '10m'"),
        ("MISSING_REFERENCE_GRACE_SECONDS", "-1", "it must be a whole number of seconds, such as 600"),
        ("SCRATCH_SIZE_LIMIT", "0", "LONGSHORE_SCRATCH_SIZE_LIMIT is '0'"),
        ("LOW_PRIORITY", "{", "LONGSHORE_LOW_PRIORITY is invalid: "),
        ("LOW_PRIORITY", "[]", "must be an object"),
        ("LOW_PRIORITY", '{"priorityClass": "x"}', "has an unknown field: priorityClass"),
        ("LOW_PRIORITY", '{"priorityClassName": 1}', "priorityClassName must be a string, not 1"),
        ("LOW_PRIORITY", '{"nodeSelector": {"spot": true}}', "nodeSelector must be an object of strings"),
        ("LOW_PRIORITY", '{"tolerations": {}}', "tolerations must be a list"),
        ("LOW_PRIORITY", '{"tolerations": ["spot"]}', "each of tolerations must be an object, not 'spot'"),
        ("LOW_PRIORITY", '{"tolerations": [{"kee": "spot"}]}', "tolerations has an unknown field: kee"),
        ("LOW_PRIORITY", '{"tolerations": [{"effect": "NoWay"}]}', "effect of tolerations must be one of NoExecute,"),
        ("LOW_PRIORITY", '{"tolerations": [{"tolerationSeconds": "1"}]}', "must be of type int, not '1'"),
    ],
)
def test_what_is_wrong_is_named_with_its_rule(name, value, said):
    with pytest.raises(InvalidSettings) as caught:
        settings(**{name: value})
    assert said in str(caught.value)
