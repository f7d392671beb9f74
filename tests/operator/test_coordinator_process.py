"""The coordinator as the process of a pod: HTTPS, its last words, its end."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from coordinator_setup import PATIENCE, Setup, eventually, operating, port

from longshore_agent.fetch_source import fetch_source
from longshore_client import api
from longshore_coordinator.termination_message import termination_message
from longshore_operator.cluster.coordinators import CoordinatorError
from longshore_operator.manifests.credentials import issue
from longshore_protocol.job import APPEND_ROW, Input, Model, Output, Thresholds
from longshore_protocol.registrations import LONGEST
from longshore_protocol.snapshot import Device, FirstError, Snapshot
from longshore_protocol.termination import LIMIT
from longshore_storage.store import open_store


@contextmanager
def setup(folder, **what):
    with port() as number:
        pod = Setup(folder, number, **what)
        try:
            yield pod
        finally:
            for process in pod.processes:
                process.kill()
                process.wait()


def test_a_run_over_https_ends_with_its_output_and_its_last_words(tmp_path):
    with setup(tmp_path) as pod:
        coordinator = pod.coordinator()
        processes = pod.worker()
        assert coordinator.wait(PATIENCE) == 0
        assert [each.wait(PATIENCE) for each in processes] == [0, 0]
        last = pod.words()
        assert (last.state, last.mini_batches.succeeded) == ("Succeeded", 6)
        assert pod.rows() == [f"{index}.txt" for index in range(6)]


def test_what_one_container_writes_is_open_to_its_group_and_closed_to_others(tmp_path):
    with setup(tmp_path) as pod:
        coordinator = pod.coordinator()
        pod.worker()
        assert coordinator.wait(PATIENCE) == 0
        logs = list((tmp_path / "run/logs/user").rglob("*"))
        assert logs
        assert {each.stat().st_mode & 0o077 for each in logs} <= {0o070, 0o060}


def test_a_coordinator_that_is_stopped_drains_and_the_next_one_goes_on(tmp_path):
    with setup(tmp_path, script="sleeps.py") as pod:
        first = pod.coordinator()
        worker = pod.worker()
        eventually(lambda: '"running":1' in pod.ask("snapshot"), what="a mini-batch runs")
        first.send_signal(signal.SIGTERM)
        assert first.wait(PATIENCE) == 1
        assert pod.words().reason == "Interrupted"
        assert [each.wait(PATIENCE) for each in worker] == [0, 0]
        second = pod.coordinator()
        pod.worker()
        assert second.wait(PATIENCE) == 0
        assert pod.words().state == "Succeeded"
        assert pod.words().epoch == 2


@pytest.fixture
def failed(tmp_path):
    """A run of two mini-batches, of which one failed permanently, and the step with it."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.txt").touch()
    with setup(tmp_path, script="raises_on_some.py", items=1) as pod:
        pod.is_now(max_tries=2, thresholds=Thresholds(error_threshold=0))
        assert pod.run().reason == "ErrorThresholdExceeded"
        yield pod


def tries(pod):
    return [record["tried"]["failure"][1] for record in pod.ledger() if "tried" in record]


def test_a_coordinator_of_the_same_step_comes_to_the_same_end_and_tries_nothing_again(failed):
    failed.is_now(entry_script="echo.py")
    assert failed.coordinator().wait(PATIENCE) == 0
    last = failed.words()
    assert (last.state, last.reason, last.epoch) == ("Failed", "ErrorThresholdExceeded", 2)
    assert tries(failed) == [1, 2]


def test_a_step_that_goes_on_with_anothers_run_gives_what_failed_all_its_tries_again(failed):
    failed.is_now(name="score-again")
    last = failed.run()
    assert (last.state, last.mini_batches.succeeded, last.mini_batches.failed) == ("Failed", 1, 1)
    assert tries(failed) == [1, 2, 3, 4]
    failed.is_now(entry_script="echo.py")
    assert failed.coordinator().wait(PATIENCE) == 0, "its own failures stay, until another step resumes it"
    assert failed.words().mini_batches.failed == 1
    failed.is_now(name="score-third", accept_changed_code=True)
    last = failed.run()
    assert (last.state, last.epoch, last.mini_batches.succeeded, last.mini_batches.failed) == ("Succeeded", 4, 2, 0)
    assert failed.rows() == ["0.txt", "bad.txt"]
    assert tries(failed) == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["score", "score-again"], ids=["the same step", "another step"])
def test_a_run_that_has_succeeded_is_finished_for_every_later_coordinator(tmp_path, name):
    with setup(tmp_path) as pod:
        first = pod.run()
        output = tmp_path / "run/out/parallel_run_step.txt"
        written = (output.stat().st_ino, output.stat().st_mtime_ns)
        pod.is_now(name=name)
        for each in (tmp_path / "in").iterdir():
            each.unlink()  # it does not even list them again
        again = pod.coordinator(linger=PATIENCE)
        eventually(lambda: pod.ask("snapshot") == first.to_json(), what="it tells the end")
        assert [each.wait(PATIENCE) for each in pod.worker("late")] == [0, 0]
        again.send_signal(signal.SIGTERM)
        assert again.wait(PATIENCE) == 0
        assert pod.words() == first
        assert (output.stat().st_ino, output.stat().st_mtime_ns) == written


def test_the_last_snapshot_can_be_asked_for_until_the_pod_is_stopped(tmp_path):
    with setup(tmp_path) as pod:
        coordinator = pod.coordinator(linger=PATIENCE)
        pod.worker()
        eventually(lambda: '"state":"Succeeded"' in pod.ask("snapshot"), what="the run succeeds")
        coordinator.send_signal(signal.SIGTERM)
        assert coordinator.wait(PATIENCE) == 0


def test_a_lost_worker_can_be_reported_by_a_caller_with_the_token(tmp_path):
    with setup(tmp_path) as pod:
        pod.coordinator()
        eventually(lambda: pod.ask("snapshot"), what="it serves")
        assert pod.ask("gone", body={"worker": "w-0"}) == "{}"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            pod.ask("gone", body={"worker": "w-0"}, token="another")
        with pytest.raises(urllib.error.HTTPError, match="400"):
            pod.ask("gone", body={})


def test_a_worker_that_is_drained_in_the_middle_ends_well_and_costs_neither_try_nor_row(tmp_path):
    gates = tmp_path / "gates"
    gates.mkdir()
    with (
        setup(tmp_path, script="waits_at_gates.py", arguments=("--gates", str(gates)), items=200) as pod,
        operating() as operator,
    ):
        coordinator = pod.coordinator()
        drained, stays = pod.worker("w-0"), pod.worker("w-1")
        eventually(lambda: pod.printed("w-0") and pod.printed("w-1"), what="both workers run something")
        endpoint = pod.endpoint()
        operator.snapshot(endpoint)
        operator.poller.drain(endpoint, "w-0")
        operator.snapshot(endpoint)  # which comes after what is to be sent
        for name in pod.printed("w-0") + pod.printed("w-1"):
            (gates / name).touch()
        assert [each.wait(PATIENCE) for each in drained] == [0, 0]
        counts = operator.snapshot(endpoint).mini_batches
        assert (counts.total, counts.succeeded) == (200, 2)
        operator.poller.drain(endpoint, "w-0")  # in vain, and no error
        operator.snapshot(endpoint)
        replacement = pod.worker("w-0")
        eventually(lambda: len(pod.printed("w-0")) > 1, what="the next agent of that name works")
        (gates / "all").touch()
        assert coordinator.wait(PATIENCE) == 0
        assert [each.wait(PATIENCE) for each in (*stays, *replacement)] == [0] * 4
        last = pod.words()
        assert (last.state, last.mini_batches.succeeded, last.mini_batches.retried) == ("Succeeded", 200, 0)
        assert pod.rows() == sorted(f"{index}.txt" for index in range(200))
        ledger = list(pod.ledger())
        assert not [record for record in ledger if "tried" in record]
        assert {record["done"]["worker"] for record in ledger if "done" in record} == {"w-0", "w-1"}


def test_each_process_has_its_share_of_the_gpus(tmp_path):
    gate = tmp_path / "gate"
    with setup(tmp_path, script="shows_gpus.py", arguments=("--gate", str(gate))) as pod:
        pod.is_now(processes_per_worker=2, gpus_per_worker=5)
        coordinator = pod.coordinator()
        pod.worker(CUDA_VISIBLE_DEVICES="2,3,4,5,6,7")
        eventually(lambda: pod.printed("w-0", 0) and pod.printed("w-0", 1), what="both processes start")
        gate.touch()
        assert coordinator.wait(PATIENCE) == 0
        assert [pod.printed("w-0", 0), pod.printed("w-0", 1)] == [["2,4,6"], ["3,5"]]


def test_two_processes_share_one_gpu_and_the_status_reports_it(tmp_path):
    gate = tmp_path / "gate"
    with setup(tmp_path, script="shows_gpus.py", arguments=("--gate", str(gate))) as pod:
        pod.is_now(processes_per_worker=2, gpus_per_worker=1)
        coordinator = pod.coordinator()
        pod.worker(NVIDIA_VISIBLE_DEVICES="GPU-a")
        eventually(lambda: pod.printed("w-0", 0) and pod.printed("w-0", 1), what="both processes start")
        gate.touch()
        assert coordinator.wait(PATIENCE) == 0
        assert [pod.printed("w-0", 0), pod.printed("w-0", 1)] == [["GPU-a"], ["GPU-a"]]
        assert pod.words().devices == (Device("w-0", "gpu:GPU-a", 2),)


def test_a_process_that_replaces_another_has_its_gpus(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.txt").touch()
    with setup(tmp_path, script="shows_gpus.py", items=0) as pod:
        pod.is_now(gpus_per_worker=2)
        coordinator = pod.coordinator()
        pod.worker()
        assert coordinator.wait(PATIENCE) == 0
        assert [pod.printed("w-0", 0), pod.printed("w-0", 1)] == [["0,1"], ["0,1"]]
        assert pod.rows() == ["0,1"]


def test_without_gpus_a_process_inherits_what_its_host_was_given(tmp_path):
    with setup(tmp_path, script="shows_gpus.py", items=1) as pod:
        coordinator = pod.coordinator()
        pod.worker(CUDA_VISIBLE_DEVICES="7")
        assert coordinator.wait(PATIENCE) == 0
        assert pod.rows() == ["7"]


def test_the_operator_asks_by_address_and_checks_the_name(tmp_path):
    with setup(tmp_path) as pod, operating() as operator:
        pod.coordinator()
        eventually(lambda: pod.ask("snapshot"), what="it serves")
        endpoint = pod.endpoint()
        assert operator.snapshot(endpoint).run_id == "score-1"
        assert not operator.poller.gone(endpoint, "w-0")
        operator.snapshot(endpoint)
        assert operator.poller.gone(endpoint, "w-0")
        other = issue("localhost", now=datetime.now(UTC)).authority
        for wrong in (
            replace(endpoint.http, name="example.com"),
            replace(endpoint.http, authority=other),
            replace(endpoint.http, authority="no certificate"),
            replace(endpoint.http, token="other"),
        ):
            with pytest.raises(CoordinatorError):
                operator.snapshot(replace(endpoint, http=wrong))
        with port() as nobodys, pytest.raises(CoordinatorError):
            operator.snapshot(replace(endpoint, http=replace(endpoint.http, url=f"https://127.0.0.1:{nobodys}")))


def test_neither_token_nor_certificate_shows_where_an_endpoint_is_printed():
    assert "secret" not in repr(api.Endpoint("https://10.0.0.1:1", "secret", "secret", "host"))


def test_a_coordinator_that_cannot_work_states_why_and_asks_for_another_start(tmp_path):
    with setup(tmp_path) as pod:
        (tmp_path / "job.json").write_text("{")
        assert pod.coordinator().wait(PATIENCE) == 1
        assert "the coordinator failed" in (tmp_path / "words").read_text()


def test_an_agent_of_another_run_does_not_trust_this_coordinator(tmp_path):
    with setup(tmp_path) as pod:
        pod.coordinator()
        eventually(lambda: pod.ask("snapshot"), what="it serves")
        (tmp_path / "ca.crt").write_text(issue("localhost", now=datetime.now(UTC)).authority)
        assert pod.ask("snapshot") == ""


@pytest.mark.parametrize("message", ["short", "ä" * 9000])
@pytest.mark.parametrize("traceback", ["", "x" * 500, "ö\n" * 50_000])
@pytest.mark.parametrize("devices", [0, 2, 20])
def test_last_words_fit_into_a_termination_message(message, traceback, devices):
    error = FirstError("UserError", message, worker="w", mini_batch=3, traceback=traceback)
    known = tuple(Device(f"score-worker-{number}", "gpu:0", 2) for number in range(devices))
    snapshot = Snapshot("Failed", "r", "/run", "/out", 3, message=message, first_error=error, devices=known)
    text = termination_message(snapshot)
    assert len(text.encode()) <= LIMIT
    read = Snapshot.from_json(text)
    assert (read.state, read.epoch, read.first_error.mini_batch) == ("Failed", 3, 3)
    assert read.devices[:2] == known[:2]
    if len(message) + len(traceback) < 1000:
        assert read == replace(snapshot)


@pytest.mark.parametrize("length", [10, 250])
def test_last_words_keep_what_a_run_registers(length):
    error = FirstError("UserError", "m" * 9000, worker="w" * 60, mini_batch=3, traceback="x" * 9000)
    known = tuple(Device(f"{'w' * 50}-{number}", "gpu:0", 2) for number in range(20))
    uri, packed = "s3://" + "b" * length, "r" * LONGEST
    texts = {"message": "m" * 9000, "registered": packed, "code": "c" * 64, "first_error": error, "devices": known}
    snapshot = Snapshot("Succeeded", "r" * 60, uri, uri, 3, started=1e9 + 0.123456, finished=2e9, **texts)
    text = termination_message(snapshot)
    assert len(text.encode()) <= LIMIT
    assert Snapshot.from_json(text).registered == packed


READS_ALL = """
import os, sys

def init():
    print("the model is", open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "m.txt")).read())

def run(mini_batch):
    for path in mini_batch:
        with open(os.path.join(sys.argv[1], os.path.basename(path) + ".seen"), "w") as file:
            file.write("seen")
    return [os.path.basename(path) + " " + open(path).read() for path in mini_batch]
"""


@pytest.mark.usefixtures("s3")
def test_pods_that_have_nothing_in_common_but_a_store_do_a_run(tmp_path):
    uri, names = f"s3://bucket/{uuid4()}", [f"{index}.txt" for index in range(6)]
    store = open_store(uri)
    for name in names:
        store.put(f"in/{name}", name[:1].encode())
    store.put("models/m/m.txt", b"light")
    store.put("code/script.py", READS_ALL.encode())
    fetch_source(f"{uri}/code", str(tmp_path / "source"))  # what the init container does
    with setup(tmp_path) as pod:
        pod.is_now(
            run_uri=f"{uri}/run",
            inputs=(Input("in", (f"{uri}/in",)),),
            output=Output(APPEND_ROW, f"{uri}/run/out"),
            source_uri=str(tmp_path / "source"),
            entry_script="script.py",
            arguments=(f"{uri}/run/out",),
            models=(Model("m", 1, f"{uri}/models/m"),),
            workers=2,
        )
        coordinator = pod.coordinator()
        for worker in ("w-0", "w-1"):
            work, private = tmp_path / f"{worker}-work", tmp_path / f"{worker}-private"
            work.mkdir()
            private.mkdir()
            pod.worker(worker, work=work, private=private)
        assert coordinator.wait(PATIENCE) == 0
        assert pod.words().state == "Succeeded"
    out, logs = open_store(f"{uri}/run/out"), open_store(f"{uri}/run/logs/user/stdout")
    assert out.get("parallel_run_step.txt").decode().splitlines() == [f"{name} {name[:1]}" for name in names]
    assert out.names() == [*(f"{name}.seen" for name in names), "parallel_run_step.txt"]
    assert b"the model is light\n" in list(logs.get_each(logs.names()))


def test_a_coordinator_that_is_stopped_before_it_has_begun_ends_at_once(tmp_path):
    job = tmp_path / "job.json"
    os.mkfifo(job)  # the test opens it, and writes nothing: the coordinator waits in its read
    command = [sys.executable, "-m", "longshore_coordinator", "--job", str(job), "--secret", str(tmp_path)]
    with subprocess.Popen(command) as waits, open_when_read(job):
        waits.terminate()
        assert waits.wait(PATIENCE) == 1  # and not by the signal, which the first process of a container would not get


@contextmanager
def open_when_read(pipe):
    """Hold a named pipe open for writing, once a process has opened it for reading."""

    def opened():
        with suppress(OSError):  # no reader yet
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)

    writes = eventually(opened, what="a reader of the job")
    yield
    os.close(writes)
