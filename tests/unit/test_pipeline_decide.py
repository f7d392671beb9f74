"""What a run does next, as tables: start, reuse, retry, skip, stop, and how it ends."""

import time
from dataclasses import replace

import pytest
from pipelines import frozen, script

from longshore_planner.pipelines.decide import decide, predict
from longshore_planner.pipelines.frozen import Options
from longshore_planner.pipelines.history import EarlierStep, History
from longshore_planner.pipelines.records import Origin, Outcome, Record, ended, resumed

NOW = 1000.0
#   prepare -> train -> compare
#           `-> describe
STEPS = (script("prepare"), script("train", "prepare"), script("compare", "train"), script("describe", "prepare"))
PIPELINE = frozen(*STEPS)


def states(decision):
    return {name: each.state for name, each in decision.records.items()}


def look(pipeline=PIPELINE, records=None, *, history=None, now=NOW, **options):
    return decide(pipeline, records or {}, history=history or History(), options=Options(**options), now=now)


def after(decision, *, pipeline=PIPELINE, now=NOW, **outcomes):
    """The records once steps have ended: "Succeeded", "Failed" and so on."""
    records = dict(decision.records)
    for name, state in outcomes.items():
        outcome = Outcome(state, state, f"{name} is {state}")
        records[name] = ended(records[name], outcome, outputs=pipeline.step(name).outputs, now=now)
    return records


def run_through(pipeline=PIPELINE, *, history=None, **options):
    """Everything succeeds."""
    decision = look(pipeline, history=history, **options)
    while decision.start:
        records = after(decision, pipeline=pipeline, **dict.fromkeys(decision.start, "Succeeded"))
        decision = look(pipeline, records, history=history, **options)
    return decision


def earlier(decision, *, run="run-1", ended=NOW):
    return [
        EarlierStep(Origin(run, each.name), "test", each.parts, each.outputs, ended)
        for each in decision.records.values()
        if each.state == "Succeeded" and each.reused_from is None
    ]


def test_what_needs_nothing_starts_and_all_else_waits():
    decision = look()
    assert decision.start == ("prepare",)
    assert states(decision) == {"prepare": "Running", "train": "Pending", "compare": "Pending", "describe": "Pending"}
    assert decision.verdict is None


def test_asked_again_nothing_is_started_twice():
    first = look()
    again = look(records=first.records)
    assert again.start == ()
    assert again.records == first.records


def test_steps_that_do_not_need_one_another_run_at_the_same_time():
    decision = look(records=after(look(), prepare="Succeeded"))
    assert set(decision.start) == {"train", "describe"}


def test_a_run_has_succeeded_once_every_step_has():
    decision = run_through()
    assert decision.verdict.reason == "Succeeded"
    assert set(states(decision).values()) == {"Succeeded"}


def test_after_a_failure_nothing_more_starts_and_what_runs_may_finish():
    both = look(records=after(look(), prepare="Succeeded"))
    failing = look(records=after(both, train="Failed"))
    assert failing.verdict is None
    assert states(failing) == {"prepare": "Succeeded", "train": "Failed", "compare": "Skipped", "describe": "Running"}
    over = look(records=after(failing, describe="Succeeded"))
    assert (over.verdict.reason, over.verdict.message) == ("StepFailed", "train failed: train is Failed")


def test_after_a_failure_a_step_that_could_run_is_not_started():
    pipeline = frozen(script("aaa"), script("bbb"), script("ccc", "bbb"))
    failing = look(pipeline, after(look(pipeline), pipeline=pipeline, aaa="Failed", bbb="Succeeded"))
    assert states(failing) == {"aaa": "Failed", "bbb": "Succeeded", "ccc": "Skipped"}
    assert failing.records["ccc"].message == "aaa failed"


def test_with_continue_on_step_failure_only_what_needs_the_failed_step_is_skipped():
    steps = (script("prepare"), script("train"), script("compare", "train"), script("describe", "prepare"))
    pipeline = frozen(*steps)
    failing = look(pipeline, after(look(pipeline), pipeline=pipeline, train="Failed"), continue_on_step_failure=True)
    assert states(failing)["compare"] == "Skipped"
    assert failing.records["compare"].message == "depends on train, which did not succeed"
    going_on = look(pipeline, after(failing, pipeline=pipeline, prepare="Succeeded"), continue_on_step_failure=True)
    assert going_on.start == ("describe",)
    over = look(pipeline, after(going_on, pipeline=pipeline, describe="Succeeded"), continue_on_step_failure=True)
    assert over.verdict.reason == "StepFailed"


def test_what_runs_after_a_skipped_step_is_skipped():
    pipeline = frozen(script("aaa"), script("bbb", "aaa"), script("ccc", runAfter=["bbb"]))
    decision = look(pipeline, after(look(pipeline), pipeline=pipeline, aaa="Failed"), continue_on_step_failure=True)
    assert states(decision) == {"aaa": "Failed", "bbb": "Skipped", "ccc": "Skipped"}


def test_a_failed_step_has_as_many_attempts_as_its_retries_allow():
    pipeline = frozen(script("only", retries=2))
    decision = look(pipeline)
    for attempt in (2, 3):
        decision = look(pipeline, after(decision, pipeline=pipeline, only="Failed"))
        assert (decision.start, decision.records["only"].attempts) == (("only",), attempt)
    over = look(pipeline, after(decision, pipeline=pipeline, only="Failed"))
    assert (over.start, over.verdict.reason) == ((), "StepFailed")


def test_while_a_step_has_attempts_left_what_needs_it_waits():
    pipeline = frozen(script("aaa", retries=1), script("bbb", "aaa"))
    decision = look(pipeline, after(look(pipeline), pipeline=pipeline, aaa="Failed"))
    assert states(decision) == {"aaa": "Running", "bbb": "Pending"}


def test_no_retry_begins_in_a_run_that_has_failed():
    pipeline = frozen(script("aaa", retries=5), script("bbb"))
    decision = look(pipeline, after(look(pipeline), pipeline=pipeline, bbb="Failed", aaa="Failed"))
    assert decision.start == ()
    assert decision.verdict.reason == "StepFailed"


def test_a_cancelled_run_starts_nothing_and_stops_what_runs():
    decision = look(records=look().records, cancel=True)
    assert {name: stop.reason for name, stop in decision.stop.items()} == {"prepare": "Cancelled"}
    assert states(decision)["train"] == "Cancelled"
    assert decision.verdict is None
    assert look(records=after(decision, prepare="Cancelled"), cancel=True).verdict.reason == "Cancelled"


def test_a_run_that_succeeded_is_not_cancelled_any_more():
    assert look(records=run_through().records, cancel=True).verdict.reason == "Succeeded"


def test_a_suspended_run_starts_nothing_and_goes_on_where_it_was():
    paused = look(records=after(look(), prepare="Succeeded"), suspend=True)
    assert (paused.start, paused.is_suspended, paused.verdict) == ((), True, None)
    assert set(look(records=paused.records).start) == {"train", "describe"}


def test_suspending_stops_parallel_runs_and_lets_scripts_finish():
    parallel = {
        "name": "score",
        "parallelRun": {
            "inputs": [{"name": "data", "file": {"paths": ["/data"]}}],
            "entryScript": "score.py",
            "outputAction": "summary_only",
        },
    }
    pipeline = frozen(script("only"), parallel)
    running = look(pipeline)
    assert set(running.start) == {"only", "score"}
    pausing = look(pipeline, running.records, suspend=True)
    assert {name: stop.reason for name, stop in pausing.stop.items()} == {"score": "Suspended"}
    assert not pausing.is_suspended
    paused = look(pipeline, after(pausing, pipeline=pipeline, only="Succeeded", score="Pending"), suspend=True)
    assert paused.is_suspended
    going_on = look(pipeline, paused.records)
    assert (going_on.start, going_on.records["score"].attempts) == (("score",), 1)


def test_a_step_that_outlives_its_time_limit_is_stopped():
    copy = {"name": "copy", "transfer": {"source": {"path": "/a"}, "destination": {"path": "/b"}}, "timeoutSeconds": 60}
    pipeline = frozen(copy)
    begun = look(pipeline)
    assert begun.next_deadline == NOW + 60
    early = look(pipeline, begun.records, now=NOW + 59)
    assert (dict(early.stop), early.next_deadline) == ({}, NOW + 60)
    assert look(pipeline, begun.records, now=NOW + 60).stop["copy"].reason == "Timeout"


def test_who_runs_a_script_keeps_its_time():
    pipeline = frozen(script("only", timeoutSeconds=60))
    assert pipeline.step("only").job["timeout"] == 60.0
    begun = look(pipeline)
    assert begun.next_deadline is None
    assert not look(pipeline, begun.records, now=NOW + 99).stop


def test_a_second_run_reuses_every_step_at_once():
    first = run_through()
    second = look(frozen(*STEPS, run_id="run-2"), history=History(earlier(first)))
    assert second.verdict.reason == "Succeeded"
    assert second.start == ()
    for name, record in second.records.items():
        assert (record.reason, record.reused_from) == ("Reused", Origin("run-1", name))
        assert record.outputs == first.records[name].outputs


def with_failures(decision, name):
    outcome = Outcome("Succeeded", "SucceededWithFailures", "2 of 8 items failed")
    records = dict(decision.records)
    records[name] = ended(records[name], outcome, outputs=PIPELINE.step(name).outputs, now=NOW)
    return records


def test_steps_behind_one_with_failed_items_run_and_the_run_reports_it():
    decision = look(records=with_failures(look(), "prepare"))
    assert set(decision.start) == {"train", "describe"}
    while decision.start:
        decision = look(records=after(decision, **dict.fromkeys(decision.start, "Succeeded")))
    assert decision.verdict.succeeded
    assert decision.verdict.reason == "SucceededWithFailures"
    assert decision.verdict.message == "prepare succeeded with too many failed items: 2 of 8 items failed"


def test_a_failed_step_counts_for_more_than_failed_items():
    decision = look(records=with_failures(look(), "prepare"))
    decision = look(records=after(decision, train="Failed", describe="Succeeded"))
    assert (decision.verdict.reason, decision.verdict.succeeded) == ("StepFailed", False)


def test_reusing_a_step_with_failed_items_carries_them_on_and_on():
    first = run_through()
    steps = [replace(each, failures="2 of 8 items failed") for each in earlier(first) if each.origin.step == "train"]
    second = run_through(history=History(steps + [each for each in earlier(first) if each.origin.step != "train"]))
    assert second.records["train"].reason == "ReusedWithFailures"
    assert (
        second.records["train"].message
        == 'outputs of step "train" in run "run-1" are reused, where 2 of 8 items failed'
    )
    assert second.records["prepare"].reason == "Reused"
    assert second.verdict.reason == "SucceededWithFailures"


def test_a_third_run_reuses_the_first_and_not_the_second():
    history = History(earlier(run_through()))
    second = look(frozen(*STEPS, run_id="run-2"), history=history)
    assert earlier(second, run="run-2") == []
    third = look(frozen(*STEPS, run_id="run-3"), history=history)
    assert {each.reused_from.run_id for each in third.records.values()} == {"run-1"}


def test_only_what_changed_runs_again_and_what_reads_from_it():
    history = History(earlier(run_through()))
    changed = frozen(
        script("prepare"),
        script("train", "prepare", arguments=["--alpha", "0.6"]),
        script("compare", "train"),
        script("describe", "prepare"),
        run_id="run-2",
    )
    decision = run_through(changed, history=history)
    assert {name: each.reused_from is not None for name, each in decision.records.items()} == {
        "prepare": True,
        "train": False,
        "compare": False,
        "describe": True,
    }
    assert decision.records["train"].not_reused == "arguments were added: --alpha 0.6"
    assert decision.records["compare"].not_reused == "step train, which it reads from, ran again"


def test_a_step_reads_the_outputs_of_the_run_that_made_them():
    history = History(earlier(run_through()))
    changed = frozen(script("prepare"), script("train", "prepare", version="2"), run_id="run-2")
    decision = look(changed, history=history)
    outputs = {("prepare", name): uri for name, uri in decision.records["prepare"].outputs.items()}
    assert changed.step("train").job_with(outputs)["inputs"][0]["uris"] == ["/runs/run-1/steps/prepare/out"]


@pytest.mark.parametrize(
    ("more", "options", "why"),
    [
        ({"allowReuse": False}, {}, "allowReuse is false"),
        ({}, {"regenerate_outputs": True}, "regenerateOutputs is true"),
    ],
)
def test_reuse_can_be_refused_for_a_step_and_for_a_run(more, options, why):
    history = History(earlier(run_through(frozen(script("only", **more)))))
    decision = look(frozen(script("only", **more), run_id="run-2"), history=history, **options)
    assert (decision.start, decision.records["only"].not_reused) == (("only",), why)


def test_a_step_that_was_made_again_is_reused_later():
    pipeline = frozen(script("only"))
    first, second = run_through(pipeline), run_through(pipeline, regenerate_outputs=True)
    history = History(earlier(first) + earlier(second, run="run-2", ended=NOW + 5))
    assert look(pipeline, history=history).records["only"].reused_from.run_id == "run-2"


def test_why_a_step_runs_is_reported_against_the_earlier_run_that_is_most_like_it():
    def past(run, ended, *arguments):
        decision = run_through(frozen(script("only", arguments=[*arguments])))
        return earlier(decision, run=run, ended=ended)

    history = History(past("run-1", NOW, "a", "b") + past("run-2", NOW + 9, "x", "y"))
    decision = look(frozen(script("only", arguments=["a", "c"])), history=history)
    assert decision.records["only"].not_reused == "argument 2 changed from b to c"


def test_a_run_that_goes_on_keeps_what_succeeded_and_begins_all_else_again():
    both = look(records=after(look(), prepare="Succeeded"))
    over = look(records=after(both, train="Failed", describe="Succeeded"))
    records = resumed(over.records)
    assert records["prepare"] == over.records["prepare"]
    assert records["train"] == Record("train")
    going_on = look(records=records)
    assert (going_on.start, going_on.records["train"].attempts) == (("train",), 1)


def test_what_a_run_will_do_can_be_foreseen():
    history = History(earlier(run_through()))
    changed = frozen(*STEPS[:1], script("train", "prepare", version="2"), *STEPS[2:], run_id="run-2")
    seen = predict(changed, {}, history=history, options=Options(), now=NOW)
    assert seen.verdict.reason == "Succeeded"
    assert [name for name, each in seen.records.items() if each.reused_from is None] == ["train", "compare"]


@pytest.mark.parametrize("count", [50, 200])
def test_a_long_chain_is_decided_step_by_step(count, capsys):
    steps = [script(f"step-{number:03}", *([f"step-{number - 1:03}"] * (number > 0))) for number in range(count)]
    pipeline = frozen(*steps)
    began = time.process_time()
    decision = look(pipeline)
    took = time.process_time() - began
    assert decision.start == ("step-000",)
    done = run_through(pipeline)
    assert done.verdict.reason == "Succeeded"
    reused = look(replace(pipeline, run_id="run-2"), history=History(earlier(done)))
    assert reused.verdict.reason == "Succeeded"
    with capsys.disabled():
        print(f" [{count} steps decided in {took * 1000:.1f} ms of processor time]", end="")
