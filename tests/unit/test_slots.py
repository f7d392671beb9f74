"""What a process slot knows: when its process is overdue, why it died, and which mini-batch is to blame."""

import pytest

from longshore_agent.slots import SHUTDOWN_SECONDS, Exit, Slot, State
from longshore_agent.work import DEEPEST, Lease, Verdict
from longshore_protocol import errors
from longshore_protocol.job import Timeouts
from longshore_protocol.wire import Grant

TIMEOUTS = Timeouts(run_invocation=10, task_overhead=5, init=60)
KILLED = Verdict(errors.TIMEOUT, "run() took too long")


def leases(*numbers, tabular=False):
    return [Lease(Grant(number, 1, 0, b"[]"), tabular=tabular) for number in numbers]


def slot(state=State.READY, *, queue=(), now=0.0, tabular=False):
    """Return a slot whose process 7 came to its state, and got its queue, at `now`."""
    made = Slot(0)
    made.spawned(7, now)
    made.state = state
    if queue:
        made.work.sent(leases(*queue, tabular=tabular), now)
    return made


def numbers(found):
    return [lease.grant.mini_batch for lease in found]


def begun(running):
    """Return (mini-batch, since) of what a process was running when it died."""
    return [(lease.grant.mini_batch, since) for lease, since in running]


# --- deadlines -------------------------------------------------------------------------------------------------------

DEADLINES = [
    (
        "a process that is being started",
        State.SPAWNING,
        (),
        False,
        60,
        "import and init() took longer than initTimeoutSeconds (60 s)",
    ),
    (
        "a process in init()",
        State.STARTING,
        (),
        False,
        60,
        "import and init() took longer than initTimeoutSeconds (60 s)",
    ),
    ("a process in run()", State.READY, (1,), False, 10, "run() took longer than runInvocationTimeoutSeconds (10 s)"),
    (
        "a process that reads rows",
        State.READY,
        (1,),
        True,
        5,
        "loading took longer than taskOverheadTimeoutSeconds (5 s)",
    ),
    ("a process in shutdown()", State.ENDING, (), False, SHUTDOWN_SECONDS, "shutdown() took longer than 30 s"),
]


@pytest.mark.parametrize(
    ("state", "queue", "tabular", "limit", "sentence"),
    [case[1:] for case in DEADLINES],
    ids=[case[0] for case in DEADLINES],
)
def test_a_process_is_overdue_above_its_limit_and_not_at_it(state, queue, tabular, limit, sentence):
    made = slot(state, queue=queue, now=100.0, tabular=tabular)
    assert made.overdue(TIMEOUTS, 100.0 + limit) is None
    assert made.overdue(TIMEOUTS, 100.1 + limit) == Verdict(errors.TIMEOUT, sentence)


def test_a_process_without_work_or_without_life_is_never_overdue():
    assert slot().overdue(TIMEOUTS, 1e9) is None
    assert Slot(0).overdue(TIMEOUTS, 1e9) is None


def test_a_process_that_is_killed_already_is_not_killed_again():
    made = slot(queue=(1,))
    made.killed = KILLED
    assert made.overdue(TIMEOUTS, 1e9) is None


def test_the_clock_of_a_mini_batch_starts_when_the_one_before_it_ended():
    made = slot(queue=(1, 2))
    made.work.sent(leases(3), 8.0)
    assert numbers([made.work.done(1, 1, 9.0)]) == [1]
    assert made.overdue(TIMEOUTS, 19.0) is None
    assert made.overdue(TIMEOUTS, 19.1) is not None


def test_what_is_sent_to_an_idle_process_starts_at_once():
    made = slot(queue=(1,))
    made.work.done(1, 1, 1.0)
    made.work.sent(leases(2), 500.0)
    assert made.overdue(TIMEOUTS, 510.0) is None
    assert made.overdue(TIMEOUTS, 510.1) is not None


def test_loading_and_run_have_a_time_of_their_own():
    made = slot(queue=(1, 2), tabular=True)
    made.work.loaded(1, 1, 5.0)
    assert made.overdue(TIMEOUTS, 15.0) is None
    assert made.overdue(TIMEOUTS, 15.1).message.startswith("run()")
    made.work.done(1, 1, 15.0)
    assert made.overdue(TIMEOUTS, 20.1).message.startswith("loading")


# --- how much a process is given -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "depth", "backlog"),
    [(None, 1, 0), (3.0, 1, 0), (0.1, 1, 3), (0.005, 3, 50), (0.001, 11, 250), (0.0, DEEPEST, 2000)],
    ids=["nothing known", "seconds", "a tenth of a second", "five milliseconds", "a millisecond", "no time at all"],
)
def test_a_process_holds_many_mini_batches_of_microseconds_and_one_of_seconds(seconds, depth, backlog):
    made = slot()
    if seconds is not None:
        made.took(seconds)
    assert (made.wanted(), made.backlog()) == (depth, backlog)


def test_durations_are_smoothed():
    made = slot()
    made.took(1.0)
    made.took(2.0)
    assert made.average == pytest.approx(1.2)


# --- death -----------------------------------------------------------------------------------------------------------

DEATHS = [
    ("a signal", (-11, False), None, errors.PROCESS_DIED, "process007 was killed by SIGSEGV"),
    ("an unknown signal", (-63, False), None, errors.PROCESS_DIED, "process007 was killed by signal 63"),
    ("an end of its own", (3, False), None, errors.PROCESS_DIED, "process007 exited with code 3"),
    (
        "an end of its own, with a line in stderr",
        (3, False, "KeyError: 'x'", ""),
        None,
        errors.PROCESS_DIED,
        "process007 exited with code 3: KeyError: 'x'",
    ),
    (
        "a kill, with an exception in stderr",
        (-9, False, "KeyError: 'x'", "a stack"),
        KILLED,
        errors.TIMEOUT,
        "run() took too long; the last exception in its log is KeyError: 'x'",
    ),
    ("an end with 0", (0, False), None, errors.PROCESS_DIED, "process007 exited with code 0"),
    (
        "the kernel, for memory",
        (-9, True),
        None,
        errors.OUT_OF_MEMORY,
        "process007 was killed by the kernel because memory ran out",
    ),
    ("us", (-9, False), KILLED, errors.TIMEOUT, "run() took too long"),
    ("us, while another was killed for memory", (-9, True), KILLED, errors.TIMEOUT, "run() took too long"),
    ("its host", None, None, errors.PROCESS_DIED, "process007 exited with its host, which died"),
    ("us, and its host is gone", None, KILLED, errors.TIMEOUT, "run() took too long"),
]


@pytest.mark.parametrize(
    ("exit", "killed", "category", "message"), [case[1:] for case in DEATHS], ids=[case[0] for case in DEATHS]
)
def test_the_cause_of_a_death_is_reported(exit, killed, category, message):
    made = slot(queue=(1,))
    made.exit, made.killed = exit and Exit(*exit), killed
    assert made.cause_of_death() == Verdict(category, message)


def test_what_a_process_was_running_is_charged_and_what_was_queued_behind_is_not():
    made = slot(queue=(1, 2, 3))
    running, waiting = made.died(5.0)
    assert (begun(running), numbers(waiting)) == ([(1, 0.0)], [2, 3])
    assert (made.state, len(made.work)) == (State.GONE, 0)


def test_a_process_that_dies_between_mini_batches_charges_none():
    assert slot().died(5.0) == ([], [])


def test_what_comes_after_the_mini_batch_that_ended_a_process_is_not_charged():
    made = slot(queue=(1, 2))
    made.work.done(1, 1, 1.0)
    made.blameless = True  # the process said that its script called sys.exit(), or it answered while it was killed
    running, waiting = made.died(2.0)
    assert (running, numbers(waiting)) == ([], [2])


@pytest.mark.parametrize("state", [State.SPAWNING, State.STARTING, State.ENDING])
def test_a_process_that_is_not_ready_charges_nothing(state):
    running, waiting = slot(state).died(5.0)
    assert (running, waiting) == ([], [])


def test_a_new_process_starts_with_a_clean_slate():
    made = slot(queue=(1,))
    made.killed, made.exit, made.blameless, made.init_failed, made.connected = KILLED, Exit(-9, True), True, True, True
    made.dying_since = 3.0
    made.died(5.0)
    made.spawned(8, 6.0)
    assert (made.state, made.process, made.since) == (State.SPAWNING, 8, 6.0)
    assert (made.killed, made.exit, made.dying_since) == (None, None, None)
    assert (made.blameless, made.init_failed, made.connected) == (False, False, False)


def test_processes_that_never_come_through_are_started_ever_more_slowly():
    made = slot(State.STARTING)
    pauses = []
    for process in range(2000):  # weeks of it
        made.spawned(process, 0.0)
        made.died(0.0)
        pauses.append(made.not_before)
    assert pauses[:5] == pytest.approx([0.0, 0.0, 0.8, 1.6, 3.2])
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30.0


def test_a_process_that_dies_in_run_is_replaced_at_once():
    made = slot(queue=(1,))
    made.died(5.0)
    assert (made.failures, made.not_before) == (0, 0.0)


# --- several at once -------------------------------------------------------------------------------------------------

GRACE = 3


def at_once(*sent, begun=(), most=4, now=0.0, grace=GRACE, tabular=False):
    """Return a slot whose process runs several mini-batches at once, was sent some and began some of these."""
    made = slot(State.STARTING)
    made.ready(now, [grace], at_once=most)
    if sent:
        made.work.sent(leases(*sent, tabular=tabular), now)
    for number in begun:
        assert made.work.begun(number, 1, now)
    return made


def test_each_place_is_filled_as_it_becomes_free():
    made = at_once(1, 2, begun=(1, 2))
    assert (made.wanted(), made.room(), made.backlog()) == (4, 2, 0)
    made.work.done(2, 1, 1.0)
    assert made.room() == 3
    made.took(10.0)
    assert (made.wanted(), made.backlog()) == (4, 2)
    made.average = 0.01
    assert made.backlog() == 100
    made.average = 0.0
    assert made.backlog() == 2000


def test_a_process_speaks_only_of_what_it_has_begun_and_begins_only_what_it_was_sent():
    made = at_once(1, 2, begun=(2,))
    assert made.work.runs(2, 1)
    assert not made.work.runs(1, 1)
    assert not made.work.runs(2, 2)
    assert not made.work.begun(2, 1, 0.0)
    assert not made.work.begun(3, 1, 0.0)
    assert not slot(queue=(1,)).work.begun(1, 1, 0.0)  # of a process that runs one after the other


def test_each_has_its_own_time_and_then_that_which_the_process_has_to_end_it_itself():
    made = at_once(1, 2, begun=(1,))
    made.work.begun(2, 1, 8.0)
    assert made.overdue(TIMEOUTS, 10.0 + GRACE) is None
    verdict = Verdict(errors.TIMEOUT, "run() took longer than runInvocationTimeoutSeconds (10 s)", frozenset({1}))
    assert made.overdue(TIMEOUTS, 10.1 + GRACE) == verdict
    made.work.done(1, 1, 10.1 + GRACE)
    assert made.overdue(TIMEOUTS, 18.0 + GRACE) is None
    assert made.overdue(TIMEOUTS, 18.1 + GRACE).mini_batches == {2}


def test_the_rows_of_each_are_read_in_a_time_of_their_own():
    made = at_once(1, 2, begun=(1,), tabular=True)
    assert made.overdue(TIMEOUTS, 5.0) is None
    verdict = Verdict(errors.TIMEOUT, "loading took longer than taskOverheadTimeoutSeconds (5 s)", frozenset({1}))
    assert made.overdue(TIMEOUTS, 5.1) == verdict
    made.work.loaded(1, 1, 5.0)
    assert made.overdue(TIMEOUTS, 15.0 + GRACE) is None  # 2 waits for the reader
    assert made.overdue(TIMEOUTS, 15.1 + GRACE).mini_batches == {1}


def test_a_process_that_begins_nothing_is_killed_and_nothing_is_to_blame():
    made = at_once(1, 2)
    assert made.overdue(TIMEOUTS, 5.0) is None
    made.killed = made.overdue(TIMEOUTS, 5.1)
    assert made.killed.message == (
        "no mini-batch was begun within taskOverheadTimeoutSeconds (5 s): something blocks the event loop"
    )
    running, waiting = made.died(6.0)
    assert (running, numbers(waiting)) == ([], [1, 2])


def test_all_that_a_process_had_begun_are_charged_with_its_death_and_none_of_the_others():
    made = at_once(1, 2, 3, begun=(1, 3))
    running, waiting = made.died(5.0)
    assert (begun(running), numbers(waiting)) == ([(1, 0.0), (3, 0.0)], [2])
    assert (made.state, len(made.work)) == (State.GONE, 0)


def test_those_that_were_too_slow_are_charged_when_the_process_is_killed_for_it_and_none_of_the_others():
    made = at_once(1, 2, 3, begun=(1, 3))
    made.work.begun(2, 1, 9.0)
    made.killed = made.overdue(TIMEOUTS, 14.0)
    made.work.done(3, 1, 14.1)  # it came back after all
    made.blameless = True
    running, waiting = made.died(15.0)
    assert (begun(running), numbers(waiting)) == ([(1, 0.0)], [2])


def test_what_else_a_process_ran_is_not_charged_when_one_mini_batch_ended_it_by_what_it_stated():
    made = at_once(1, 2, begun=(1, 2))
    made.work.done(1, 1, 1.0)
    made.blameless = True
    running, waiting = made.died(2.0)
    assert (running, numbers(waiting)) == ([], [2])


def test_the_status_names_the_mini_batch_that_has_run_longest():
    made = at_once(1, 2, begun=(2,))
    made.work.begun(1, 1, 3.0)
    assert (made.described(10.0)["mini_batch"], made.described(10.0)["seconds"]) == (2, 10.0)
    made.work.done(2, 1, 10.0)
    assert (made.described(10.0)["mini_batch"], made.described(10.0)["seconds"]) == (1, 7.0)


def test_a_replaced_process_may_run_otherwise_than_the_one_before():
    made = at_once(1, begun=(1,))
    made.died(1.0)
    made.spawned(8, 2.0)
    made.ready(3.0, [], at_once=4)
    made.work.sent(leases(1), 3.0)
    assert made.work.runs(1, 1)


# --- an agent that was stopped ---------------------------------------------------------------------------------------


ABSENCE = 3600.0
LIMITS = Timeouts(run_invocation=10, task_overhead=5, init=20)


@pytest.mark.parametrize(
    "made",
    [
        lambda: slot(State.STARTING, now=100.0),
        lambda: slot(State.ENDING, now=100.0),
        lambda: slot(queue=leases(1, 2), now=100.0),
        lambda: slot(queue=leases(1, tabular=True), now=100.0, tabular=True),
        lambda: at_once(1, 2, 3, begun=(1, 2), now=100.0),
        lambda: at_once(1, 2, now=100.0),
    ],
    ids=["init()", "shutdown()", "run()", "loading", "several at once", "several of which none begins"],
)
def test_no_limit_passes_because_the_agent_was_stopped(made):
    found = made()
    assert made().overdue(LIMITS, 101.0 + ABSENCE) is not None
    found.postpone(ABSENCE, 101.0 + ABSENCE)
    assert found.overdue(LIMITS, 101.0 + ABSENCE) is None
    assert found.overdue(LIMITS, 141.0 + ABSENCE) is not None, "and after that it does"


def test_what_began_after_the_agent_woke_up_is_not_postponed():
    found = slot(queue=leases(1), now=100.0)
    found.postpone(ABSENCE, 100.0)
    assert found.overdue(LIMITS, 110.1) is not None
