"""The plan as it is held, and the reader that cuts it and refuses one that is not what it was."""

import errno
import json
import threading
from dataclasses import replace

import jobs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore_coordinator import plan as plans
from longshore_coordinator.enumerate import InputError, Slice
from longshore_coordinator.plan import Plan, PlanChangedError, PlanReader, PlanRecord
from longshore_protocol.job import APPEND_ROW, Input, MiniBatchSize, Timeouts
from longshore_protocol.wire import Grant, pack_grants, unpack_grants
from longshore_storage.errors import DatabaseError

JOB = jobs.job(Input("images", ("/in",)), Input("more", ("/more",)), action=APPEND_ROW)


def slices(names):
    return [Slice(0, 1, json.dumps([f"/in/{name}"]).encode()) for name in names]


def files(count):
    return [f"{number:05d}" for number in range(count)]


class Reading:
    """What a reader delivered, with the names it was given as its listing."""

    def __init__(self, names, *, earlier=(), job=JOB, fails_after=None, stop_after=None, listing=None):
        self.record = PlanRecord()
        for entry in earlier:
            self.record.update(entry)
        self.slices, self.lots, self.entries, self.ends = [], [], [], []
        self._fails_after, self._stop_after = fails_after, stop_after
        self.reader = PlanReader(
            job,
            self.record,
            deliver=self._take,
            ended=self.ends.append,
            cut=listing or (lambda _: self._listing(names)),
        )
        self.reader.start()
        self.reader.join()

    def _listing(self, names):
        for number, each in enumerate(slices(names)):
            if number == self._fails_after:
                raise InputError("the listing broke off")
            yield each

    def _take(self, lot, entry):
        self.entries.append(json.loads(json.dumps(entry)))
        self.slices += lot
        if lot:
            self.lots.append(len(lot))
        if self._stop_after is not None and len(self.slices) >= self._stop_after:
            self.reader.stop()

    @property
    def refusal(self):
        (error,) = self.ends
        assert isinstance(error, PlanChangedError)
        return str(error)


@pytest.fixture(autouse=True)
def lots_depend_on_no_clock(monkeypatch):
    monkeypatch.setattr(plans, "_LOT_SECONDS", 3600.0)


# --- the plan --------------------------------------------------------------------------------------------------------


def test_a_grant_carries_attempt_input_and_slice_of_its_mini_batch():
    plan = Plan()
    plan.add([Slice(0, 2, b'["/in/a","/in/b"]'), Slice(1, None, b'{"path":"/more/c","start":0,"end":9}')])
    granted = plan.grants([(1, 3), (0, 1)])
    assert granted == [
        Grant(1, 3, 1, b'{"path":"/more/c","start":0,"end":9}'),
        Grant(0, 1, 0, b'["/in/a","/in/b"]'),
    ]
    assert unpack_grants(pack_grants({}, granted)) == ({}, granted)
    assert plan.grants([]) == []


def test_a_plan_counts_its_items_where_they_are_known():
    plan = Plan()
    plan.add([Slice(0, 3, b'["/a","/b","/c"]'), Slice(1, 0, b'{"path":"/d"}')])
    assert (len(plan), plan.items(0), plan.items(1), plan.items_counted()) == (2, 3, 0, 3)
    plan.add([Slice(1, None, b'{"path":"/e","start":0,"end":9}')])
    assert (plan.items(2), plan.items_scheduled, plan.items_counted()) == (1, 3, None)


def test_a_mini_batch_is_described_by_its_input_and_its_slice():
    plan = Plan()
    plan.add([Slice(1, 1, b'["/more/a"]')])
    assert plan.describe(0, JOB) == {"input": "more", "items": ["/more/a"]}
    assert plan.describe(-1, JOB) == {}


# --- reading ---------------------------------------------------------------------------------------------------------


def test_a_plan_is_passed_on_whole_and_in_order_the_first_mini_batch_by_itself():
    reading = Reading(files(2500))
    assert reading.slices == slices(files(2500))
    assert reading.lots == [1, 10, 100, 1000, 1000, 389]
    assert reading.ends == [None]


def test_each_lot_is_a_checkpoint_in_the_ledger_before_the_settings_and_then_the_total():
    reading = Reading(files(50))
    assert list(reading.entries[0]) == ["settings"]
    assert [(each["count"], each["first"]) for each in reading.entries[1:-1]] == [
        (1, "/in/00000"),
        (11, "/in/00001"),
        (50, "/in/00011"),
    ]
    assert reading.entries[-1] == {"total": 50}


def test_what_the_listing_raises_ends_the_plan_and_what_was_cut_before_stands():
    reading = Reading(files(50), fails_after=20)
    (error,) = reading.ends
    assert str(error) == "the listing broke off"
    assert len(reading.slices) == 11
    assert {"total": 20} not in reading.entries


def test_a_reader_that_is_stopped_reports_nothing_of_an_end():
    reading = Reading(files(5000), stop_after=11)
    assert len(reading.slices) == 11
    assert reading.ends == []
    assert not any("total" in each for each in reading.entries)


def test_a_sample_is_the_beginning_of_the_plan():
    reading = Reading(files(50), job=replace(JOB, sample=7))
    assert reading.slices == slices(files(7))
    assert reading.entries[-1] == {"total": 7}


def test_a_sample_of_an_endless_listing_ends():
    def endless(_):
        yield from iter(lambda: Slice(0, 1, b'["/in/same"]'), None)

    assert len(Reading((), listing=endless, job=replace(JOB, sample=30)).slices) == 30


def test_mini_batches_are_passed_on_while_the_listing_goes_on():
    seen = threading.Event()
    handed_over = []

    def listing(_):
        yield from slices(["a"])
        assert seen.wait(60), "the first mini-batch was not handed over before the second was listed"
        yield from slices(["b"])

    def deliver(lot, _):
        handed_over.extend(lot)
        if lot:
            seen.set()

    ends = []
    reader = PlanReader(JOB, PlanRecord(), deliver=deliver, ended=ends.append, cut=listing)
    reader.start()
    reader.join()
    assert (ends, handed_over) == ([None], slices(["a", "b"]))


# --- reading again ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_after", [None, 1, 11, 111, 1111], ids=lambda value: f"interrupted after {value}")
def test_a_plan_that_is_what_it_was_is_read_again(stop_after):
    earlier = Reading(files(2500), stop_after=stop_after).entries
    again = Reading(files(2500), earlier=earlier)
    assert (again.ends, again.slices) == ([None], slices(files(2500)))


@pytest.mark.parametrize("place", [0, 1, 10, 11, 110, 500, 1110, 1111, 2000, 2499])
@pytest.mark.parametrize("change", ["another file", "a file less", "a file more"])
def test_a_change_at_any_place_is_refused_and_nothing_of_its_lot_is_passed_on(place, change):
    earlier = Reading(files(2500)).entries
    now = files(2500)
    now[place : place + (change != "a file more")] = [] if change == "a file less" else [f"{place:05d}-new"]
    reading = Reading(now, earlier=earlier)
    checkpoints = [0, 1, 11, 111, 1111, 2111, 2500]
    proven = max(count for count in checkpoints if count <= place)
    assert reading.slices == slices(files(proven))
    end = next(count for count in checkpoints if count > place)
    if len(now) >= end:
        assert f"The files changed between mini-batch {proven} and {end - 1}, of which the first" in reading.refusal
    else:
        assert reading.refusal == "The plan had 2500 mini-batches and has 2499 now."


def test_a_file_more_at_the_end_is_refused_when_the_inputs_were_listed_to_their_end():
    reading = Reading(files(21), earlier=Reading(files(20)).entries)
    assert reading.refusal == "The plan had 20 mini-batches and has 21 now."
    assert reading.slices == slices(files(20))


def test_a_file_more_beyond_where_the_listing_was_interrupted_is_no_change():
    earlier = Reading(files(2500), stop_after=111).entries
    reading = Reading(files(3000), earlier=earlier)
    assert (reading.ends, len(reading.slices)) == ([None], 3000)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda now: now.remove("00011"),
            'between mini-batch 11 and 110, of which the first was "/in/00011" and is "/in/00012" now.',
        ),
        (
            lambda now: now.remove("00050"),
            'between mini-batch 11 and 110, of which the first was "/in/00011".',
        ),
    ],
    ids=["the first of a lot", "inside a lot"],
)
def test_the_refusal_states_where(change, sentence):
    now = files(500)
    change(now)
    assert Reading(now, earlier=Reading(files(500)).entries).refusal == f"The files changed {sentence}"


def test_a_plan_that_was_empty_and_is_not_any_more_is_refused():
    reading = Reading(files(3), earlier=Reading([]).entries)
    assert reading.refusal == "The plan had 0 mini-batches and has 3 now."
    assert reading.slices == []


def test_other_settings_are_refused_before_anything_is_listed():
    job = replace(JOB, mini_batch=MiniBatchSize("files", 3))
    reading = Reading(files(20), earlier=Reading(files(20)).entries, job=job)
    assert reading.refusal == 'The setting "mini-batch size" was "1 files" and is "3 files" now.'
    assert reading.entries == []


def test_another_sample_is_another_setting():
    earlier = Reading(files(20), job=replace(JOB, sample=5)).entries
    assert Reading(files(20), earlier=earlier).refusal == 'The setting "sample" was 5 and is null now.'


@given(
    stops=st.lists(st.integers(1, 60), max_size=3),
    lots=st.lists(st.integers(1, 20), min_size=4, max_size=4),
    place=st.none() | st.integers(0, 59),
)
def test_a_run_that_was_interrupted_several_times_is_resumed_exactly_when_nothing_changed(stops, lots, place):
    """Lots of other sizes each time: checkpoints lie where they lie, of a slow listing elsewhere than of a fast one."""
    earlier, listed_to = [], 0
    with pytest.MonkeyPatch.context() as patch:
        for stop, lot in zip(stops, lots, strict=False):
            patch.setattr(plans, "_LOT", lot)
            reading = Reading(files(60), earlier=earlier, stop_after=stop)
            earlier += reading.entries
            listed_to = max(listed_to, len(reading.slices))
        patch.setattr(plans, "_LOT", lots[-1])
        now = files(60)
        if place is not None:
            now[place] += "-new"
        reading = Reading(now, earlier=earlier)
    if place is None or place >= listed_to:
        assert (reading.ends, reading.slices) == ([None], slices(now))
    else:
        assert "The files changed between mini-batch" in reading.refusal
        assert reading.slices == slices(now)[: len(reading.slices)] == slices(files(60))[: len(reading.slices)]
        first = int(reading.refusal.split("mini-batch ")[1].split(" ")[0])
        was = reading.refusal.split('the first was "/in/')[1][:5]
        assert was == f"{first:05d}", "the sentence speaks of one place"


# --- a store that fails ----------------------------------------------------------------------------------------------


class HttpError(Exception):
    """As aiohttp's."""

    def __init__(self, status):
        super().__init__(f"{status}, nothing to see")
        self.status = status


def broken_by(cause):
    error = InputError('Input "images" cannot be listed. no')
    error.__cause__ = cause
    return error


OUTAGES = [
    HttpError(503),
    HttpError(429),
    TimeoutError("slow"),
    ConnectionResetError("gone"),
    OSError(errno.ESTALE, "Stale file handle"),
    OSError(errno.EIO, "Input/output error"),
    DatabaseError("the server is starting", is_final=False),
]


class Breaking:
    """A listing that breaks off, each time after so many mini-batches."""

    def __init__(self, names, *, cause, breaks):
        self.names, self.cause, self.breaks, self.calls = names, cause, list(breaks), 0

    def __call__(self, _):
        self.calls += 1
        end = self.breaks.pop(0) if self.breaks else None
        yield from slices(self.names[:end])
        if end is not None:
            raise broken_by(self.cause)


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(plans, "_FIRST_PAUSE", 0.001)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("cause", OUTAGES, ids=repr)
def test_a_listing_that_a_store_breaks_off_goes_on_where_it_was(cause):
    listing = Breaking(files(2500), cause=cause, breaks=(0, 700, 700, 1500))
    reading = Reading((), listing=listing)
    assert (reading.ends, reading.slices) == ([None], slices(files(2500)))
    assert listing.calls == 5
    again = Reading(files(2500), earlier=reading.entries)
    assert (again.ends, again.slices) == ([None], slices(files(2500)))


@pytest.mark.usefixtures("hurried")
def test_what_changed_between_two_listings_is_refused():
    contents = iter([files(2500), [*files(50), "new", *files(2500)[51:]]])
    listing = Breaking((), cause=HttpError(503), breaks=(700,))

    def changing(_):
        listing.names = next(contents)
        yield from listing(_)

    reading = Reading((), listing=changing)
    assert "The files changed between mini-batch 11 and 110" in reading.refusal
    assert reading.slices == slices(files(111))


@pytest.mark.usefixtures("hurried")
def test_a_store_that_stays_down_ends_the_listing_after_its_limit_and_states_why_it_waits():
    said, ends = [], []
    job = replace(JOB, timeouts=Timeouts(storage=0.2))
    listing = Breaking(files(5), cause=HttpError(503), breaks=[3] * 1000)
    reader = PlanReader(job, PlanRecord(), deliver=lambda *_: None, ended=ends.append, waits=said.append, cut=listing)
    reader.start()
    reader.join()
    [error] = ends
    assert str(error) == 'Input "images" cannot be listed. no'
    assert listing.calls > 2
    assert set(said) == {"", str(error)}


FINAL = [HttpError(404), HttpError(403), PermissionError(errno.EACCES, "Permission denied"), ValueError("no csv"), None]


@pytest.mark.parametrize("cause", FINAL, ids=repr)
def test_a_listing_that_cannot_succeed_later_is_not_tried_again(cause):
    listing = Breaking(files(50), cause=cause, breaks=(20,))
    reading = Reading((), listing=listing)
    assert [type(each) for each in reading.ends] == [InputError]
    assert listing.calls == 1


def test_a_reader_that_waits_for_a_store_ends_when_it_is_stopped():
    ends = []
    reader = PlanReader(
        JOB,
        PlanRecord(),
        deliver=lambda *_: None,
        ended=ends.append,
        waits=lambda why: why and reader.stop(),
        cut=Breaking(files(5), cause=HttpError(503), breaks=[0] * 1000),
    )
    reader.start()
    reader.join(60.0)
    assert not reader.is_alive()
    assert ends == []
