"""Values of fields: numbers and switches from strings, sizes, ranges."""

from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from longshore_api.values import INT_MAX, Argument, Flag, Number, ProcessCount, Quantity, Whole, parse_size


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (1024, (1024, False)),
        ("1024", (1024, False)),
        ("1024KB", (1024 * 1024, True)),
        ("10MB", (10 * 1024**2, True)),
        ("10 mb", (10 * 1024**2, True)),
        ("1gB", (1024**3, True)),
    ],
)
def test_sizes_are_read_with_1024_based_units(written: int | str, meant: tuple[int, bool]):
    assert parse_size(written) == meant


@pytest.mark.parametrize("written", ["", "10XB", "MB", "1.5MB", "-1", 0, "0KB", True, "\u0661\u0660"])
def test_a_bad_size_is_refused_with_examples(written: int | str):
    with pytest.raises(ValueError, match="such as 1024, 1024KB, 10MB or 1GB"):
        parse_size(written)


def read(annotation: Any, value: Any) -> Any:
    return TypeAdapter(annotation).validate_python(value)


@pytest.mark.parametrize(("written", "meant"), [(5, 5), ("5", 5), (" 10 ", 10), ("-1", -1), (INT_MAX, INT_MAX)])
def test_whole_numbers_come_as_numbers_or_strings(written: Any, meant: int):
    assert read(Annotated[int, Whole(-1)], written) == meant


@pytest.mark.parametrize("written", [True, False, None, 2.0, "2.0", "", "five", "1_0", [1], "9" * 5000])
def test_what_is_no_whole_number_is_refused(written: Any):
    with pytest.raises(ValidationError, match="must be a whole number, 1 or more"):
        read(Annotated[int, Whole(1)], written)


def test_a_number_beyond_the_maximum_is_answered_with_the_maximum():
    with pytest.raises(ValidationError, match=f"must be at most {INT_MAX}"):
        read(Annotated[int, Whole(1)], str(INT_MAX + 1))


def test_auto_is_a_process_count_and_other_words_are_not():
    assert read(ProcessCount, "auto") == "auto"
    assert read(ProcessCount, "2") == 2
    with pytest.raises(ValidationError, match="or auto"):
        read(ProcessCount, "all")


@pytest.mark.parametrize(("written", "meant"), [(0, 0.0), ("2.5", 2.5), (100, 100.0), ("100", 100.0)])
def test_numbers_come_as_numbers_or_strings(written: Any, meant: float):
    assert read(Annotated[float, Number(0, 100)], written) == meant


@pytest.mark.parametrize("written", [-1, 100.1, "101", "ten", "nan", float("nan"), True, None])
def test_numbers_outside_their_range_are_refused(written: Any):
    with pytest.raises(ValidationError, match="must be a number from 0 to 100"):
        read(Annotated[float, Number(0, 100)], written)


@pytest.mark.parametrize(("written", "meant"), [(True, True), (False, False), ("true", True), ("False", False)])
def test_flags_come_as_booleans_or_words(written: Any, *, meant: bool):
    assert read(Flag, written) is meant


@pytest.mark.parametrize("written", [1, 0, "yes", "", None])
def test_what_is_no_flag_is_refused(written: Any):
    with pytest.raises(ValidationError, match="must be true or false"):
        read(Flag, written)


@pytest.mark.parametrize("written", [5, 0.5, False, -1, None, 1e3])
def test_arguments_are_strings_because_others_have_lost_their_text(written: Any):
    assert read(Argument, "--a") == "--a"
    with pytest.raises(ValidationError, match=r'must be a string: put it in quotes, as in "1\.10"'):
        read(Argument, written)


@pytest.mark.parametrize(("written", "meant"), [(2, "2"), ("500m", "500m"), ("4Gi", "4Gi"), (0.5, "0.5")])
def test_quantities_are_those_of_kubernetes(written: Any, meant: str):
    assert read(Quantity, written) == meant


@pytest.mark.parametrize("written", [True, "4 GB", "4GB", "", None])
def test_what_is_no_quantity_is_refused(written: Any):
    with pytest.raises(ValidationError, match="500m or 4Gi"):
        read(Quantity, written)
