"""What tells one plan from another."""

import json
from dataclasses import replace

import pytest

from longshore_coordinator.enumerate import CHUNK, PlanDigest, Slice, plan_difference, plan_settings
from longshore_protocol.job import Input, Job, MiniBatchSize, Output, TabularFormat

JOB = Job(
    "step",
    "1",
    "/run",
    (Input("mnist", ("/in",)), Input("rows", ("/rows",), tabular=TabularFormat("csv"))),
    MiniBatchSize("files", 10),
    Output("append_row", "/out"),
    "/code",
    "main.py",
)


def slices(count: int, **renamed: str) -> list[Slice]:
    """Return `count` slices of one file each; s7="x" gives the one of number 7 the file "x"."""
    return [Slice(0, 1, json.dumps([renamed.get(f"s{number}", f"/in/{number}")]).encode()) for number in range(count)]


def digest(items: list[Slice], *, ended: bool = True) -> PlanDigest:
    made = PlanDigest()
    for each in items:
        made.add(each)
    if ended:
        made.final()
    return made


def plan(items: list[Slice], *, ended: bool = True, job: Job = JOB) -> dict:
    made = digest(items, ended=ended)
    return {"settings": plan_settings(job), "chunks": made.chunks, "count": made.count if ended else None}


def test_a_digest_is_noted_for_each_chunk_with_its_first_path():
    made = digest(slices(CHUNK), ended=False)
    assert [first for _, first in made.chunks] == ["/in/0"]
    made = digest([*slices(CHUNK), Slice(1, None, b'{"path":"/rows/a","start":0,"end":9}')])
    assert [first for _, first in made.chunks] == ["/in/0", "/rows/a"]
    assert made.count == CHUNK + 1
    assert made.chunks[-1][0] == made.final()


def test_an_empty_plan_has_a_digest_and_no_chunk():
    assert digest([]).chunks == []
    assert len(digest([]).final()) == 64


@pytest.mark.parametrize(
    "other",
    [
        slices(2),
        slices(3, s1="/in/x"),
        [*slices(2), Slice(1, 1, slices(3)[2].payload)],
        list(reversed(slices(3))),
    ],
    ids=["fewer", "another file", "another input", "another order"],
)
def test_plans_that_differ_have_different_digests(other):
    assert digest(slices(3)).final() == digest(slices(3)).final()
    assert digest(slices(3)).final() != digest(other).final()


def test_equal_plans_have_no_difference_through_json_too():
    now = plan(slices(1500))
    assert plan_difference(now, now) is None
    assert plan_difference(json.loads(json.dumps(now)), now) is None


def test_plans_that_are_not_cut_to_their_end_are_compared_as_far_as_they_go():
    assert plan_difference(plan(slices(2500), ended=False), plan(slices(2600))) is None
    assert plan_difference(plan(slices(2500)), plan(slices(1000), ended=False)) is None
    changed = plan_difference(plan(slices(2500, s5="/in/5a"), ended=False), plan(slices(2600)))
    assert changed == 'The files changed between mini-batch 0 and 999, of which the first file was "/in/0".'


def test_a_setting_is_named_first_with_both_values():
    now = plan(slices(3, s0="/in/x"), job=replace(JOB, mini_batch=MiniBatchSize("files", 5)))
    assert plan_difference(plan(slices(3)), now) == 'The setting "mini-batch size" was "10 files" and is "5 files" now.'


def test_settings_inside_settings_are_named_by_their_path():
    stored = {"settings": {"output": {"format": "csv", "header": True}}, "chunks": [], "count": 0}
    now = {"settings": {"output": {"format": "csv"}}, "chunks": [], "count": 0}
    assert plan_difference(stored, now) == 'The setting "output.header" was true and is null now.'


def test_the_settings_of_a_plan_tell_what_changes_its_mini_batches_and_rows():
    changed = [
        replace(JOB, inputs=JOB.inputs[:1]),
        replace(JOB, inputs=(JOB.inputs[0], replace(JOB.inputs[1], tabular=TabularFormat("csv", separator=";")))),
        replace(JOB, output=Output("summary_only", "/out")),
        replace(JOB, output=Output("append_row", "/out", format="csv")),
        replace(JOB, output=Output("append_row", "/out", header=True)),
        replace(JOB, output=Output("append_row", "/out", separator=";")),
    ]
    for other in changed:
        assert plan_settings(other) != plan_settings(JOB)
    assert plan_settings(replace(JOB, workers=7, max_tries=1, run_uri="/elsewhere")) == plan_settings(JOB)


def test_a_changed_chunk_is_named_with_its_first_file_then_and_now():
    found = plan_difference(plan(slices(2500)), plan(slices(2500, s1000="/in/new")))
    assert found == (
        'The files changed between mini-batch 1000 and 1999, of which the first file was "/in/1000" and is "/in/new" '
        "now."
    )


def test_another_number_of_mini_batches_is_told_when_nothing_else_differs():
    assert plan_difference(plan(slices(1000)), plan(slices(2000))) == "The plan had 1000 mini-batches and has 2000 now."


def test_a_long_value_is_cut_short():
    now = plan(slices(1), job=replace(JOB, inputs=(Input("mnist", tuple(f"/in/{n}" for n in range(500))),)))
    assert len(plan_difference(plan(slices(1)), now)) < 600
