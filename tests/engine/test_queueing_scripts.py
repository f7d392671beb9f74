"""Entry scripts that work on many mini-batches at once by Azure ML's queue: enqueue and get_finished_batch_result."""

import pytest
from scorer import names

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
def test_a_script_that_has_both_runs_one_after_the_other_if_it_is_not_configured_otherwise(scored, scorer, arguments):
    ended = scored(QUEUE, ["a", "b"], arguments=arguments)
    assert ended.code == 0, ended.first_error
    assert ended.rows == ["a 1 False", "b 1 False"]
    assert scorer.most == 1


def test_a_script_that_has_no_run_needs_no_flag(scored, scorer):
    scorer.together = 2
    ended = scored(QUEUE.replace("def run(", "def unused("), ["a", "b"])
    assert ended.code == 0, ended.first_error
    assert ended.rows == ["a 1 False", "b 1 False"]


def test_what_a_queue_reports_of_one_mini_batch_fails_that_one(scored):
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


def test_a_result_of_nothing_that_is_under_way_is_reported_and_does_no_harm(scored):
    script = """
def enqueue(mini_batch, context):
    pass


def get_finished_batch_result():
    return {"7": {"ret": []}, "0": {"ret": ["row"], "exception": None}}
"""
    ended = scored(script, ["a"])
    assert ended.rows == ["row"]
    said = "longshore: get_finished_batch_result() has a result of 7, which is not running\n"
    assert ended.logs("user/stderr/worker-0/*") == said
