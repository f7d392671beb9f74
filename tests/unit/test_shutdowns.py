"""What the processes of a run register in shutdown(): by which worker, how often, and when another must run it."""

import jobs
import pytest

from longshore_coordinator.shutdowns import Shutdowns
from longshore_protocol.job import Output
from longshore_protocol.registrations import DATASET, MODEL, Registration, unpack


def entry(name, key="0a", digest="d1", **fields):
    given = Registration(MODEL, name, (f"run:registered/{key}/net.pkl",), **fields)
    return [0, given.to_json(), digest]


@pytest.fixture
def job(tmp_path):
    return jobs.job(uri=str(tmp_path), max_tries=3)


def names(shutdowns, job):
    return [each.name for each in unpack(shutdowns.packed(job))]


def test_a_later_agent_of_a_worker_replaces_what_an_earlier_one_registered(job):
    shutdowns = Shutdowns()
    shutdowns.of_agent("w-0", [entry("a"), entry("b")], 2)
    shutdowns.of_agent("w-1", [entry("c")], 1)
    assert names(shutdowns, job) == ["a", "b", "c"]
    shutdowns.of_agent("w-0", [entry("d")], 1)
    assert names(shutdowns, job) == ["d", "c"]
    assert shutdowns.of_agent("w-0", [], 0) is None  # none of its processes ran shutdown()
    assert names(shutdowns, job) == ["d", "c"]


@pytest.mark.parametrize(
    ("other", "count"),
    [
        (entry("a", key="0b"), 1),
        (entry("a", key="0b", digest="d2"), 2),
        (entry("b", key="0b"), 2),
        (entry("a", key="0b", tags={"x": "y"}), 2),
        (entry("a", key="0b", description="Other."), 2),
    ],
)
def test_what_workers_register_alike_counts_once(job, other, count):
    shutdowns = Shutdowns()
    shutdowns.of_agent("w-0", [entry("a")], 1)
    shutdowns.of_agent("w-1", [other], 1)
    assert len(names(shutdowns, job)) == count


def test_the_registration_of_the_output_is_the_last(tmp_path):
    output = Output("append_row", str(tmp_path), registration=Registration(DATASET, "rows", ("output:output",)))
    shutdowns = Shutdowns()
    assert names(shutdowns, jobs.job(uri=str(tmp_path), output=output)) == ["rows"]
    shutdowns.of_agent("w-0", [entry("a")], 1)
    assert names(shutdowns, jobs.job(uri=str(tmp_path), output=output)) == ["a", "rows"]


def test_a_shutdown_is_owed_until_one_has_ended_but_not_for_ever(job):
    shutdowns = Shutdowns()
    assert not shutdowns.is_owed(job)
    shutdowns.restore({"defined": True})
    assert shutdowns.is_owed(job)
    for _ in range(3):
        assert shutdowns.is_owed(job)
        shutdowns.restore({"tries": 1})
    assert not shutdowns.is_owed(job)


def test_the_ledger_restores_everything(job):
    first, second = Shutdowns(), Shutdowns()
    record = first.of_agent("w-0", [entry("a")], 1)
    second.restore({"defined": True})
    second.restore(record)
    assert names(second, job) == ["a"]
    assert not second.is_owed(job)


def test_what_cannot_be_read_is_a_fault(job):
    shutdowns = Shutdowns()
    shutdowns.of_agent("w-0", [[0, "", "the records are no JSON"]], 1)
    with pytest.raises(ValueError, match="the records are no JSON"):
        shutdowns.packed(job)
