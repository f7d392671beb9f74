"""A folder in which each test runs the `longshore` command."""

import threading
from collections import Counter

import pytest
from commands import Longshore
from noted_calls import NAMES, NOTES_CALLS
from scorer import Scorer
from sums import ADD, COMMON, MAKE, SQUARE, sums_spec


@pytest.fixture
def longshore(tmp_path):
    """A folder of its own for each test; nothing that ran there may outlive the test."""
    bench = Longshore(tmp_path)
    try:
        yield bench
        bench.nothing_is_left_running()
    finally:
        bench.kill_all()


@pytest.fixture
def noted(longshore):
    """A step over ten files whose script notes its calls; and a function that counts them by mini-batch."""
    longshore.data(*NAMES)
    longshore.write("code/notes_calls.py", NOTES_CALLS.format(folder=str(longshore.folder)))
    (longshore.folder / "calls").mkdir()

    def step(**spec):
        return longshore.step("notes_calls.py", source={"uri": "code"}, **spec)

    longshore.manifest(step())
    longshore.noted_step = step
    longshore.calls = lambda: Counter(int(each.name.split(".")[0]) for each in (longshore.folder / "calls").iterdir())
    return longshore


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


@pytest.fixture
def sums(longshore):
    """A pipeline that makes files, squares them in mini-batches of one, and adds up; its scripts note their calls."""
    for name, text in (("make", MAKE), ("square", SQUARE), ("add", ADD)):
        longshore.write(f"{name}/common.py", COMMON.format(folder=str(longshore.folder)))
        longshore.write(f"{name}/{name}.py", text)
    (longshore.folder / "calls").mkdir()
    longshore.sums = lambda **more: longshore.document("Pipeline", "sums", **(sums_spec() | more))
    longshore.manifest(longshore.sums())
    longshore.calls = lambda: Counter(each.name.split(".")[0] for each in (longshore.folder / "calls").iterdir())
    longshore.hold = lambda name: longshore.write(f"hold.{name}", "")
    longshore.release = lambda name: (longshore.folder / f"hold.{name}").unlink()
    longshore.forget = lambda: [each.unlink() for each in (longshore.folder / "calls").iterdir()]
    return longshore
