"""How a task ended, in the few bytes that a container may leave behind."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore_agent.result_message import result_message
from longshore_protocol.registrations import LONGEST
from longshore_protocol.script_job import FAILED, SUCCEEDED, ScriptResult
from longshore_protocol.termination import LIMIT

GIT = {"repository": "https://example.com/r.git", "branch": "main", "commit": "0f8a7c52", "dirty": True}


def result(metrics=None, *, message="It ended.", state=SUCCEEDED, git=None):
    return ScriptResult(state, 0, message, metrics or {}, 1.0, 2.0, git)


def told(result):
    text = result_message(result)
    assert len(text.encode()) <= LIMIT
    return ScriptResult.from_json(text)


def test_what_fits_is_reported_whole():
    whole = result({"loss": 0.5, "rows": [{"a": 1}]}, git=GIT)
    assert told(whole) == whole


def test_metrics_are_left_out_from_the_largest():
    sizes = {"huge": "x" * 100_000, "large": [1.5] * 1000, "middle": "y" * 300, "small": 1}
    assert told(result(sizes)).metrics == {"middle": "y" * 300, "small": 1}


def test_no_more_metrics_are_left_out_than_need_be():
    many = {f"metric-{number:03}": number for number in range(400)}
    kept = told(result(many)).metrics
    assert len(kept) > 150
    assert len(json.dumps(kept, separators=(",", ":"))) > LIMIT - 200


def test_a_text_without_end_loses_its_middle_and_leaves_room_for_metrics():
    said = told(result({"loss": 1}, message="begin" + "x" * 3_000_000 + "end", state=FAILED))
    assert (said.message[:5], said.message[-3:], said.metrics) == ("begin", "end", {"loss": 1})


def test_texts_that_are_long_as_json_are_shortened():
    said = told(
        result(message="\N{SNOWMAN}" * 1000, git=dict.fromkeys(("repository", "branch", "commit"), "\x01" * 900))
    )
    assert said.message.startswith("\N{SNOWMAN}")


def test_half_a_character_is_reported_as_a_question_mark():
    assert told(result({"a": "\udce9"}, message="caf\udce9")).message == "caf?"


@given(
    st.dictionaries(st.text(max_size=9), st.text(max_size=3000) | st.integers() | st.lists(st.integers()), max_size=9),
    st.text(max_size=9000),
)
def test_it_always_fits(metrics, message):
    assert told(result(metrics, message=message)).state == SUCCEEDED


@pytest.mark.parametrize("git", [None, {**GIT, "repository": "r" * 9000}])
def test_a_repository_of_any_name_fits(git):
    told(result({"a": 1}, git=git))


@pytest.mark.parametrize("text", ["\x1b[2J", "\u202e", "\x00", "\x9b", "\udcff"])
def test_no_message_controls_a_terminal(text):
    assert text not in told(result(message=f"no {text}", state=FAILED)).message


def test_registrations_are_kept_whatever_else_is_left_out():
    git = {"repository": "r" * 5000, "branch": "b" * 5000, "commit": "c" * 40, "dirty": True}
    large = result({f"m{number}": number for number in range(1000)}, message="é" * 5000, git=git)
    assert told(replace(large, registered="r" * LONGEST, code="c" * 64)).registered == "r" * LONGEST
