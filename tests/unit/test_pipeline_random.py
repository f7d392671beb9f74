"""Random pipelines with random failures, interruptions and history, driven by the planner to their end."""

from hypothesis import given
from hypothesis import strategies as st
from pipelines import frozen, script

from longshore_planner.pipelines.decide import decide
from longshore_planner.pipelines.frozen import Options
from longshore_planner.pipelines.history import EarlierStep, History
from longshore_planner.pipelines.records import Origin, Outcome, ended, resumed

MOST = 9  # steps


@st.composite
def pipelines(draw):
    """A pipeline whose steps are written in any order, and how often each attempt of a step fails before one works."""
    count = draw(st.integers(1, MOST))
    names = [f"step-{number}" for number in range(count)]
    steps, failures = [], {}
    for number, name in enumerate(names):
        needs = draw(st.lists(st.sampled_from(names[:number]), unique=True)) if number else []
        cut = draw(st.integers(0, len(needs)))
        retries = draw(st.integers(0, 2))
        more = {"allowReuse": draw(st.booleans())}
        steps.append(script(name, *needs[:cut], runAfter=needs[cut:], retries=retries, **more))
        failures[name] = draw(st.integers(0, 3))
    return draw(st.permutations(steps)), failures


class Simulation:
    """Does what is decided, in any order that can happen, and watches the rules."""

    def __init__(self, pipeline, failures, history, data, **options):
        self.pipeline, self.failures, self.history, self.data = pipeline, dict(failures), history, data
        self.options = Options(**options)
        self.records, self.now = {}, 0.0
        self.running, self.attempts = set(), dict.fromkeys(failures, 0)
        self.reused, self.succeeded = set(), set()

    def run(self):
        while True:
            self.now += 1
            decision = decide(self.pipeline, self.records, history=self.history, options=self.options, now=self.now)
            self.records = decision.records
            self.check(decision)
            for name in decision.start:
                self.begin(name)
            assert decision.verdict is None or not self.running
            if decision.verdict is not None:
                return decision.verdict
            assert self.running, "nothing runs and nothing ever will"
            ending = self.data.draw(st.sampled_from(sorted(self.running)))
            self.end(ending)

    def check(self, decision):
        again = decide(self.pipeline, decision.records, history=self.history, options=self.options, now=self.now)
        assert again.records == decision.records, "asked again, it decides something else"
        assert again.start == ()
        self.reused |= {name for name, each in decision.records.items() if each.reused_from is not None}

    def begin(self, name):
        step = self.pipeline.step(name)
        assert all(self.records[needed].state == "Succeeded" for needed in step.after), "its inputs are not there"
        lost = [
            each.name for each in self.records.values() if each.state == "Failed" and self.has_no_attempt_left(each)
        ]
        assert self.options.continue_on_step_failure or not lost, "the run has failed"
        assert name not in self.running, "it runs twice"
        assert name not in self.reused | self.succeeded, "it had its outputs already"
        self.running.add(name)
        self.attempts[name] += 1
        assert self.attempts[name] <= 1 + step.retries

    def has_no_attempt_left(self, record):
        return record.attempts == 1 + self.pipeline.step(record.name).retries

    def end(self, name):
        self.running.remove(name)
        fails = self.failures[name] > 0
        self.failures[name] -= fails
        if not fails:
            self.succeeded.add(name)
        outcome = Outcome("Failed", "Broken") if fails else Outcome("Succeeded", "Succeeded")
        outputs = self.pipeline.step(name).outputs
        self.records = {**self.records, name: ended(self.records[name], outcome, outputs=outputs, now=self.now)}


def expected(pipeline, failures, *, reused=frozenset()):
    """What continueOnStepFailure makes of each step: an independent reckoning."""
    fate = {}
    for step in pipeline.steps:
        if any(fate[needed] != "Succeeded" for needed in step.after):
            fate[step.name] = "Skipped"
        else:
            fine = step.name in reused or failures[step.name] <= step.retries
            fate[step.name] = "Succeeded" if fine else "Failed"
    return fate


@given(pipelines(), st.data())
def test_with_continue_on_step_failure_exactly_what_depends_on_a_failure_is_skipped(made, data):
    steps, failures = made
    pipeline = frozen(*steps)
    simulation = Simulation(pipeline, failures, History(), data, continue_on_step_failure=True)
    verdict = simulation.run()
    fate = {name: each.state for name, each in simulation.records.items()}
    assert fate == expected(pipeline, failures)
    assert (verdict.reason == "Succeeded") == (set(fate.values()) == {"Succeeded"})


@given(pipelines(), st.data())
def test_without_it_a_run_succeeds_just_when_every_step_can(made, data):
    steps, failures = made
    pipeline = frozen(*steps)
    simulation = Simulation(pipeline, failures, History(), data)
    verdict = simulation.run()
    fine = set(expected(pipeline, failures).values()) == {"Succeeded"}
    assert (verdict.reason == "Succeeded") == fine
    states = {each.state for each in simulation.records.values()}
    assert states <= {"Succeeded", "Failed", "Skipped"}
    assert ("Failed" in states) == (not fine)


@given(pipelines(), st.data())
def test_a_failed_run_that_goes_on_does_nothing_twice_and_ends_well(made, data):
    steps, failures = made
    pipeline = frozen(*steps)
    simulation = Simulation(pipeline, failures, History(), data)
    while simulation.run().reason != "Succeeded":
        simulation.records = resumed(simulation.records)
        simulation.attempts = dict.fromkeys(failures, 0)
    assert simulation.succeeded == set(failures)


@given(pipelines(), st.data())
def test_a_later_run_reuses_what_has_succeeded_and_runs_the_rest(made, data):
    steps, failures = made
    first = frozen(*steps)
    earlier = Simulation(first, failures, History(), data, continue_on_step_failure=True)
    earlier.run()
    history = History(
        EarlierStep(Origin("run-1", each.name), "test", each.parts, each.outputs, each.ended)
        for each in earlier.records.values()
        if each.state == "Succeeded"
    )
    second = frozen(*steps, run_id="run-2")
    later = Simulation(second, dict.fromkeys(failures, 0), history, data)
    assert later.run().reason == "Succeeded"
    assert later.reused | later.succeeded == set(failures)
    for step in second.steps:
        may = step.allow_reuse and earlier.records[step.name].state == "Succeeded"
        fresh = any(later.records[name].reused_from is None for name in step.reads)
        if step.name in later.reused:
            assert may
            assert not fresh, "what it reads was made anew"
        else:
            assert not may or fresh, "it could have been reused"
