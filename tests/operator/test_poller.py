"""Polling of coordinators, on a loop whose clock jumps to the next thing that is due: nothing waits, all is counted."""

import asyncio
import itertools

import pytest
from polling import LIMITS, NONE, NOW, endpoint, on_jumping_clock, snapshot

from longshore_client.api import Unreachable
from longshore_operator.cluster.coordinators import AnswerPending


def gaps(times):
    return [after - before for before, after in itertools.pairwise(times)]


@on_jumping_clock
async def test_a_coordinator_is_polled_every_two_seconds_over_one_connection(world):
    assert world.look("a") is None
    await asyncio.sleep(100)
    assert all(1.8 <= each <= 2.0 for each in gaps(world.polls("a")))
    assert len(set(gaps(world.polls("a")))) > 10, "they do not all come at the same moments"
    assert world.requeued["a"] == world.polls("a"), "each answer says something new"
    assert world.connections["a"] == 1
    assert world.look("a").snapshot.mini_batches.succeeded == len(world.polls("a"))


@on_jumping_clock
async def test_an_answer_that_reports_nothing_new_requeues_its_step_every_30_seconds_only(world):
    world.steady.add("a")
    world.look("a")
    await asyncio.sleep(200)
    assert len(world.polls("a")) > 80
    assert all(30.0 <= each < 32.0 for each in gaps(world.requeued["a"]))


@on_jumping_clock
async def test_a_reconcile_with_nothing_new_starts_no_poll(world):
    world.look("a")
    await asyncio.sleep(1.0)
    for _ in range(50):  # such as after the write of the step's own status
        assert world.look("a") is not None
    await asyncio.sleep(0.5)
    assert len(world.polls("a")) == 1


@pytest.mark.parametrize(("steps", "interval"), [(1, 2.0), (440, 2.0), (1100, 5.0), (2200, 10.0)])
@on_jumping_clock
async def test_the_interval_grows_so_that_writes_stay_within_220_a_second(world, steps, interval):
    for index in range(steps):
        world.look(str(index))
    assert world.poller.interval == interval
    await asyncio.sleep(3 * interval)
    polls = sum(len(world.polls(str(index))) for index in range(steps))
    assert 2.9 * steps <= polls <= 4 * steps


@on_jumping_clock
async def test_polls_that_are_due_together_are_spread(world):
    for index in range(500):
        world.look(str(index))  # all answer at once, so that all are due again at once
    await asyncio.sleep(20)
    polls = sorted(when for index in range(500) for when in world.polls(str(index))[1:])
    assert all(after - before >= 0.999 / 240 for before, after in itertools.pairwise(polls))


@on_jumping_clock
async def test_a_reconcile_that_waits_for_an_answer_overtakes_polls_that_are_spread(world):
    for index in range(500):
        world.look(str(index))
    await asyncio.sleep(2.3)  # many of the second polls wait for their turn
    late = max(range(500), key=lambda index: len(world.polls(str(index))) == 1)
    now = world.time()
    world.generation += 1
    assert world.look(str(late)) is None
    await asyncio.sleep(0.01)
    assert world.polls(str(late))[-1] >= now


@pytest.mark.parametrize(("steps", "a_second"), [(10, 100.0), (300, 100.0), (300, 20.0), (100, 30.0)])
@on_jumping_clock
async def test_where_reconciles_are_slow_polls_follow_and_no_answer_grows_old(world, steps, a_second):
    world.looks = False
    waiting, ages = asyncio.Queue(), []

    def on_change(step):
        world.requeued[step].append(world.time())
        waiting.put_nowait((world.time(), step))

    world.poller._on_change = lambda namespace, step: on_change(step)

    async def reconcile():  # one after another, so many a second
        while True:
            since, step = await waiting.get()
            ages.append(world.time() - since)
            world.look(step)
            await asyncio.sleep(1 / a_second)

    reconciling = asyncio.ensure_future(reconcile())
    for index in range(steps):
        world.look(str(index))
    await asyncio.sleep(100)
    reconciling.cancel()
    period = max(world.poller.interval, steps / a_second)
    polls = gaps(world.polls("0"))[2:]
    assert 0.85 * period <= sum(polls) / len(polls) <= 1.15 * period + world.poller.interval * 0.1
    assert max(ages[len(ages) // 2 :]) <= max(0.2, period - 0.85 * world.poller.interval)


@on_jumping_clock
async def test_a_step_that_is_never_reconciled_is_polled_every_30_seconds_until_it_is_forgotten(world):
    world.looks = False
    world.look("a")
    await asyncio.sleep(300)
    assert 3 <= len(world.polls("a")) <= 4


@on_jumping_clock
async def test_one_that_does_not_answer_is_asked_less_and_less_often(world):
    world.mute.add("a")
    world.look("a")
    await asyncio.sleep(400)
    pauses = [each - LIMITS.total for each in gaps(world.polls("a"))]
    for pause, longest in zip(pauses, [0.5, 1, 2, 4, 8, 16, 30, 30, 30], strict=False):
        assert 0.75 * longest <= pause <= 1.25 * longest
    assert len({pause / longest for pause, longest in zip(pauses, [0.5, 1, 2, 4], strict=False)}) == 4
    assert isinstance(world.look("a"), Unreachable)
    assert world.poller.states() == {"answering": 0, "silent": 1}


@on_jumping_clock
async def test_an_error_that_is_raised_often_keeps_nothing_alive(world):
    world.mute.add("a")
    world.look("a")
    await asyncio.sleep(LIMITS.total + 0.1)
    for _ in range(100):
        error = world.look("a")
    frames = 0
    trace = error.__traceback__
    while trace is not None:
        trace, frames = trace.tb_next, frames + 1
    assert frames <= 3


@on_jumping_clock
async def test_one_that_answers_again_is_polled_as_before(world):
    world.mute.add("a")
    world.look("a")
    await asyncio.sleep(60)
    world.mute.clear()
    await asyncio.sleep(100)
    assert world.look("a").snapshot.mini_batches.succeeded == world.done["a"]
    assert world.poller.states() == {"answering": 1, "silent": 0}
    assert all(1.8 <= each <= 2.0 for each in gaps(world.polls("a"))[-10:])


@on_jumping_clock
async def test_a_step_whose_coordinator_does_not_answer_is_not_asked_sooner_because_something_happens(world):
    world.mute.add("a")
    world.look("a")
    await asyncio.sleep(60)
    before = len(world.polls("a"))
    for index in range(50):
        assert isinstance(world.look("a", ended=frozenset({str(index)}), generation=index), Unreachable)
    await asyncio.sleep(1)
    assert len(world.polls("a")) <= before + 1


@on_jumping_clock
async def test_a_hundred_mute_coordinators_do_not_delay_the_healthy_ones(world):
    world.mute.update(f"mute-{index}" for index in range(100))
    healthy = [f"healthy-{index}" for index in range(20)]
    for step in [*sorted(world.mute), *healthy]:
        world.look(step)
    await asyncio.sleep(300)
    for step in healthy:
        assert max(gaps(world.requeued[step])) <= 2.0 + 20 / 240
    assert sum(len(world.polls(step)) for step in world.mute) <= 100 * 17, "and they are not asked for ever"


@on_jumping_clock
async def test_an_operator_that_starts_beside_many_runs_asks_a_hundred_at_once(world):
    world.takes = 0.25
    for number in range(600):
        world.look(f"step-{number}")
    await asyncio.sleep(5)
    assert world.most_in_flight == 100
    assert all(world.polls(f"step-{number}") for number in range(600)), "each in its turn"
    await asyncio.sleep(60)
    assert world.most_in_flight <= 200, "100 of those that answer, 100 of the others"


@on_jumping_clock
async def test_many_mute_coordinators_take_no_turn_of_those_that_answer(world):
    world.mute |= {f"mute-{number}" for number in range(500)}
    for name in ["healthy", *sorted(world.mute)]:
        world.look(name)
    await asyncio.sleep(100)
    assert max(gaps(world.polls("healthy"))) <= 501 / 200
    assert all(world.polls(name) for name in world.mute)


@on_jumping_clock
async def test_pods_that_end_are_explained_by_a_poll_after_their_end(world):
    world.looks = False
    world.look("a")
    await asyncio.sleep(1.0)
    ended = frozenset({"uid"})
    assert world.look("a", ended=ended).ended == NONE, "what is known meanwhile"
    world.requeued["a"].clear()
    await asyncio.sleep(0.01)
    assert world.look("a", ended=ended).ended == ended
    assert world.requeued["a"] == [1.0]


@on_jumping_clock
async def test_a_changed_spec_waits_for_a_snapshot_that_is_asked_for_after_it(world):
    world.steady.add("a")
    world.looks = False
    world.look("a")
    await asyncio.sleep(1.0)
    world.requeued["a"].clear()
    assert world.look("a", generation=2) is None
    await asyncio.sleep(0.01)
    assert world.requeued["a"] == [1.0], "though the snapshot says the same"
    assert world.look("a", generation=2) is not None


@on_jumping_clock
async def test_messages_are_sent_once_and_before_the_next_poll(world):
    world.steady.add("a")
    world.looks = False
    world.look("a")
    await asyncio.sleep(1.0)
    world.requeued["a"].clear()
    for _ in range(3):  # as it is planned in each reconcile
        world.poller.drain(endpoint("a"), "w-0")
        assert not world.poller.gone(endpoint("a"), "w-1")
    await asyncio.sleep(0.01)
    sent = [(path, worker) for _, path, worker in world.calls["a"]]
    assert sent[1:] == [("/v1/drain", "w-0"), ("/v1/gone", "w-1"), ("/v1/snapshot", "")]
    assert world.requeued["a"] == [1.0]
    assert world.poller.gone(endpoint("a"), "w-1"), "the coordinator knows"
    assert not world.poller.gone(endpoint("a"), "w-1"), "and that counted once"


@on_jumping_clock
async def test_a_message_that_is_posted_during_a_call_is_sent_right_after_it(world):
    world.looks = False
    world.look("a")
    await asyncio.sleep(1.0)
    answer = world.answer

    async def slowly(step, path, body):
        await asyncio.sleep(1.0)
        return await answer(step, path, body)

    world.answer = slowly
    assert world.look("a", generation=2) is None
    await asyncio.sleep(0.5)
    assert not world.poller.gone(endpoint("a"), "w-1")
    await asyncio.sleep(1.6)
    assert [path for _, path, _ in world.calls["a"]] == ["/v1/snapshot", "/v1/snapshot", "/v1/gone"]


@on_jumping_clock
async def test_a_message_that_is_refused_counts_as_heard(world):
    world.refusing.add("a")
    world.look("a")
    await asyncio.sleep(1.0)
    world.poller.gone(endpoint("a"), "w-1")
    await asyncio.sleep(0.01)
    assert world.poller.gone(endpoint("a"), "w-1")
    assert world.look("a").snapshot.run_id == "r"


@on_jumping_clock
async def test_no_message_arrives_after_a_failure_when_a_new_worker_may_have_started(world):
    world.look("a")
    await asyncio.sleep(1.0)
    world.mute.add("a")
    world.poller.gone(endpoint("a"), "w-1")
    await asyncio.sleep(LIMITS.total + 0.01)
    assert world.poller.gone(endpoint("a"), "w-1"), "it is replaced without: nobody answers"
    world.mute.clear()
    world.calls["a"].clear()
    await asyncio.sleep(60)
    assert {path for _, path, _ in world.calls["a"]} == {"/v1/snapshot"}


@on_jumping_clock
async def test_another_coordinator_of_the_step_replaces_the_earlier_one(world):
    world.looks = False
    world.look("a")
    await asyncio.sleep(1.0)
    world.poller.gone(endpoint("a"), "w-1")
    with pytest.raises(AnswerPending):
        world.poller.snapshot(endpoint("a", token="new"), generation=1, ended=NONE)
    await asyncio.sleep(0.01)
    assert world.connections["a"] == 2
    assert [path for _, path, _ in world.calls["a"]].count("/v1/gone") == 0
    assert world.poller.gone(endpoint("a"), "w-1"), "there is nobody to tell"


@on_jumping_clock
async def test_a_coordinator_without_requests_is_forgotten(world):
    world.looks = False
    world.look("a")
    await asyncio.sleep(300)
    assert max(world.polls("a")) < 95
    assert world.look("a") is None, "polling begins again"
    await asyncio.sleep(1)
    assert world.look("a") is not None


@on_jumping_clock
async def test_an_operator_that_no_longer_leads_polls_no_coordinator(world):
    world.looks = False
    for index in range(5):
        world.look(str(index))
    await asyncio.sleep(1)
    world.requeued.clear()
    world.poller.forget_all()
    await asyncio.sleep(60)
    assert [len(world.polls(str(index))) for index in range(5)] == [1] * 5
    assert sorted(world.requeued) == list("01234"), "they ask again when it leads"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"state": "Running"}'])
@on_jumping_clock
async def test_what_is_no_snapshot_is_an_error_of_the_coordinator(world, text):
    async def answer(*_):
        return text.encode()

    world.answer = answer
    world.look("a")
    await asyncio.sleep(1.0)
    assert "no snapshot" in str(world.look("a"))


@on_jumping_clock
async def test_the_time_of_a_snapshot_is_the_coordinators_and_otherwise_that_of_the_poll(world):
    world.look("old")
    await asyncio.sleep(1.0)
    assert world.look("old").snapshot.observed == NOW.timestamp()

    async def answer(*_):
        return snapshot(1, observed=12.0).to_json().encode()

    world.answer = answer
    world.look("new")
    await asyncio.sleep(1.0)
    assert world.look("new").snapshot.observed == 12.0


@on_jumping_clock
async def test_a_bug_in_a_poll_loses_no_step(world, caplog):
    answer = world.answer

    async def broken(*_):
        raise ZeroDivisionError

    world.answer = broken
    world.look("a")
    await asyncio.sleep(1.0)
    assert "cannot be polled" in str(world.look("a"))
    world.answer = answer
    await asyncio.sleep(10.0)
    assert world.look("a").snapshot.run_id == "r"
    assert "a bug" in caplog.text
