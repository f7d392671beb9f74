"""Uploads of scripts to a Datastore on a volume, where other scripts can create links."""

import os

import pytest

from longshore_agent.named_uploads import Target
from longshore_agent.requests import RequestError
from longshore_storage import beneath
from longshore_storage.store import open_store

STATE = "longshore/run-1/state"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The root of a Datastore on a volume, with a run in it and another one beside `longshore`."""
    monkeypatch.setenv(beneath.VARIABLE, str(tmp_path))
    made = tmp_path / "root"
    for folder in (STATE, "shared/own", "elsewhere/run-2"):
        (made / folder).mkdir(parents=True)
    open_store(str(made / "elsewhere/run-2")).mark()
    (tmp_path / "outside").mkdir()
    return made


@pytest.fixture
def upload(root, tmp_path):
    """Upload a file to a folder of the Datastore."""

    def upload(folder, *, overwrite=True):
        source = tmp_path / "source"
        source.mkdir(exist_ok=True)
        (source / "a.txt").write_text("a")
        target = Target("data", str(root), folder, run_uri=str(root / "longshore/run-1"))
        return target.upload(str(source), overwrite=overwrite, check=lambda: None)

    return upload


def files(folder):
    return sorted(name for _, _, names in os.walk(folder) for name in names if not name.startswith(".longshore"))


@pytest.mark.parametrize(
    ("link", "goal", "folder"),
    [
        ("shared/own/link", f"../../{STATE}", "shared/own/link"),
        ("shared/own/link", "../../longshore", "shared/own/link/run-1/state"),
        ("shared/own/link", "../../elsewhere/run-2", "shared/own/link"),
        ("shared/own/link", "../../../outside", "shared/own/link"),
        ("shared/own/link", "..", "shared/own/link/own/link/../../longshore/run-1"),
    ],
    ids=["state", "parent of runs", "another run", "beside the root", "with .."],
)
def test_a_link_on_a_volume_leads_no_upload_to_where_scripts_must_not_write(root, upload, link, goal, folder):
    (root / link).symlink_to(goal)
    for overwrite in (True, False):
        with pytest.raises(RequestError):
            upload(folder, overwrite=overwrite)
    assert files(root / "longshore") == files(root / "elsewhere") == files(root.parent / "outside") == []


def test_a_link_to_a_folder_that_scripts_may_write_to_is_followed(root, upload):
    (root / "shared/link").symlink_to("own")
    assert upload("shared/link/new", overwrite=False) == (1, [])
    assert (root / "shared/own/new/a.txt").read_text() == "a"
    assert upload("shared/link/new", overwrite=False) == (0, ["shared/link/new/a.txt"])
