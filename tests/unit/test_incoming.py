"""What agents send, and what earlier ledgers hold: checked or repaired before anything is applied."""

import json

import pytest

from longshore_coordinator import incoming
from longshore_coordinator.incoming import MalformedMessageError, repair
from longshore_protocol import wire
from longshore_protocol.segments import decode_digests, digest_of, encode_digests
from longshore_protocol.wire import Completion, Failure

DONE = Completion(0, 1, 0, 4, 1, 1, -1, 0, 1_700_000_000_000_000, 10, 10, 10)
FAILED = Failure(1, 1, 1, 0, "UserError", "no", "", 1.7e9, 0.1, "logs/x")
READY = {"process": "process000", "state": "ready", "mini_batch": None, "seconds": 1.0, "device": "cpu"}


def report(**changes):
    return {**wire.report("w0.1.x", 1, segment="s", completed=[DONE], failed=[FAILED], processes=[READY]), **changes}


def check(body):
    return incoming.report(json.dumps(body).encode())


def test_a_sound_report_passes_as_it_is():
    assert check(report()) == json.loads(json.dumps(report())) | {"failed": [FAILED]}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"epoch": "1"}, 'epoch is "1"; it must be a whole number from 0 to'),
        ({"agent": 7}, "agent is 7; it must be a text of a length from 1 to"),
        ({"held": [[1, True]]}, "in held, attempt is true; it must be a whole number"),
        ({"held": [[1]]}, "in held, it has 1 values; it must have 2"),
        ({"returned": [1]}, "an element of returned is not a list"),
        ({"completed": [list(DONE), "x"]}, "an element of completed is not a list"),
        ({"completed": [list(DONE), [*DONE[:8], 1e300, *DONE[9:]]]}, "in completed, started is 1e+300; it must be a"),
        ({"completed": [[*DONE[:4], -1, *DONE[5:]]]}, "in completed, succeeded is -1; it must be a whole number"),
        ({"completed": [list(DONE[:-1])]}, "in completed, it has 11 values; it must have 12"),
        ({"completed": [list(DONE._replace(header=0))]}, "in completed, a header index is out of range"),
        ({"headers": ["a\ud800"]}, "a header is not a valid string"),
        ({"digests": "AAAA"}, "digests do not match completed: expected 1 digests, but the text has 3 bytes"),
        ({"digests": "ä"}, "digests do not match completed: "),
        ({"failed": [list(FAILED._replace(category="Sabotage"))]}, "in failed, the category 'Sabotage' does not exist"),
        ({"failed": [list(FAILED._replace(message=["no"]))]}, 'in failed, message is ["no"]; it must be a text'),
        ({"failed": [list(FAILED._replace(started=float("nan")))]}, "in failed, started is NaN; it must be a number"),
        ({"failed": [list(FAILED._replace(elapsed=1e300))]}, "in failed, elapsed is 1e+300; it must be a number"),
        ({"init_failed": [{}]}, "an element of init_failed is not a list"),
        ({"deferred": [7]}, "an element of deferred is not a list"),
        ({"deferred": [[0, 1, "moon", "no"]]}, "in deferred, the origin 'moon' does not exist"),
        ({"deferred": [[0, 1, "store", ["no"]]]}, 'in deferred, message is ["no"]; it must be a text'),
        ({"deferred": [[-2, 1, "store", "no"]]}, "in deferred, mini-batch is -2; it must be a whole number from -1"),
        ({"fetched": -1}, "fetched is -1; it must be a whole number from 0 to"),
        ({"processes": ["ready"]}, "an element of processes is not an object"),
        ({"processes": [{"state": ["ready"]}]}, "in processes, state is not a string"),
        ({"processes": [{"state": wire.DOWNLOADING}]}, "in processes, what is not a string"),
        ({"processes": [{**READY, "device": 7}]}, "in processes, device is not a string"),
        ({"processes": [{**READY, "seconds": float("inf")}]}, "seconds is Infinity; it must be a number"),
        ({"processes": None}, "processes is null; it must be a list"),
    ],
)
def test_a_report_with_one_bad_value_is_refused_as_a_whole(changes, why):
    with pytest.raises(MalformedMessageError) as refused:
        check(report(**changes))
    assert str(refused.value).startswith(why)


@pytest.mark.parametrize("body", [b"[" * 200_000, b"\xff", b"{", b"[]", b"1" * 5000, b'{"agent":' * 100_000])
def test_what_is_no_json_object_is_refused(body):
    for read in (incoming.report, lambda each: incoming.message(each, incoming.LEASE)):
        with pytest.raises(MalformedMessageError):
            read(body)


@pytest.mark.parametrize("worker", ["", "../w", "w 0", "w\n0", "w\ud800", "-w", "w" * 254, 7, None, ["w"]])
def test_a_worker_has_a_name_that_files_and_segments_may_have(worker):
    with pytest.raises(MalformedMessageError, match="worker is"):
        incoming.registration(json.dumps({"worker": worker, "boot": "x", "protocol": 1}).encode())


def test_texts_are_printable_once_they_are_taken_in():
    bad = FAILED._replace(message="\x1b[31m\udcff", traceback="a\n\x00")
    bringing = {"state": wire.DOWNLOADING, "what": "\x1b[2J", "process": ""}
    found = check(report(failed=[bad], init_failed=[bad], processes=[bringing]))
    for failure in (*found["failed"], *found["init_failed"]):
        assert (failure.message, failure.traceback) == (r"\x1b[31m\xff", "a\n\\x00")
    assert found["processes"][0]["what"] == r"\x1b[2J"


UNREADABLE = {
    "unknown category": FAILED._replace(category="Sabotage"),
    "a time of the far future": FAILED._replace(started=1e300),
    "a list as message": FAILED._replace(message=["no"]),
    "not a number": FAILED._replace(elapsed=float("nan")),
    "too few values": FAILED[:4],
}


@pytest.mark.parametrize("failure", UNREADABLE.values(), ids=UNREADABLE)
def test_a_try_in_an_earlier_ledger_that_cannot_be_read_still_counts(failure):
    record = json.loads(json.dumps({"tried": {"worker": "w0", "terminal": True, "failure": failure}}))
    entry = repair(record)["tried"]
    sound = Failure(*entry["failure"])
    assert (sound.mini_batch, sound.attempt, entry["terminal"]) == (1, 1, True)
    if len(failure) == len(FAILED):
        assert (sound.category, sound.started, sound.elapsed) == ("ProcessDied", 0.0, 0.0)
        assert sound.message.startswith("its process sent a malformed message: ")


def test_texts_of_an_earlier_ledger_are_printable_too():
    record = {"tried": {"worker": "w0", "terminal": False, "failure": FAILED._replace(message="\ud800")}}
    assert Failure(*repair(json.loads(json.dumps(record)))["tried"]["failure"]).message == r"\ud800"


def test_a_result_in_an_earlier_ledger_that_cannot_be_read_is_made_again_and_the_others_are_kept():
    digests = [digest_of(bytes([number])) for number in range(3)]
    unreadable = [*DONE[:8], 10**300, *DONE[9:]]
    entry = {
        "worker": "w0",
        "segment": "s",
        "headers": [],
        "mini_batches": [list(DONE), unreadable, list(DONE._replace(mini_batch=2))],
        "digests": encode_digests(digests),
    }
    kept = repair(json.loads(json.dumps({"done": entry})))["done"]
    assert [raw[0] for raw in kept["mini_batches"]] == [0, 2]
    assert decode_digests(kept["digests"], count=2) == [digests[0], digests[2]]


def test_a_try_of_no_mini_batch_is_left_out():
    assert repair({"tried": {"worker": "w0", "terminal": True, "failure": ["x", 1]}}) is None


@pytest.mark.parametrize("name", sorted(wire.report("w0.1.x", 1)))
def test_what_an_agent_of_another_version_does_not_report_has_its_default(name):
    raw = {**wire.report("w0.1.x", 1), "a_field_of_another_version": 7}
    default = raw.pop(name)
    if name in ("agent", "epoch"):
        with pytest.raises(MalformedMessageError, match=f"{name} is missing"):
            incoming.report(json.dumps(raw).encode())
    else:
        assert incoming.report(json.dumps(raw).encode())[name] == default
