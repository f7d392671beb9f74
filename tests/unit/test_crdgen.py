"""From models to structural schemas, and to files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import Field

from longshore_api.base import Fields, keyed_by
from longshore_api.crdgen.__main__ import HEADER, main
from longshore_api.crdgen.definitions import definitions
from longshore_api.crdgen.schema import observed, structural
from longshore_api.data import DatasetSpec
from longshore_api.pipeline import OrReference
from longshore_api.values import (
    Anything,
    FileName,
    Flag,
    FreeForm,
    ProcessCount,
    Quantity,
    Size,
    Whole,
)


class Part(Fields):
    """What a part is.

    At length.
    """

    name: str
    """Its name."""
    count: int = 1
    """How many."""


class Whole_(Fields):  # noqa: N801, for Whole is a kind of value
    """A whole."""

    part: Part
    """Its part."""
    other: Part | None = None
    """Another part, described over
    two lines."""
    parts: Annotated[list[Part], Field(json_schema_extra=keyed_by("name"))] = Field(default_factory=list)
    """Its parts."""
    by_name: dict[str, Part] = Field(default_factory=dict)
    """Its parts by name."""
    kind: Literal["whole"] = "whole"
    """Its kind."""
    size: Literal["small", "large"] | None = None
    """Its size."""
    note: str = ""
    """Free text."""
    title: str = "none"
    """A field that is called as a keyword."""


PART = {
    "description": "What a part is. At length.",
    "type": "object",
    "properties": {
        "name": {"description": "Its name.", "type": "string"},
        "count": {"description": "How many.", "type": "integer", "default": 1},
    },
    "required": ["name"],
}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return structural(Whole_)


def test_references_are_put_in_place(schema: dict[str, Any]):
    assert schema["properties"]["part"] == {**PART, "description": "Its part."}
    assert schema["properties"]["parts"]["items"] == PART
    assert schema["properties"]["byName"]["additionalProperties"] == PART


def test_what_may_be_null_may_be_absent(schema: dict[str, Any]):
    assert schema["properties"]["other"] == {**PART, "description": "Another part, described over two lines."}
    assert schema["properties"]["size"] == {"description": "Its size.", "type": "string", "enum": ["small", "large"]}
    assert schema["required"] == ["part"]


def test_a_constant_is_the_only_value(schema: dict[str, Any]):
    expected = {"description": "Its kind.", "type": "string", "enum": ["whole"], "default": "whole"}
    assert schema["properties"]["kind"] == expected


def test_a_default_that_states_no_more_than_absence_is_left_out(schema: dict[str, Any]):
    assert "default" not in schema["properties"]["note"]


def test_a_field_may_be_called_as_a_keyword(schema: dict[str, Any]):
    assert schema["properties"]["title"]["default"] == "none"


def test_unknown_fields_are_left_to_pruning(schema: dict[str, Any]):
    assert "additionalProperties" not in schema


def test_a_rule_stands_wherever_its_model_does():
    class Holder(Fields):
        """Holds data."""

        data: DatasetSpec
        """Files or rows."""

    (rule,) = structural(Holder)["properties"]["data"]["x-kubernetes-validations"]
    assert rule["message"] == "must have exactly one of file and tabular"
    assert structural(DatasetSpec)["x-kubernetes-validations"] == [rule]


def test_a_status_keeps_only_the_keys_of_its_lists_required():
    status = observed(Whole_)
    assert "required" not in status
    assert status["properties"]["parts"]["items"]["required"] == ["name"]
    assert "required" not in status["properties"]["part"]
    assert "default" not in status["properties"]["part"]["properties"]["count"]
    assert "default" not in status["properties"]["byName"]["additionalProperties"]["properties"]["count"]


@pytest.mark.parametrize(
    ("annotation", "sentence"),
    [
        (tuple[int, str], r"Refused\.field: a structural schema has no prefixItems"),
        (int | str, r"Refused\.field: a structural schema has no union but integer-or-string"),
        (list[int | str], r"Refused\.field\.items: a structural schema has no union"),
        (Annotated[int, Field(gt=1)], r"Refused\.field: a structural schema has no exclusiveMinimum"),
    ],
    ids=str,
)
def test_what_no_structural_schema_can_express_is_refused_by_name(annotation: Any, sentence: str):
    class Refused(Fields):
        """Has a field of the wrong kind."""

        field: annotation
        """The field."""

    with pytest.raises(ValueError, match=sentence):
        structural(Refused)


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Annotated[int, Whole(1, 9)], {"pattern": "^([+-]?[0-9]{1,18})$", "minimum": 1, "maximum": 9}),
        (ProcessCount, {"pattern": "^([+-]?[0-9]{1,18}|auto)$", "minimum": 1, "maximum": 2147483647}),
        (Size, {"pattern": "^([0-9]{1,18} *([kKmMgG][bB])?)$", "minimum": 1}),
        (Quantity, {"pattern": r"^([0-9]+(\.[0-9]+)?([numkMGTPE]|[KMGTPE]i)?)$", "minimum": 0}),
    ],
    ids=["whole", "process-count", "size", "quantity"],
)
@pytest.mark.parametrize("optional", [False, True], ids=["required", "optional"])
def test_a_number_or_its_spelling(annotation: Any, expected: dict[str, Any], *, optional: bool):
    class Holder(Fields):
        """Holds a number."""

        number: annotation | None if optional else annotation
        """The number."""

    found = structural(Holder)["properties"]["number"]
    either = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
    assert found == {"description": "The number.", **either, **expected}


OPEN = {"x-kubernetes-preserve-unknown-fields": True}


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Anything, OPEN),
        (FreeForm, {"type": "object", **OPEN}),
    ],
    ids=["anything", "free-form"],
)
@pytest.mark.parametrize("optional", [False, True], ids=["required", "optional"])
def test_what_only_the_models_know_is_left_open(annotation: Any, expected: dict[str, Any], *, optional: bool):
    class Holder(Fields):
        """Holds a value."""

        value: annotation | None if optional else annotation
        """The value."""

    assert structural(Holder)["properties"]["value"] == {"description": "The value.", **expected}


REFERENCE = r"^\$\(parameters\.[^()]*\)$"


@pytest.mark.parametrize(
    ("annotation", "default", "expected"),
    [
        (Flag, True, {**OPEN, "pattern": REFERENCE, "default": True}),
        (
            Annotated[int, Whole(0, 9)],
            0,
            {
                "x-kubernetes-int-or-string": True,
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                "pattern": f"^([+-]?[0-9]{{1,18}})$|{REFERENCE}",
                "minimum": 0,
                "maximum": 9,
                "default": 0,
            },
        ),
    ],
    ids=["flag", "whole"],
)
def test_a_value_may_be_a_reference_to_a_parameter(annotation: Any, default: Any, expected: dict[str, Any]):
    class Holder(Fields):
        """Holds a value."""

        value: Annotated[annotation, OrReference] = default
        """The value."""
        other: Annotated[annotation, OrReference] | None = None
        """Another one."""

    fields = structural(Holder)["properties"]
    assert fields["value"] == {"description": "The value.", **expected}
    undefaulted = {key: each for key, each in expected.items() if key != "default"}
    assert fields["other"] == {"description": "Another one.", **undefaulted}
    read = Holder.model_validate({"value": "$(parameters.a)", "other": "$(parameters.b)"})
    assert (read.value, read.other) == ("$(parameters.a)", "$(parameters.b)")


def test_a_value_whose_schema_cannot_express_references_is_refused():
    class Refused(Fields):
        """Has a field of the wrong kind."""

        field: Annotated[list[str], OrReference]
        """The field."""

    with pytest.raises(ValueError, match=r"a structural schema cannot express .* or a reference"):
        structural(Refused)


@pytest.mark.parametrize(("name", "good"), [(".", False), ("..", False), (".a", True), ("..a", True), ("...", True)])
def test_a_file_may_be_named_with_dots_but_not_as_a_folder_is(name: str, *, good: bool):
    class Holder(Fields):
        """Holds a name."""

        name: FileName
        """The name."""

    if good:
        assert Holder.model_validate({"name": name}).name == name
    else:
        with pytest.raises(ValueError, match="must be a file name without folders"):
            Holder.model_validate({"name": name})


def test_the_command_writes_a_file_for_each_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["crdgen", str(tmp_path)])
    main()
    written = {each.stem: each.read_text() for each in tmp_path.iterdir()}
    assert {plural: yaml.safe_load(text) for plural, text in written.items()} == definitions()
    assert all(text.startswith(HEADER) for text in written.values())
    assert not any("&id" in text or "*id" in text for text in written.values())
