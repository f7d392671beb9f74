"""Filling $(parameters.NAME) in documents."""

from typing import Any

import pytest

from longshore_api import InvalidDocuments
from longshore_planner.parameters import RawDocument, fill


def raw(content: Any) -> RawDocument:
    return RawDocument("steps.yaml document 1", "/work", content)


def filled(content: Any, **values: str) -> Any:
    (document,) = fill([raw(content)], values)
    return document.content


def sentences(content: Any, **values: str) -> list[str]:
    with pytest.raises(InvalidDocuments) as caught:
        fill([raw(content)], values)
    return [each.sentence for each in caught.value.problems]


@pytest.mark.parametrize(
    ("content", "result"),
    [
        ("$(parameters.size)", "5"),
        ("a-$(parameters.size)-$(parameters.other_one)-b", "a-5-x-b"),
        ({"a": ["$(parameters.size)", 3, None, True]}, {"a": ["5", 3, None, True]}),
        ("$(inputs.mnist)", "$(inputs.mnist)"),
        ("$parameters.size", "$parameters.size"),
    ],
)
def test_references_are_replaced_wherever_they_stand_in_a_string_value(content: Any, result: Any):
    everything = {"spec": content, "used": "$(parameters.size)$(parameters.other_one)"}
    assert filled(everything, size="5", other_one="x")["spec"] == result


def test_keys_are_left_alone_and_values_are_not_filled_again():
    content = {"$(parameters.a)": "$(parameters.a)"}
    assert filled(content, a="$(parameters.b)") == {"$(parameters.a)": "$(parameters.b)"}


def test_a_reference_without_a_value_names_document_and_field():
    content = {"kind": "Dataset", "metadata": {"name": "x"}, "spec": {"file": {"paths": ["a", "$(parameters.p)/b"]}}}
    assert sentences(content) == [
        (
            "steps.yaml document 1, Dataset/x: spec.file.paths[1] refers to the parameter p, which has no value; "
            "pass it with -p p=VALUE"
        )
    ]


def test_a_value_that_nothing_refers_to_names_those_that_are_referred_to():
    assert sentences(["$(parameters.a)", "$(parameters.b)"], a="1", b="2", c="3") == [
        "-p c: no document refers to $(parameters.c); parameters referred to: a and b"
    ]
    assert sentences([], c="3") == ["-p c: no document refers to $(parameters.c); parameters referred to: none"]
