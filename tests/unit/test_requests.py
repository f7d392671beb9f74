"""Requests of scripts to their agent: what is answered, refused and ignored."""

import asyncio
import threading
from dataclasses import replace

import pytest
from fakes import JOB, SPEC, until
from peers import HELLO_HOST, Connection, hello

from longshore_agent.request_server import serving
from longshore_agent.requests import MOST, Parameters, RequestError, Requests
from longshore_agent.worker import Worker
from longshore_protocol import messages
from longshore_protocol.job import Timeouts
from longshore_run import context
from longshore_run.requests import RequestRefused, request


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Make this process one of a script whose agent listens at the returned path."""
    path = str(tmp_path / "agent.sock")
    monkeypatch.setenv(context.VARIABLE, context.Context(log_dir="", socket=path).write(str(tmp_path)))
    monkeypatch.setenv(context.PROCESS, "process007")
    return path


async def echoed(parameters):
    return {"name": parameters.text("name"), "version": parameters.number("version"), "all": parameters.flag("all")}


async def missing(_):
    raise RequestError("There is no such thing.", messages.NOT_FOUND)


async def broken(_):
    raise ZeroDivisionError


OPERATIONS = {"echo": echoed, "missing": missing, "broken": broken}


def test_a_request_is_answered(script):
    with serving(script, lambda: Requests(OPERATIONS)):
        assert request("echo", name="ä", version=3, all=True) == {"name": "ä", "version": 3, "all": True}
        assert request("echo", name="b", version=None) == {"name": "b", "version": None, "all": False}


@pytest.mark.parametrize(
    ("operation", "parameters", "category", "message"),
    [
        ("missing", {}, messages.NOT_FOUND, "There is no such thing."),
        ("nothing", {}, messages.INVALID, 'The request "nothing" is not supported by this version of Longshore.'),
        ("echo", {}, messages.INVALID, 'The parameter "name" of the request "echo" is invalid'),
        ("echo", {"name": 1}, messages.INVALID, "it must be a text of at most 4096 characters"),
        ("echo", {"name": "a\0"}, messages.INVALID, "it must be a text"),
        ("echo", {"name": "a", "version": -1}, messages.INVALID, "it must be a whole number from 0"),
        ("echo", {"name": "a", "version": True}, messages.INVALID, "it must be a whole number from 0"),
        ("echo", {"name": "a", "all": 1}, messages.INVALID, "it must be true or false"),
        ("broken", {}, messages.FAILED_REQUEST, "internal error: ZeroDivisionError; please report it as a bug"),
    ],
)
def test_a_request_is_refused_with_a_sentence(script, operation, parameters, category, message):
    with serving(script, lambda: Requests(OPERATIONS)):
        with pytest.raises(RequestRefused) as refused:
            request(operation, **parameters)
        assert refused.value.category == category
        assert message in str(refused.value)
        assert request("echo", name="later")["name"] == "later"  # the server goes on


def test_an_agent_that_ends_answers_no_process(script):
    arrived = threading.Event()
    ended = []

    async def never(_):
        arrived.set()
        await asyncio.Event().wait()

    def ask():
        with pytest.raises(RequestRefused) as refused:
            request("never")
        ended.append(str(refused.value))

    asking = threading.Thread(target=ask)
    with serving(script, lambda: Requests({"never": never})):
        asking.start()
        assert arrived.wait(10)
    asking.join(10)
    assert ended == ["The agent ended before it answered the request; the step is ending, or its worker starts again."]


def test_a_process_outside_of_a_step_has_no_agent_to_ask(monkeypatch):
    monkeypatch.delenv(context.VARIABLE, raising=False)
    with pytest.raises(RequestRefused, match="not part of a step"):
        request("echo", name="a")


def test_a_worker_answers_requests_and_forgets_those_of_dead_processes():
    async def scenario():
        cancelled, begun = asyncio.Event(), asyncio.Event()

        async def never(_):
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        requests = Requests({"echo": echoed, "never": never})
        worker = Worker(JOB, SPEC, agent="worker-0.1.a", requests=requests)
        asking, waiting = Connection(worker), Connection(worker)
        asking.send([messages.REQUEST, "process000", "echo", {"name": "a"}])
        waiting.send([messages.REQUEST, "process001", "never", {}])
        await begun.wait()
        assert requests.waiting() == {"process001": 1}
        assert asking.received == [[messages.ANSWER, {"name": "a", "version": None, "all": False}]]
        assert asking.is_closing()
        waiting.hang_up()
        await cancelled.wait()
        await requests.close()
        assert requests.waiting() == {}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "message",
    [
        [messages.REQUEST, "process000", "echo"],
        [messages.REQUEST, "process000", "echo", []],
        [messages.REQUEST, 0, "echo", {}],
        [messages.REQUEST, "process000", "e" * 101, {}],
        [messages.REQUEST, "p" * 101, "echo", {}],
    ],
)
def test_a_malformed_request_is_disconnected(message):
    async def scenario():
        requests = Requests(OPERATIONS)
        connection = Connection(Worker(JOB, SPEC, agent="worker-0.1.a", requests=requests))
        connection.send(message)
        assert connection.is_closing()
        assert connection.received == []

    asyncio.run(scenario())


def test_a_connection_carries_one_request():
    async def scenario():
        requests = Requests({"never": lambda _: asyncio.Event().wait()})
        connection = Connection(Worker(JOB, SPEC, agent="worker-0.1.a", requests=requests))
        connection.send([messages.REQUEST, "", "never", {}], [messages.REQUEST, "", "never", {}])
        assert connection.is_closing()
        connection.hang_up()
        await requests.close()

    asyncio.run(scenario())


def test_the_number_of_unanswered_requests_is_bounded():
    async def scenario():
        requests = Requests({"never": lambda _: asyncio.Event().wait()})
        worker = Worker(JOB, SPEC, agent="worker-0.1.a", requests=requests)
        for _ in range(MOST):
            Connection(worker).send([messages.REQUEST, "", "never", {}])
        last = Connection(worker)
        last.send([messages.REQUEST, "", "never", {}])
        [[kind, category, text]] = last.received
        assert (kind, category) == (messages.REFUSED, messages.INVALID)
        assert text.startswith("The worker has 256 unanswered requests")
        await worker.close()

    asyncio.run(scenario())


def test_a_mapping_of_texts_is_checked_as_a_whole():
    assert Parameters("a", {"tags": {"x": "1"}}).texts("tags") == {"x": "1"}
    for wrong in ({"x": 1}, ["x"], {"x": "\ud800"}):
        with pytest.raises(RequestError, match='parameter "tags"'):
            Parameters("a", {"tags": wrong}).texts("tags")


def test_the_time_limits_of_a_process_that_waits_for_the_agent_stand_still():
    async def scenario():
        now = [1000.0]
        requests = Requests({"never": lambda _: asyncio.Event().wait()})
        job = replace(JOB, processes_per_worker=2, timeouts=Timeouts(init=10.0))
        worker = Worker(job, SPEC, agent="worker-0.1.a", requests=requests)
        worker._clock = lambda: now[0]
        worker.tick()
        host = Connection(worker)
        host.send(HELLO_HOST)
        children = [Connection(worker) for _ in range(2)]
        for process, each in enumerate(children):
            each.send(hello(process))
        waiting = Connection(worker)
        waiting.send([messages.REQUEST, "process001", "never", {}])
        for _ in range(8):  # ticks in which both are in init()
            now[0] += 1.5
            worker.tick()
        assert [header[1] for header in host.received if header[0] == messages.KILL] == [0]
        waiting.hang_up()
        await until(lambda: not requests.waiting())
        for _ in range(8):
            now[0] += 1.5
            worker.tick()
        assert [header[1] for header in host.received if header[0] == messages.KILL] == [0, 1]
        await worker.close()

    asyncio.run(scenario())
