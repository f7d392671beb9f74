"""Texts of scripts that are no UTF-8, or would control a terminal: reported as text, whoever raises them."""

import json
import os

import pytest

NAME = b"caf\xe9 \x1b[31m.txt"  # Latin-1, and red
SHOWN = r"caf\xe9 \x1b[31m.txt"

RAISES = """
def run(mini_batch):
    raise ValueError("cannot score " + mini_batch[0])
"""
RAISES_ASYNC = """
async def run(mini_batch):
    raise ValueError("cannot score " + mini_batch[0])
"""
RAISES_IN_THE_QUEUE = """
waiting = {}

def enqueue(mini_batch, context):
    waiting[context.minibatch_index] = mini_batch

def get_finished_batch_result():
    found = {}
    for index, files in waiting.items():
        found[index] = {"ret": None, "exception": ValueError("cannot score " + files[0])}
    waiting.clear()
    return found
"""
RAISES_WHEN_LOOKED_AT = """
class Odd(Exception):
    def __str__(self):
        raise ValueError("cannot score " + self.args[0])

def run(mini_batch):
    raise Odd(mini_batch[0])
"""


@pytest.fixture
def odd(longshore):
    """Write a script and one file with an odd name; return a function that runs them."""

    def run(script, **spec):
        folder = longshore.write("data/.keep", "").parent
        (folder / ".keep").unlink()
        with open(os.fsencode(folder) + b"/" + NAME, "wb") as file:
            file.write(b"x")
        longshore.write("code/script.py", script)
        longshore.manifest(longshore.step("script.py", source={"uri": "code"}, errorThreshold=0, runMaxTry=1, **spec))
        return longshore.run()

    return run


@pytest.mark.parametrize("script", [RAISES, RAISES_ASYNC, RAISES_IN_THE_QUEUE])
def test_an_error_that_names_such_a_file_is_the_script_s_and_printable(odd, script):
    ended = odd(script, runInvocationTimeoutSeconds=30)
    assert (ended.code, ended.reason) == (1, "ErrorThresholdExceeded")
    assert ended.first_error["category"] == "UserError"
    assert ended.first_error["message"].startswith("ValueError: cannot score ")
    assert ended.first_error["message"].endswith(SHOWN)
    (failed,) = ended.failed
    assert os.fsencode(failed["items"][0]).endswith(NAME)  # enough to run it again
    assert r"caf\udce9" in ended.logs("user/error/worker-0/*")


def test_an_exception_that_cannot_be_printed_is_the_script_s_too(odd):
    ended = odd(RAISES_WHEN_LOOKED_AT)
    assert ended.first_error["category"] == "UserError"
    assert ended.first_error["message"] == "Odd: (an exception without text: its __str__ raises)"


def test_an_init_that_raises_such_a_text_fails_with_it(odd):
    ended = odd(
        "import os\n\ndef init():\n    raise ValueError(os.fsdecode(b'caf\\xe9 \\x1b[2J'))\n\ndef run(_):\n    pass\n"
    )
    assert (ended.code, ended.reason) == (1, "InitFailed")
    assert r"init() failed: ValueError: caf\xe9 \x1b[2J" in ended.succeeded["message"]


def test_such_a_name_can_be_printed_and_is_a_row_with_its_own_bytes(odd):
    ended = odd("import os\n\ndef run(files):\n    print(files[0])\n    return [os.path.basename(files[0])]\n")
    assert ended.code == 0
    assert ended.output == NAME + b"\n"
    assert r"caf\udce9" in ended.logs("user/stdout/worker-0/*")


def test_half_a_surrogate_pair_in_a_row_is_an_error_that_can_be_read(longshore):
    longshore.write("data/a.jsonl", json.dumps({"x": "half \ud83d"}) + "\n")
    longshore.write("code/script.py", "async def run(rows):\n    raise ValueError('cannot score ' + rows[0]['x'])\n")
    tabular = {"paths": ["data/*"], "format": "jsonl", "rowsAs": "dicts"}
    step = longshore.step(
        "script.py",
        source={"uri": "code"},
        inputs=[{"name": "rows", "tabular": tabular}],
        miniBatchSize="1KB",
        errorThreshold=0,
        runMaxTry=1,
    )
    longshore.manifest(step)
    ended = longshore.run()
    assert ended.first_error["category"] == "UserError"
    assert ended.first_error["message"] == r"ValueError: cannot score half \ud83d"
