"""Entry scripts that work on many mini-batches at once: coroutines, and Azure ML's queue."""

import http.server
import json
import signal
import threading
from contextlib import suppress

import pytest

PATIENCE = 30.0  # seconds: far more than anything takes


class Scorer(http.server.ThreadingHTTPServer):
    """A service that answers GET /NAME with the length of the name, once `together` requests are in flight.

    A name in `never` is not answered before the end of the test, one that begins with "bad" with 500.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.together = 1
        self.never = set()
        self.asked = []
        self.most = 0
        self.over = threading.Event()
        self._in_flight = 0
        self._reached = False
        self._changed = threading.Condition()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def begin(self, name):
        with self._changed:
            self.asked.append(name)
            self._in_flight += 1
            self.most = max(self.most, self._in_flight)
            self._reached = self._reached or self._in_flight >= self.together
            self._changed.notify_all()
            if name not in self.never:
                self._changed.wait_for(lambda: self._reached, PATIENCE)
        if name in self.never:
            self.over.wait(PATIENCE)

    def answer(self):
        """Answer all from now on."""
        with self._changed:
            self._reached = True
            self._changed.notify_all()

    def end(self):
        with self._changed:
            self._in_flight -= 1


class Answer(http.server.BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self):
        name = self.path[1:]
        self.server.begin(name)
        body = json.dumps(len(name)).encode()
        self.server.end()
        with suppress(OSError):  # who asked is dead
            self.send_response(500 if name.startswith("bad") else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def scorer():
    """A running Scorer."""
    server = Scorer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


# What a user would do with an HTTP client for asyncio, in the terms of the standard library.
ASKS = """
import asyncio
import os
import sys
import urllib.parse

HOST, PORT = os.environ["SCORER"][len("http://"):].split(":")


async def ask(name):
    reader, writer = await asyncio.open_connection(HOST, int(PORT))
    try:
        writer.write(f"GET /{name} HTTP/1.0\\r\\n\\r\\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
    head, _, body = answer.partition(b"\\r\\n\\r\\n")
    if b" 200 " not in head.splitlines()[0]:
        raise ValueError(f"no score for {name}: {head.splitlines()[0].decode()}")
    return int(body)
"""
COROUTINES = (
    ASKS
    + """
state = {}


async def init():
    state["loop"] = asyncio.get_running_loop()
    state["running"] = 0


async def run(mini_batch, context):
    assert asyncio.get_running_loop() is state["loop"]
    names = [os.path.basename(each) for each in mini_batch]
    return [f"{context.minibatch_index} {name} {await ask(name)}" for name in names]


async def shutdown():
    assert asyncio.get_running_loop() is state["loop"]
    print("closed")
"""
)


@pytest.fixture
def scored(longshore, scorer):
    """Run a step whose script asks the Scorer for each of its files."""

    def run(script, names, /, *arguments, start=False, **spec):
        longshore.data(*names)
        longshore.write("code/entry.py", script)
        variables = {"SCORER": scorer.url}
        step = {"miniBatchSize": 1, "environmentVariables": variables, "source": {"uri": "code"}, **spec}
        longshore.manifest(longshore.step("entry.py", **step))
        return longshore.start(*arguments) if start else longshore.run(*arguments)

    return run


def names(count):
    return [f"{number:03d}" + "x" * (number % 7) for number in range(count)]


def test_as_many_mini_batches_as_the_setting_says_are_in_flight_in_one_process(scored, scorer):
    scorer.together = 12
    ended = scored(COROUTINES, names(50), maxConcurrencyPerProcess=12)
    assert ended.code == 0, ended.first_error
    assert ended.rows == [f"{number} {name} {len(name)}" for number, name in enumerate(names(50))]
    assert scorer.most == 12
    assert sorted(scorer.asked) == names(50)  # each once
    assert ended.logs("user/stdout/worker-0/*") == "closed\n"
    assert ended.logs("user/stderr/worker-0/*") == ""


def test_an_exception_fails_its_mini_batch_and_no_other(scored):
    ended = scored(COROUTINES, ["a", "bad-b", "c", "d"], runMaxTry=2, maxConcurrencyPerProcess=4)
    assert ended.code == 3
    assert ended.rows == ["0 a 1", "2 c 1", "3 d 1"]
    (failed,) = ended.failed
    assert (failed["miniBatch"], failed["attempts"], failed["category"]) == (1, 2, "UserError")
    assert failed["message"] == "ValueError: no score for bad-b: HTTP/1.0 500 Internal Server Error"
    error = ended.log("user/error/worker-0/process000.txt")
    assert 'entry.py", line' in error
    assert "longshore_host" not in error


def test_a_mini_batch_that_takes_too_long_is_cancelled_and_the_others_go_on_in_the_same_process(scored, scorer):
    scorer.never = {"b"}
    ended = scored(COROUTINES, ["a", "b", "c"], runMaxTry=1, runInvocationTimeoutSeconds=1)
    assert ended.code == 3, ended.first_error
    assert ended.rows == ["0 a 1", "2 c 1"]
    (failed,) = ended.failed
    assert (failed["miniBatch"], failed["category"]) == (1, "Timeout")
    assert failed["message"] == "run() took longer than runInvocationTimeoutSeconds (1 s)"
    assert "reader.read()" in ended.first_error["traceback"]  # where it waited
    assert [each.name for each in (ended.run_dir / "logs/user/stdout/worker-0").iterdir()] == ["process000.stdout.txt"]
    assert ended.logs("user/stdout/worker-0/*") == "closed\n"


STUBBORN = """
import asyncio
import os


async def run(mini_batch):
    while os.path.basename(mini_batch[0]) == "stubborn":
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
    return ["obeyed"]
"""
BLOCKS = """
import time


async def run(mini_batch):
    time.sleep(3600)
"""


@pytest.mark.parametrize(
    ("script", "files", "rows"), [(STUBBORN, ["a", "stubborn", "z"], ["obeyed"] * 2), (BLOCKS, ["a"], [])]
)
def test_a_script_that_does_not_obey_a_cancellation_loses_its_process(scored, script, files, rows):
    ended = scored(script, files, runMaxTry=1, runInvocationTimeoutSeconds=1, outputAction="append_row")
    (failed,) = ended.failed
    assert (failed["miniBatch"], failed["category"]) == (len(rows) // 2, "Timeout")
    assert failed["message"] == "run() took longer than runInvocationTimeoutSeconds (1 s)"
    assert failed["log"] == "logs/user/stderr/worker-0/process000.stderr.txt"  # said by the agent, who killed it
    if rows:
        assert ended.rows == rows


DIES = (
    ASKS
    + """
import signal


async def run(mini_batch, context):
    name = os.path.basename(mini_batch[0])
    score = await ask(name)  # answered once all are in flight
    if context.attempt == 1:
        if name == "killer":
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(3600)
    return [f"{name} {score} in attempt {context.attempt}"]
"""
)


def test_a_process_that_is_killed_with_many_in_flight_leaves_each_row_once(scored, scorer):
    files = ["a", "b", "c", "d", "killer", "z"]
    scorer.together = len(files)
    ended = scored(DIES, files, runMaxTry=2)
    assert ended.code == 0, ended.first_error
    assert ended.rows == [f"{name} {len(name)} in attempt 2" for name in files]
    assert ended.mini_batches == {"total": 6, "scheduled": 6, "succeeded": 6, "retried": 6}
    assert ended.first_error["message"] == "process000 was killed by SIGKILL"


def test_sys_exit_in_one_costs_that_one_a_try_and_the_others_none(scored, scorer):
    files = ["a", "b", "leaver"]
    scorer.together = 3
    script = DIES.replace("os.kill(os.getpid(), signal.SIGKILL)", "sys.exit(4)")
    # Only the first process lets the others wait without end.
    script = script.replace("if context.attempt == 1:", "if os.getcwd().endswith('process000'):")
    ended = scored(script.replace('"killer"', '"leaver"'), files, runMaxTry=2)
    assert ended.code == 0, ended.first_error
    assert ended.rows == ["a 1 in attempt 1", "b 1 in attempt 1", "leaver 6 in attempt 2"]
    assert ended.first_error["message"] == "the entry script called sys.exit(4) in run()"


def test_an_interrupted_run_ends_what_is_in_flight_and_goes_on_with_the_rest_when_resumed(scored, longshore, scorer):
    scorer.together = 1000  # nothing is answered yet
    command = scored(COROUTINES, names(40), start=True)
    longshore.wait_until(lambda: scorer.most == 16)
    command.signal(signal.SIGINT)
    longshore.wait_until(lambda: "interrupt again to stop at once" in command.stderr)
    scorer.answer()
    ended = command.wait()
    assert (ended.code, ended.reason) == (130, "Interrupted")
    assert ended.mini_batches["succeeded"] == len(scorer.asked) == 16
    assert ended.logs("user/stdout/worker-0/*") == "closed\n"

    resumed = longshore.run("--resume", str(longshore.run_dir))
    assert resumed.code == 0, resumed.first_error
    assert resumed.rows == [f"{number} {name} {len(name)}" for number, name in enumerate(names(40))]
    assert sorted(scorer.asked) == names(40)


FORKS = (
    ASKS
    + """
ORIGINAL = os.getpid()


async def init():
    if FORK_IN == "init":
        os.fork()


async def run(mini_batch):
    name = os.path.basename(mini_batch[0])
    score = await ask(name)
    if FORK_IN == "run" and name.startswith("003"):
        os.fork()
    return [f"{name} {score} {os.getpid() == ORIGINAL}"]
"""
)


@pytest.mark.parametrize("where", ["init", "run"])
def test_a_copy_that_a_script_forks_and_lets_return_neither_answers_nor_disturbs(scored, scorer, where):
    ended = scored(f"FORK_IN = {where!r}\n{FORKS}", names(30), runMaxTry=1)
    assert ended.code == 0, ended.first_error
    assert ended.rows == [f"{name} {len(name)} True" for name in names(30)]
    assert sorted(scorer.asked) == names(30)
    assert ended.logs("sys/node/*/agent.txt") == ""


def test_rows_are_read_beside_the_loop_and_reach_a_coroutine_as_a_table(longshore):
    longshore.write("data/rows.csv", "n\n" + "".join(f"{number}\n" for number in range(20)))
    longshore.write("code/entry.py", """
import asyncio

async def run(table):
    await asyncio.sleep(0)
    return table * 10
""")  # fmt: skip
    given = [{"name": "rows", "tabular": {"format": "csv", "paths": ["data/*"]}}]
    step = {"inputs": given, "miniBatchSize": None, "miniBatch": {"rows": 2}, "source": {"uri": "code"}}
    longshore.manifest(longshore.step("entry.py", **step))
    ended = longshore.run()
    assert ended.code == 0, ended.first_error
    assert ended.rows == [str(number * 10) for number in range(20)]
    assert ended.items == {"total": 20, "succeeded": 20}


REFUSED = {
    "an asynchronous generator": (
        "async def run(mini_batch):\n    yield mini_batch",
        "run() in entry.py is a generator (it uses yield): it must return a list or a DataFrame",
    ),
    "an object whose call is one": (
        "class Run:\n    async def __call__(self, mini_batch):\n        yield 1\n\n\nrun = Run()",
        "run() in entry.py is a generator (it uses yield): it must return a list or a DataFrame",
    ),
    "too many arguments": (
        "async def run(a, b, c):\n    return []",
        "run() takes 3 arguments: it must take (mini_batch) or (mini_batch, context)",
    ),
    "an init() that nobody would wait for": (
        "async def init():\n    pass\n\n\ndef run(mini_batch):\n    return []",
        "init() in entry.py is a coroutine function, and run() is none",
    ),
    "an init() that fails": (
        "async def init():\n    raise ValueError('no key')\n\n\nasync def run(mini_batch):\n    return []",
        "init() failed: ValueError: no key",
    ),
}


@pytest.mark.parametrize(("script", "sentence"), REFUSED.values(), ids=REFUSED)
def test_an_asynchronous_script_that_cannot_be_used_is_refused_with_a_sentence(scored, script, sentence):
    ended = scored(script + "\n", ["a"])
    assert (ended.code, ended.reason) == (1, "InitFailed")
    assert ended.first_error["message"] == sentence


CALLABLES = {
    "an object": "class Run:\n    async def __call__(self, mini_batch):\n        return [1]\n\n\nrun = Run()",
    "a partial": (
        "import functools\n\n\nasync def score(model, mini_batch):\n    return [model]\n\n\n"
        "run = functools.partial(score, 1)"
    ),
    "a function whose init() is none": (
        "import asyncio\n\n\ndef init():\n    asyncio.run(asyncio.sleep(0))\n\n\n"
        "async def run(mini_batch):\n    await asyncio.sleep(0)\n    return [1]"
    ),
}


@pytest.mark.parametrize("script", CALLABLES.values(), ids=CALLABLES)
def test_any_callable_that_makes_a_coroutine_is_asynchronous(scored, script):
    ended = scored(script + "\n", ["a", "b"])
    assert ended.code == 0, ended.first_error
    assert ended.rows == ["1", "1"]


def test_a_coroutine_that_a_plain_run_returns_is_told_apart_from_a_result(scored):
    script = "async def score(mini_batch):\n    return [1]\n\n\ndef run(mini_batch):\n    return score(mini_batch)\n"
    ended = scored(script, ["a"], runMaxTry=1)
    assert ended.first_error["category"] == "WrongReturn"
    assert ended.first_error["message"] == (
        "run() returned a coroutine, which nobody waits for; an asynchronous run() is defined by async def"
    )


# --- Azure ML's queue -----------------------------------------------------------------------------------------------

QUEUE = """
import argparse
import os
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

parser = argparse.ArgumentParser()
parser.add_argument("--amlbi_async_mode", dest="async_mode", default="False")
args, _ = parser.parse_known_args()
flights = {}


def init():
    global pool
    pool = ThreadPoolExecutor(64)


def score(mini_batch):
    answers = []
    for each in mini_batch:
        name = os.path.basename(each)
        with urllib.request.urlopen(os.environ["SCORER"] + "/" + name) as answer:
            answers.append(f"{name} {answer.read().decode()} {args.async_mode}")
    return answers


def run(mini_batch, mini_batch_context):
    return score(mini_batch)


def enqueue(mini_batch, mini_batch_context):
    if os.path.basename(mini_batch[0]) == "refused":
        raise ValueError("not this one")
    flights[mini_batch_context.minibatch_index] = (mini_batch_context, pool.submit(score, mini_batch))


def check_all_tasks_processed():
    return not flights


def get_processing_batch_number():
    return len(flights)


def get_finished_batch_result():
    found = {}
    for index, (context, future) in list(flights.items()):
        if future.done():
            del flights[index]
            error = future.exception()
            result = [] if error else future.result()
            found[index] = {"ret": result, "mini_batch_context": context, "exception": error}
    return found


def shutdown():
    print("closed", check_all_tasks_processed())
"""
ASYNC_MODE = ["--amlbi_async_mode", "True"]


def test_a_script_that_queues_has_as_many_mini_batches_in_flight(scored, scorer):
    scorer.together = 10
    ended = scored(QUEUE, names(40), arguments=ASYNC_MODE, maxConcurrencyPerProcess=10)
    assert ended.code == 0, ended.first_error
    assert ended.rows == [f"{name} {len(name)} True" for name in names(40)]
    assert scorer.most == 10
    assert sorted(scorer.asked) == names(40)
    assert ended.logs("user/stdout/worker-0/*") == "closed True\n"
    assert ended.logs("user/stderr/worker-0/*") == ""


@pytest.mark.parametrize("arguments", [[], ["--amlbi_async_mode", "False"]])
def test_a_script_that_has_both_runs_one_after_the_other_if_it_is_not_told_otherwise(scored, scorer, arguments):
    ended = scored(QUEUE, ["a", "b"], arguments=arguments)
    assert ended.code == 0, ended.first_error
    assert ended.rows == ["a 1 False", "b 1 False"]
    assert scorer.most == 1


def test_a_script_that_has_no_run_needs_no_flag(scored, scorer):
    scorer.together = 2
    ended = scored(QUEUE.replace("def run(", "def unused("), ["a", "b"])
    assert ended.code == 0, ended.first_error
    assert ended.rows == ["a 1 False", "b 1 False"]


def test_what_a_queue_says_of_one_mini_batch_fails_that_one(scored):
    ended = scored(QUEUE, ["a", "bad", "refused"], arguments=ASYNC_MODE, runMaxTry=2)
    assert ended.code == 3
    assert ended.rows == ["a 1 True"]
    assert [(each["miniBatch"], each["attempts"], each["message"]) for each in ended.failed] == [
        (1, 2, "HTTPError: HTTP Error 500: Internal Server Error"),
        (2, 2, "ValueError: not this one"),
    ]


def test_a_queue_that_is_too_slow_with_one_loses_its_process_and_that_one_a_try(scored, scorer):
    scorer.never = {"b"}
    ended = scored(QUEUE, ["a", "b"], arguments=ASYNC_MODE, runMaxTry=1, runInvocationTimeoutSeconds=1)
    assert ended.code == 3
    assert ended.rows == ["a 1 True"]
    (failed,) = ended.failed
    assert (failed["miniBatch"], failed["category"]) == (1, "Timeout")
    assert failed["message"] == "run() took longer than runInvocationTimeoutSeconds (1 s)"


REQUIRED = "it must return a list, tuple, array or pandas.DataFrame with one element or row per item that succeeded"
ASKED = "get_finished_batch_result()"
WRONG = {
    "a list": ("[[1]]", f"{ASKED} returned a value of type list; it must return a dict by minibatch_index"),
    "a bare result": (
        "{'0': [1]}",
        f'{ASKED} has a value of type list for a mini-batch; it must be {{"ret": result, "exception": error or None}}',
    ),
    "None for a result": ("{'0': {'ret': None}}", f"run() returned None; {REQUIRED}"),
    "an exception's text": ("{0: {'ret': [], 'exception': 'over quota'}}", "RuntimeError: over quota"),
    "an error of its own": ("1 / 0", "ZeroDivisionError: division by zero"),
}


@pytest.mark.parametrize(("returned", "sentence"), WRONG.values(), ids=WRONG)
def test_what_a_queue_returns_must_be_what_azure_ml_takes(scored, returned, sentence):
    script = (
        f"def enqueue(mini_batch, context):\n    pass\n\n\ndef get_finished_batch_result():\n    return {returned}\n"
    )
    ended = scored(script, ["a"], runMaxTry=1)
    assert ended.first_error["message"] == sentence


def test_a_result_of_nothing_that_is_under_way_is_told_and_does_no_harm(scored):
    script = """
def enqueue(mini_batch, context):
    pass


def get_finished_batch_result():
    return {"7": {"ret": []}, "0": {"ret": ["row"], "exception": None}}
"""
    ended = scored(script, ["a"])
    assert ended.rows == ["row"]
    said = "longshore: get_finished_batch_result() has a result of 7, which is not under way\n"
    assert ended.logs("user/stderr/worker-0/*") == said
