"""A script that speaks to the agent in its process's stead: its mini-batch fails with the reason, and no other."""

import pytest

# Each mini-batch, one file of which the name is a number, sends one malformed message, until there is a file "honest".
CHEATS = """
import gc
import os

from longshore_host.connection import Connection
from longshore_protocol import frames

FAILED = ["failed", 0, 1, 1, "UserError", "no", "", 0.0, 0.1]
DONE = ["done", 0, 1, 1, 1, 0, 0, 0, 0, ""]


def changed(message, place, value):
    return [*message[:place], value, *message[place + 1:]]


MESSAGES = [
    changed(FAILED, 4, "Sabotage"),
    changed(FAILED, 7, 1e300),
    changed(FAILED, 5, ["no"]),
    changed(FAILED, 8, float("nan")),
    changed(DONE, 9, "\\ud800"),
    changed(DONE, 3, -1),
    ["spawn", 1, 1],
    {"kind": "done"},
]


def run(mini_batch, context):
    number = int(os.path.basename(mini_batch[0]))
    if number < len(MESSAGES) and not os.path.exists(os.path.join(os.path.dirname(__file__), "..", "honest")):
        message = MESSAGES[number]
        if isinstance(message, list) and len(message) > 3:
            message[1:3] = [int(context.minibatch_index), context.attempt]
        (connection,) = [each for each in gc.get_objects() if isinstance(each, Connection)]
        connection.send(message)
    return [number]
"""
REASONS = [
    "in failed, the category is 'Sabotage'; it must be one of ",
    "in failed, the start is 1e+300; it must be a number from ",
    'in failed, the message is ["no"]; it must be a text ',
    "in failed, the elapsed time is NaN; it must be a number from ",
    "in done, the header is not valid text",
    "in done, the number of results is -1; it must be a whole number from ",
    "'spawn' is not a message that this peer may send",
    "a frame's header is not a JSON array with an element",
]


@pytest.fixture
def cheated(longshore):
    longshore.data(*map(str, range(len(REASONS) + 1)))
    longshore.write("code/cheats.py", CHEATS)
    longshore.manifest(
        longshore.step(
            "cheats.py", source={"uri": "code"}, miniBatchSize=1, runMaxTry=1, errorThreshold=len(REASONS) - 1
        )
    )
    return longshore


def test_whatever_a_script_sends_its_mini_batch_alone_fails_and_the_run_can_be_resumed(cheated):
    ended = cheated.run()
    assert (ended.code, ended.reason) == (1, "ErrorThresholdExceeded")
    failed = {int(each["items"][0].rpartition("/")[2]): each for each in ended.failed}
    assert sorted(failed) == list(range(len(REASONS)))
    for number, reason in enumerate(REASONS):
        assert failed[number]["category"] == "ProcessDied"
        assert failed[number]["message"].startswith(f"its process sent a malformed message: {reason}")
    cheated.write("honest", "")
    resumed = cheated.resume()
    assert (resumed.code, resumed.mini_batches["succeeded"]) == (0, len(REASONS) + 1)
