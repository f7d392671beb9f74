"""What processes write on this machine comes to the store: output at once, logs now and then, and no links."""

import os
import threading
from dataclasses import replace
from uuid import uuid4

import jobs
import pytest
from fakes import be_another_user_of_the_group

from longshore_agent import shipping
from longshore_agent.downloads import DownloadedData, download_models
from longshore_agent.paths import WorkerPaths, model_path, paths_of
from longshore_agent.shipping import Shipper
from longshore_agent.staging import StagingError, host_spec
from longshore_agent.unreadable import UnreadableError
from longshore_protocol.job import Model
from longshore_storage.store import open_store


@pytest.fixture
def job():
    return jobs.job(uri=f"memory://{uuid4()}/run", action="append_row")


class Bench:
    """A worker's copies on this machine, and the store that they go to."""

    def __init__(self, job, folder):
        self.job = job
        self.folder = folder
        self.places = paths_of(job, worker="w", shared=str(folder))
        self.places.make()
        self.store = open_store(job.run_uri)
        self.shipper = self.started_again()

    def started_again(self):
        """Return the shipper of the same worker's next agent on the same machine."""
        return Shipper(self.job, self.places, worker="w", private=str(self.folder / "private"))

    def write(self, kind, name, text, mode="w"):
        path = os.path.join(getattr(self.places, kind), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, mode) as file:
            file.write(text)

    def objects(self):
        return {name: self.store.get(name).decode() for name in self.store.names()}


@pytest.fixture
def bench(job, tmp_path):
    return Bench(job, tmp_path)


@pytest.fixture
def puts(bench, monkeypatch):
    """The names that are written to the store of the output, in this order."""
    written, put = [], bench.shipper._output.put
    monkeypatch.setattr(bench.shipper._output, "put", lambda name, data: (written.append(name), put(name, data)))
    return written


# --- output ----------------------------------------------------------------------------------------------------------


def test_each_file_of_the_output_is_written_once_and_again_when_it_has_changed(bench, puts):
    bench.write("output", "a", "1")
    bench.write("output", "deep/er/b", "2")
    bench.shipper.ship_output()
    bench.shipper.ship_output()
    assert sorted(puts) == ["a", "deep/er/b"]
    bench.write("output", "a", "more", "a")
    bench.shipper.ship_output()
    assert sorted(puts) == ["a", "a", "deep/er/b"]
    assert bench.objects() == {"out/a": "1more", "out/deep/er/b": "2"}


@pytest.fixture
def opens(monkeypatch):
    """The names of the files that are opened to be read, folders left out."""
    opened, real = [], os.open

    def noted(path, flags, *arguments, **options):
        if not flags & os.O_DIRECTORY:
            opened.append(path)
        return real(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", noted)
    return opened


@pytest.mark.parametrize("kind", ["output", "logs"])
def test_a_file_is_opened_only_when_it_has_changed(bench, opens, kind):
    def ship():
        before = len(opens)
        bench.shipper.ship_output() if kind == "output" else bench.shipper.ship_logs(all_of_them=True)
        return sorted({name for name in opens[before:] if name.startswith("f")})

    def write(name, text):
        bench.write(kind, name, text, "a")
        path = os.path.join(getattr(bench.places, kind), name)
        os.utime(path, (1e9, 1e9))  # old enough for a later change to show, without waiting for that

    names = [f"f{number:03}" for number in range(200)]
    for name in names:
        write(f"deep/{name}", "1")
    assert ship() == names
    assert ship() == []
    write("deep/f007", "more")
    write("new/f200", "2")
    assert ship() == ["f007", "f200"]
    assert ship() == []


def test_what_an_agent_that_died_left_unshipped_is_not_shipped_unless_it_changes(bench):
    bench.write("output", "a", "half")
    bench.write("output", "b", "one ")
    successor = bench.started_again()
    bench.write("output", "b", "two", "a")
    bench.write("output", "c", "new")
    successor.ship_output()
    assert bench.objects() == {"out/b": "one two", "out/c": "new"}


def test_a_change_that_neither_time_nor_size_shows_is_not_missed(bench, monkeypatch):
    bench.write("output", "a", "1")
    path = os.path.join(bench.places.output, "a")
    put = bench.shipper._output.put

    def changed_meanwhile(name, data):
        before = os.stat(path).st_mtime_ns
        bench.write("output", "a", "2")
        os.utime(path, ns=(before, before))
        put(name, data)

    # The file's clock is ahead, as if it was written in this very moment, whenever one looks.
    os.utime(path, (2**33, 2**33))
    monkeypatch.setattr(bench.shipper._output, "put", changed_meanwhile)
    bench.shipper.ship_output()
    monkeypatch.undo()
    bench.shipper.ship_output()
    assert bench.objects() == {"out/a": "2"}


def test_large_files_of_the_output_go_in_parts(bench, monkeypatch):
    monkeypatch.setattr(shipping, "PART", 10)
    bench.write("output", "large", "0123456789" * 3 + "tail")
    bench.shipper.ship_output()
    assert bench.objects() == {"out/large": "0123456789" * 3 + "tail"}


def test_links_and_what_is_no_file_are_left_alone(bench, tmp_path):
    (tmp_path / "secret").write_text("token")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "secret").write_text("token")
    for kind in ("output", "logs"):
        folder = getattr(bench.places, kind)
        os.symlink(tmp_path / "secret", f"{folder}/file.txt")
        os.symlink(tmp_path / "folder", f"{folder}/folder")
        os.symlink("nowhere", f"{folder}/broken.txt")
        os.mkfifo(f"{folder}/fifo.txt")
    bench.write("output", "a", "1")
    bench.shipper.ship_output()
    bench.shipper.ship_logs(all_of_them=True)
    assert bench.objects() == {"out/a": "1"}


def test_a_folder_that_was_replaced_by_a_link_is_not_followed(bench, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "token").write_text("token")
    os.rmdir(bench.places.output)
    os.symlink(tmp_path / "secret", bench.places.output)
    bench.shipper.ship_output()
    assert bench.objects() == {}


UNREADABLE = {  # what has which mode, and what is named
    "a file": ("a", 0o600, "a"),
    "a file of nobody": ("a", 0o000, "a"),
    "a file further down": ("deep/er/b", 0o600, "deep/er/b"),
    "a folder": ("deep", 0o700, "deep/"),
    "a folder further down": ("deep/er", 0o700, "deep/er/"),
    "a folder that may be listed, and not entered": ("deep/er", 0o740, "deep/er/"),
    "a folder that may be entered, and not listed": ("deep/er", 0o710, "deep/er/"),
}


@pytest.mark.parametrize("kind", ["output", "logs"])
@pytest.mark.parametrize(("name", "mode", "named"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_may_not_be_read_is_named_once_all_else_is_written(bench, monkeypatch, *, kind, name, mode, named):
    for each in ("a", "deep/er/b", "z/c"):
        bench.write(kind, each, each)
    path = os.path.join(getattr(bench.places, kind), name)
    os.chmod(path, mode)
    ship = bench.shipper.ship_output if kind == "output" else bench.shipper.ship_logs
    with monkeypatch.context() as patch:
        be_another_user_of_the_group(patch)
        with pytest.raises(UnreadableError, match="the agent cannot read") as caught:
            ship()
    assert [each.name for each in caught.value.files] == [named]
    folder = "out" if kind == "output" else "logs"
    readable = {f"{folder}/{each}": each for each in ("a", "deep/er/b", "z/c") if not f"{each}/".startswith(named)}
    assert bench.objects() == {name: text for name, text in readable.items() if name != f"{folder}/{named}"}
    os.chmod(path, 0o750)
    bench.shipper.ship_output()
    bench.shipper.ship_logs(all_of_them=True)
    assert len(bench.objects()) == 3


def test_a_folder_that_a_link_replaces_meanwhile_is_not_followed(bench, tmp_path, monkeypatch):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "token").write_text("token")
    bench.write("output", "deep/a", "1")
    folder, real = os.path.join(bench.places.output, "deep"), os.open

    def swapped(path, flags, *arguments, **options):
        if path == "deep" and not os.path.islink(folder):
            os.rename(folder, f"{folder}er")
            os.symlink(tmp_path / "secret", folder)
        return real(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", swapped)
    bench.shipper.ship_output()
    assert bench.objects() == {}


def test_what_a_store_did_not_take_is_written_the_next_time(bench, monkeypatch):
    bench.write("output", "a", "1")

    def refuse(*_):
        raise OSError("no")

    monkeypatch.setattr(bench.shipper._output, "put", refuse)
    with pytest.raises(OSError, match="no"):
        bench.shipper.ship_output()
    monkeypatch.undo()
    bench.shipper.ship_output()
    assert bench.objects() == {"out/a": "1"}


# --- logs ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """The seconds that the shipper thinks it is."""
    now = [1000.0]
    monkeypatch.setattr(shipping.time, "monotonic", lambda: now[0])
    return now


def test_a_log_that_changes_is_written_again_after_ten_seconds_and_at_the_end(bench, clock):
    bench.write("logs", "user/stdout/w/p.txt", "one\n")
    bench.shipper.ship_logs()
    bench.write("logs", "user/stdout/w/p.txt", "two\n", "a")
    bench.shipper.ship_logs()
    assert bench.objects() == {"logs/user/stdout/w/p.txt": "one\n"}
    clock[0] += 10.0
    bench.shipper.ship_logs()
    assert bench.objects() == {"logs/user/stdout/w/p.txt": "one\ntwo\n"}
    bench.write("logs", "user/stdout/w/p.txt", "three\n", "a")
    bench.shipper.ship_logs(all_of_them=True)
    assert bench.objects() == {"logs/user/stdout/w/p.txt": "one\ntwo\nthree\n"}


def test_a_large_log_is_written_less_often(bench, clock, monkeypatch):
    monkeypatch.setattr(shipping, "_PACE", 10)
    bench.write("logs", "p.txt", "x" * 30)
    bench.shipper.ship_logs()
    bench.write("logs", "p.txt", "y", "a")
    clock[0] += 29.0
    bench.shipper.ship_logs()
    assert len(bench.objects()["logs/p.txt"]) == 30
    clock[0] += 1.0
    bench.shipper.ship_logs()
    assert len(bench.objects()["logs/p.txt"]) == 31


def test_of_a_log_that_is_too_long_the_end_is_kept_and_the_file_reports_it(bench, monkeypatch):
    monkeypatch.setattr(shipping, "LOG_LIMIT", 10)
    bench.store.put("logs/p.txt", b"earlier!")
    bench.write("logs", "p.txt", "0123456789abcdef")
    bench.shipper.ship_logs()
    first, last = bench.objects()["logs/p.txt"].split("\n")
    assert last == "6789abcdef"
    assert "14 bytes before this are left out" in first


def test_of_an_earlier_log_as_much_is_kept_as_there_is_room_for(bench, monkeypatch):
    monkeypatch.setattr(shipping, "LOG_LIMIT", 10)
    bench.store.put("logs/p.txt", b"earlier!")
    bench.write("logs", "p.txt", "01234")
    bench.shipper.ship_logs()
    first, last = bench.objects()["logs/p.txt"].split("\n")
    assert last == "lier!01234"
    assert "3 bytes before this are left out" in first


def test_a_log_goes_on_behind_what_an_earlier_machine_wrote_and_never_twice_behind_its_own(bench, tmp_path):
    bench.write("logs", "p.txt", "one\n")
    bench.shipper.ship_logs()
    bench.started_again().ship_logs()  # the agent died, and its machine has all that it had
    assert bench.objects() == {"logs/p.txt": "one\n"}
    elsewhere = Bench(bench.job, tmp_path / "elsewhere")
    elsewhere.write("logs", "p.txt", "two\n")
    elsewhere.shipper.ship_logs()
    elsewhere.started_again().ship_logs()
    assert bench.objects() == {"logs/p.txt": "one\ntwo\n"}


def test_a_profile_takes_the_place_of_an_earlier_one(bench):
    bench.store.put("logs/p.profile", b"old")
    bench.write("logs", "p.profile", "new")
    bench.shipper.ship_logs()
    assert bench.objects() == {"logs/p.profile": "new"}


def test_two_that_ship_at_once_take_turns(bench):
    bench.write("output", "a", "1")
    threads = [threading.Thread(target=bench.shipper.ship_output) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bench.objects() == {"out/a": "1"}


# --- places ----------------------------------------------------------------------------------------------------------


def test_on_this_machine_nothing_is_copied_and_nothing_is_shipped(tmp_path):
    run = str(tmp_path / "run")
    job = jobs.job(uri=run, action="append_row", arguments=("--x", "1"))
    places = paths_of(job, worker="w", shared=str(tmp_path))
    assert places == WorkerPaths(
        f"{tmp_path}/run/out",
        f"{tmp_path}/run/logs",
        places.models,
        places.data,
        places.named,
        copies_output=False,
        copies_logs=False,
        registrations=places.registrations,
    )
    places.make()
    shipper = Shipper(job, places, worker="w", private=str(tmp_path))
    shipper.ship_logs(all_of_them=True)
    shipper.ship_output()
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == []
    assert host_spec(job, DownloadedData(), worker="w", work_dir="/work", paths=places).arguments == ("--x", "1")


def test_arguments_that_name_the_output_name_its_copy_here(bench):
    uri = bench.job.output.uri
    job = replace(bench.job, arguments=(uri, f"--out={uri}/deeper", f"{uri}2", f"{uri}-b", f"{uri}.x", "--y"))
    spec = host_spec(job, DownloadedData(), worker="w", work_dir="/work", paths=bench.places)
    here = bench.places.output
    assert spec.arguments == (here, f"--out={here}/deeper", f"{uri}2", f"{uri}-b", f"{uri}.x", "--y")
    assert spec.variables["AZUREML_BI_OUTPUT_PATH"] == here
    assert spec.log_dir == bench.places.logs


def test_a_source_that_is_not_here_is_reported(bench):
    with pytest.raises(StagingError, match='source "s3://b/code" is not a local path'):
        host_spec(
            replace(bench.job, source_uri="s3://b/code"),
            DownloadedData(),
            worker="w",
            work_dir="/work",
            paths=bench.places,
        )


# --- models ----------------------------------------------------------------------------------------------------------


def test_models_that_are_elsewhere_are_downloaded_once(bench):
    store = open_store(f"memory://{uuid4()}")
    for name in ("folder/a.txt", "folder/deep/b.txt", "one.txt"):
        store.put(name, name.encode())
    models = (Model("m", 1, store.child("folder")), Model("n", 2, store.child("one.txt")), Model("o", 3, "/here"))
    job = replace(bench.job, models=models)
    download_models(job.models, bench.places.models)
    store.delete("")
    download_models(job.models, bench.places.models)  # as an agent does that is started again
    folder, file, here = (model_path(model, bench.places.models) for model in models)
    assert sorted(os.listdir(folder)) == ["a.txt", "deep"]
    with open(file) as opened:
        assert opened.read() == "one.txt"
    assert (os.path.basename(file), here) == ("one.txt", "/here")
    spec = host_spec(job, DownloadedData(), worker="w", work_dir="/work", paths=bench.places)
    assert spec.models == (("m", 1, folder), ("n", 2, file), ("o", 3, "/here"))
    assert spec.variables["AZUREML_MODEL_DIR"] == folder


def test_a_model_that_does_not_come_is_reported_and_leaves_nothing(bench):
    job = replace(bench.job, models=(Model("m", 1, "memory://absent/model"),))
    with pytest.raises(StagingError, match=r'model "m" \(memory://absent/model\) cannot be downloaded: .*does not'):
        download_models(job.models, bench.places.models)
    assert not any(files for _, _, files in os.walk(bench.places.models))
