"""Entry scripts that work on many mini-batches at once: coroutines."""

import signal

import pytest
from scorer import names

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


def test_as_many_mini_batches_as_the_setting_allows_are_in_flight_in_one_process(scored, scorer):
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


def test_a_coroutine_that_a_plain_run_returns_is_distinguished_from_a_result(scored):
    script = "async def score(mini_batch):\n    return [1]\n\n\ndef run(mini_batch):\n    return score(mini_batch)\n"
    ended = scored(script, ["a"], runMaxTry=1)
    assert ended.first_error["category"] == "WrongReturn"
    assert ended.first_error["message"] == (
        "run() returned a coroutine, which is not awaited; define an asynchronous run() with async def"
    )
