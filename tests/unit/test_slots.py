"""What a process slot knows: when its process is overdue, why it died, and which mini-batch is to blame."""

import pytest

from longshore_agent.slots import DEEPEST, SHUTDOWN_SECONDS, Lease, Slot, State, Verdict
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
        made.sent(leases(*queue, tabular=tabular), now)
    return made


def numbers(found):
    return [lease.grant.mini_batch for lease in found]


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
    made.sent(leases(3), 8.0)
    assert numbers([made.head_done(9.0)]) == [1]
    assert made.overdue(TIMEOUTS, 19.0) is None
    assert made.overdue(TIMEOUTS, 19.1) is not None


def test_what_is_sent_to_an_idle_process_starts_at_once():
    made = slot(queue=(1,))
    made.head_done(1.0)
    made.sent(leases(2), 500.0)
    assert made.overdue(TIMEOUTS, 510.0) is None
    assert made.overdue(TIMEOUTS, 510.1) is not None


def test_loading_and_run_have_a_time_of_their_own():
    made = slot(queue=(1, 2), tabular=True)
    made.head_loaded(5.0)
    assert made.overdue(TIMEOUTS, 15.0) is None
    assert made.overdue(TIMEOUTS, 15.1).message.startswith("run()")
    made.head_done(15.0)
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
    assert (made.depth(), made.backlog()) == (depth, backlog)


def test_durations_are_smoothed():
    made = slot()
    made.took(1.0)
    made.took(2.0)
    assert made.average == pytest.approx(1.2)


# --- death -----------------------------------------------------------------------------------------------------------

DEATHS = [
    ("a signal", (-11, False), None, errors.PROCESS_DIED, "process007 was killed by SIGSEGV"),
    ("an unknown signal", (-63, False), None, errors.PROCESS_DIED, "process007 was killed by signal 63"),
    ("an end of its own", (3, False), None, errors.PROCESS_DIED, "process007 ended by itself with exit code 3"),
    ("an end with 0", (0, False), None, errors.PROCESS_DIED, "process007 ended by itself with exit code 0"),
    (
        "the kernel, for memory",
        (-9, True),
        None,
        errors.OUT_OF_MEMORY,
        "process007 was killed by the kernel for lack of memory",
    ),
    ("us", (-9, False), KILLED, errors.TIMEOUT, "run() took too long"),
    ("us, while another was killed for memory", (-9, True), KILLED, errors.TIMEOUT, "run() took too long"),
    ("its host", None, None, errors.PROCESS_DIED, "the host of process007 died, and process007 with it"),
    ("us, and its host is gone", None, KILLED, errors.TIMEOUT, "run() took too long"),
]


@pytest.mark.parametrize(
    ("exit", "killed", "category", "message"), [case[1:] for case in DEATHS], ids=[case[0] for case in DEATHS]
)
def test_the_cause_of_a_death_is_said(exit, killed, category, message):
    made = slot(queue=(1,))
    made.exit, made.killed = exit, killed
    assert made.cause_of_death() == Verdict(category, message)


def test_what_a_process_was_running_is_charged_and_what_was_queued_behind_is_not():
    made = slot(queue=(1, 2, 3))
    running, waiting = made.died(5.0)
    assert (numbers([running]), numbers(waiting)) == ([1], [2, 3])
    assert (made.state, list(made.queue)) == (State.GONE, [])


def test_a_process_that_dies_between_mini_batches_charges_none():
    assert slot().died(5.0) == (None, [])


def test_what_comes_after_the_mini_batch_that_ended_a_process_is_not_charged():
    made = slot(queue=(1, 2))
    made.head_done(1.0)
    made.blameless = True  # the process said that its script called sys.exit(), or it answered while it was killed
    running, waiting = made.died(2.0)
    assert (running, numbers(waiting)) == (None, [2])


@pytest.mark.parametrize("state", [State.SPAWNING, State.STARTING, State.ENDING])
def test_a_process_that_is_not_ready_charges_nothing(state):
    running, waiting = slot(state).died(5.0)
    assert (running, waiting) == (None, [])


def test_a_new_process_starts_with_a_clean_slate():
    made = slot(queue=(1,))
    made.killed, made.exit, made.blameless, made.told, made.connected = KILLED, (-9, True), True, True, True
    made.dying_since = 3.0
    made.died(5.0)
    made.spawned(8, 6.0)
    assert (made.state, made.process, made.since) == (State.SPAWNING, 8, 6.0)
    assert (made.killed, made.exit, made.dying_since) == (None, None, None)
    assert (made.blameless, made.told, made.connected) == (False, False, False)


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
