"""What a script leaves on a volume never leads a container of ours out of that volume."""

import os
import stat
import threading

import pytest

from longshore_agent.fetch_source import SourceError, fetch_source
from longshore_agent.script_inputs import stage_input
from longshore_agent.shipping import ship_folder
from longshore_agent.source_copies import copy_source
from longshore_agent.survey import SurveyError, survey
from longshore_agent.transfer import transfer
from longshore_protocol.job import DOWNLOAD, ScriptInput
from longshore_protocol.survey import SourceToCopy, SurveyRequest
from longshore_storage import beneath
from longshore_storage.errors import ListingError
from longshore_storage.files import file_size, file_stamp, open_file
from longshore_storage.listing import list_files
from longshore_storage.store import open_store

SECRET = "a token of the service account"


@pytest.fixture
def secret(tmp_path):
    """Return a folder beside the volume, with a file that no script may get at."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "token").write_text(SECRET)
    return folder


@pytest.fixture
def volume(tmp_path, monkeypatch):
    folder = tmp_path / "volume"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "main.py").write_text("print('hello')")
    monkeypatch.setenv(beneath.VARIABLE, str(folder))
    return folder


def contents(path):
    with open_file(path) as file:
        return file.read()


def absolute(volume, secret):
    (volume / "code" / "token").symlink_to(secret / "token")


def relative(volume, secret):  # noqa: ARG001
    (volume / "code" / "token").symlink_to("../../secrets/token")


def folder(volume, secret):
    (volume / "code" / "more").symlink_to(secret)


def chain(volume, secret):
    (volume / "step").symlink_to(secret)
    (volume / "code" / "token").symlink_to("../step/token")


def environment_of_process(volume, secret):  # noqa: ARG001
    (volume / "code" / "token").symlink_to("/proc/self/environ")


def descriptor_of_process(volume, secret):  # noqa: ARG001
    (volume / "code" / "token").symlink_to("/proc/self/fd/0")


LINKS = (absolute, relative, folder, chain, environment_of_process, descriptor_of_process)


def by_survey(uri, tmp_path):
    survey(SurveyRequest((SourceToCopy(uri, str(tmp_path / "runs" / "r" / "sources" / "0")),), {}))


def by_contents(uri, tmp_path):  # noqa: ARG001
    held = survey(SurveyRequest((), {"step": {"input": [uri]}})).held["step"]["input"]
    raise SurveyError(held["unknown"])  # which fails no run: the step is not reused


def by_source(uri, tmp_path):
    fetch_source(uri, str(tmp_path / "source"))


def by_copy(uri, tmp_path):
    copy_source(uri, str(tmp_path / "copy"))


def by_download(uri, tmp_path):
    stage_input(ScriptInput("data", (uri,), DOWNLOAD), str(tmp_path / "input"))


def by_transfer(uri, tmp_path):
    transfer(uri, str(tmp_path / "transferred"), check=lambda: None)


def by_table(uri, tmp_path):  # noqa: ARG001
    for path in list_files(uri):
        contents(path)


READERS = (by_survey, by_contents, by_source, by_copy, by_download, by_transfer, by_table)
REFUSED = (OSError, ListingError, SourceError, SurveyError)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("read", READERS)
def test_a_link_out_of_a_volume_is_refused(read, link, volume, secret, tmp_path):
    link(volume, secret)

    with pytest.raises(REFUSED, match="out of its volume"):
        read(str(volume / "code"), tmp_path)

    copies = [each for each in tmp_path.rglob("*") if each.is_file() and secret not in each.parents]
    assert all(SECRET not in each.read_text() for each in copies if volume not in each.parents)


@pytest.mark.parametrize("read", READERS)
def test_a_location_behind_a_link_out_of_the_volume_is_refused(read, volume, secret, tmp_path):
    (volume / "latest").symlink_to(secret)

    with pytest.raises((*REFUSED, FileNotFoundError), match="out of its volume"):
        read(str(volume / "latest" / "token"), tmp_path)


@pytest.mark.parametrize(
    ("link", "target"),
    [("latest", "v1"), ("code/latest", "../v1"), ("v1/again", "."), ("latest", "{volume}/v1"), ("a/../latest", "./v1")],
)
def test_links_that_stay_within_the_volume_are_followed(link, target, volume):
    (volume / "v1").mkdir()
    (volume / "a").mkdir()
    (volume / "v1" / "model").write_text("weights")
    os.symlink(target.format(volume=volume), volume / link)

    path = f"{volume}/{link}/model"

    assert contents(path) == b"weights"
    assert file_size(path) == 7
    assert file_stamp(path) == file_stamp(str(volume / "v1" / "model"))
    assert [os.path.basename(each) for each in list_files(f"{volume}/{link}")] == ["model"]


def test_a_hard_link_is_a_file(volume, secret):
    os.link(secret / "token", volume / "code" / "token")  # whoever may make one may read the file

    assert contents(str(volume / "code" / "token")) == SECRET.encode()


def test_a_pipe_is_no_file_and_keeps_no_process_waiting(volume):
    os.mkfifo(volume / "code" / "rows.csv")

    assert [os.path.basename(each) for each in list_files(str(volume / "code"))] == ["main.py"]
    with pytest.raises(PermissionError, match="neither a file nor a folder"):
        open_file(str(volume / "code" / "rows.csv"))


def test_too_many_links_are_an_error(volume):
    (volume / "a").symlink_to("b")
    (volume / "b").symlink_to("a")

    with pytest.raises(OSError, match="Too many levels"):
        open_file(str(volume / "a"))


def test_a_link_that_is_swapped_in_meanwhile_is_never_followed_out(volume, secret):
    """Names are exchanged as fast as can be: each open gives the file of the volume, or is refused."""
    (volume / "good").mkdir()
    (volume / "good" / "token").write_text("harmless")
    (volume / "evil").symlink_to(secret)
    ended = threading.Event()

    def swap():
        while not ended.is_set():
            for name in ("good", "evil"):
                os.symlink(os.readlink(volume / "evil") if name == "evil" else "good", volume / "next")
                os.replace(volume / "next", volume / "now")

    (volume / "now").symlink_to("good")
    swapping = threading.Thread(target=swap)
    swapping.start()
    seen = {"read": 0, "refused": 0}
    try:
        for _ in range(100_000):
            try:
                assert contents(str(volume / "now" / "token")) == b"harmless"
                seen["read"] += 1
            except beneath.LeavesVolumeError:
                seen["refused"] += 1
            if min(seen.values()) >= 20:
                break
    finally:
        ended.set()
        swapping.join()
    assert min(seen.values()) >= 1


WRITES = {
    "put": lambda store: store.put("state/ledger", b"x"),
    "create": lambda store: store.create("state/ledger", b"x"),
    "delete": lambda store: store.delete("state/token"),
    "delete all": lambda store: store.delete("state/deeper"),
    "make": lambda store: open_store(store.child("state/deeper")).make(),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_nothing_is_written_or_deleted_behind_a_link_out_of_the_volume(write, volume, secret):
    (secret / "deeper").mkdir()
    (volume / "run").mkdir()
    (volume / "run" / "state").symlink_to(secret)

    with pytest.raises(PermissionError, match="out of its volume"):
        write(open_store(str(volume / "run")))

    assert sorted(each.name for each in secret.iterdir()) == ["deeper", "token"]
    assert (secret / "token").read_text() == SECRET


def test_a_link_in_the_place_of_an_object_is_replaced_and_not_followed(volume, secret):
    (volume / "run").mkdir()
    store = open_store(str(volume / "run"))
    for name in ("rows.txt", "gone"):
        (volume / "run" / name).symlink_to(secret / "token")

    store.put("rows.txt", b"rows")
    store.delete("gone")

    assert (secret / "token").read_text() == SECRET
    assert store.get("rows.txt") == b"rows"
    assert store.names() == ["rows.txt"]


def test_a_store_on_a_volume_is_a_store(volume):
    store = open_store(str(volume / "new" / "run"))
    assert store.names() == []
    assert not store.exists("a/b")

    store.put("a/b", b"1")
    assert store.create("a/c", b"2")
    assert not store.create("a/c", b"3")
    with store.writer("d") as file:
        file.write(b"4")

    assert store.names() == ["a/b", "a/c", "d"]
    assert store.names("a") == ["a/b", "a/c"]
    assert store.get("a/c") == b"2"
    assert store.exists("d")
    store.delete("a")
    assert store.names() == ["d"]
    store.delete("")
    assert not (volume / "new" / "run").exists()


def test_the_working_folder_of_a_script_cannot_be_swapped_for_another(tmp_path, secret, monkeypatch):
    work = tmp_path / "work"
    (work / "step").mkdir(parents=True)
    monkeypatch.setenv(beneath.VARIABLE, str(work))
    (secret / "outputs").mkdir()
    (secret / "outputs" / "token").write_text(SECRET)
    (work / "step" / "source").symlink_to(secret)

    with pytest.raises(PermissionError, match="out of its volume"):
        ship_folder(str(work / "step" / "source" / "outputs"), open_store(str(tmp_path / "run")))

    assert not (tmp_path / "run").exists()


def test_a_volume_on_another_volume_cannot_be_swapped_either(volume, secret, monkeypatch):
    (volume / "team").symlink_to(secret)
    monkeypatch.setenv(beneath.VARIABLE, f"{volume}:{volume}/team")

    with pytest.raises(PermissionError, match="out of its volume"):
        open_file(str(volume / "team" / "token"))


def test_elsewhere_links_are_the_users_own(tmp_path, secret, monkeypatch):
    monkeypatch.delenv(beneath.VARIABLE, raising=False)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "token").symlink_to(secret / "token")

    copied = copy_source(str(tmp_path / "code"), str(tmp_path / "copy"))

    assert list(copied.files) == ["token"]
    assert stat.S_ISREG((tmp_path / "copy" / "token").lstat().st_mode)


def test_volumes_have_one_location_in_pods_without_a_setting(monkeypatch):
    monkeypatch.delenv(beneath.VARIABLE, raising=False)

    assert beneath.volume_of("/mnt/longshore/claim/data/rows") == "/mnt/longshore"
    assert beneath.volume_of("/mnt/longshore-other/rows") is None
