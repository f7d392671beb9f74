"""A run knows the commit that its source was at; what git cannot say is left out."""

import subprocess

import pytest

from longshore_agent.git_state import git_state


@pytest.fixture
def git(tmp_path):
    """Run git in a new repository that nobody's settings reach."""

    def run(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
        command = ["git", *identity, "-C", str(tmp_path), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    run("init", "--quiet", "--initial-branch", "trunk")
    return run


def commit(git, folder):
    (folder / "code").mkdir()
    (folder / "code" / "train.py").write_text("1")
    git("add", "-A")
    git("commit", "--quiet", "-m", "one")
    return git("rev-parse", "HEAD")


def test_repository_branch_and_commit_are_reported_for_a_folder_inside_too(git, tmp_path):
    head = commit(git, tmp_path)
    git("remote", "add", "origin", "https://me:secret@host/repository.git")
    told = {"repository": "https://host/repository.git", "branch": "trunk", "commit": head, "dirty": False}
    assert git_state(str(tmp_path)) == told
    assert git_state(str(tmp_path / "code")) == told


def test_an_address_of_ssh_stays_as_it_is(git, tmp_path):
    commit(git, tmp_path)
    git("remote", "add", "origin", "git@host:me/repository.git")
    assert git_state(str(tmp_path))["repository"] == "git@host:me/repository.git"


@pytest.mark.parametrize("name", ["train.py", "new.py"])
def test_what_is_not_committed_makes_the_folder_dirty(git, tmp_path, name):
    commit(git, tmp_path)
    (tmp_path / "code" / name).write_text("2")
    assert git_state(str(tmp_path / "code"))["dirty"] is True


def test_what_was_changed_elsewhere_does_not(git, tmp_path):
    commit(git, tmp_path)
    (tmp_path / "readme").write_text("2")
    assert git_state(str(tmp_path / "code"))["dirty"] is False


def test_a_detached_head_is_on_no_branch(git, tmp_path):
    commit(git, tmp_path)
    git("checkout", "--quiet", "--detach")
    assert git_state(str(tmp_path))["branch"] == ""


def test_a_repository_without_a_commit_states_nothing(git, tmp_path):
    assert git("status", "--porcelain") == ""
    assert git_state(str(tmp_path)) is None


def test_a_folder_in_no_repository_and_a_machine_without_git_state_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(str(tmp_path)) is None
    assert git_state(str(tmp_path / "absent")) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(str(tmp_path)) is None
