"""A source is the files of its folder without those that the ignore file names, as git reads it."""

import os
import subprocess

import pytest

from longshore_storage.source_files import source_files

FILES = (
    "a b.txt", "abc.py", "build", "code/build/x.o", "code/data/deep/x.csv", "code/data/x.csv", "code/train.py",
    "data/keep.csv", "data/x.csv", "doc/a.md", "doc/sub/a.md", "lib/a.o", "x.log", "z[1].txt", "#hash", "!bang",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    for name in FILES:
        write(tmp_path, name)
    return tmp_path


def write(folder, name, text=""):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def found(folder):
    return list(source_files(str(folder)))


def test_without_an_ignore_file_all_files_are_source_in_their_order(folder):
    assert sorted(found(folder)) == sorted(FILES)
    assert found(folder) == found(folder)


@pytest.mark.parametrize(
    "pattern",
    ["*.log", "data", "data/", "/data", "build/", "code/*", "code/**", "**/data", "**/x.csv", "code/**/x.csv",
     "doc/*.md", "a?c.py", "[a-c]bc.py", "[!a]bc.py", "[^x]bc.py", "[]a]bc.py", "[z-a]bc.py", "a b.txt  ", "a b.txt\\ ",
     "z\\[1].txt", "\\#hash", "\\!bang", "# nothing", "", "/", "**", "data/*\n!data/keep.csv", "data/\n!data/keep.csv",
     "*\n!*/\n!*.py", "**/sub/**", "a.*", "*.[oa]", "foo**bar", "doc/**/*.md", "*/data/*"],
)  # fmt: skip
def test_patterns_mean_what_they_mean_to_git(folder, pattern):
    write(folder, ".gitignore", pattern + "\n")
    git = ["git", "-c", "core.excludesFile=", "-C", str(folder)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    command = [*git, "ls-files", "-z", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True).stdout
    assert sorted(found(folder)) == sorted(listed.decode().split("\0")[:-1])


def test_amlignore_counts_before_gitignore(folder):
    write(folder, ".gitignore", "*.py\n")
    write(folder, ".amlignore", "\N{ZERO WIDTH NO-BREAK SPACE}*.csv\r\n")
    names = found(folder)
    assert "abc.py" in names
    assert not [name for name in names if name.endswith(".csv")]


def test_what_is_never_source_is_left_out(folder):
    for name in (".git/HEAD", "code/__pycache__/train.pyc", "longshore-runs/run-1/status.json", "mine/.longshore",
                 "mine/out/rows.txt", "other/deep/.longshore", "other/deep/steps/a/x"):  # fmt: skip
        write(folder, name)
    assert sorted(found(folder)) == sorted(FILES)


JUNK = (".DS_Store", "code/.train.py.swp", "code/train.py~", "code/.vscode/settings.json", ".idea/w.xml", "x.pyc",
        ".pytest_cache/v", "code/.mypy_cache/3.11/a.json", ".ruff_cache/a", "env/pyvenv.cfg", "env/lib/a.py",
        ".venv/a.py", "node_modules/a/index.js", ".tox/a", "code/.ipynb_checkpoints/a.ipynb")  # fmt: skip


@pytest.mark.parametrize("name", JUNK)
def test_what_editors_and_tools_leave_behind_is_no_source(folder, name):
    write(folder, name)
    write(folder, "env/pyvenv.cfg")
    assert sorted(found(folder)) == sorted(FILES)


@pytest.mark.parametrize(
    ("line", "name"),
    [("!*.pyc", "x.pyc"), ("!.vscode/", ".vscode/a"), ("!/env/", "env/a.py"), ("!node_modules", "code/node_modules/a"),
     ("!.DS_Store", "code/.DS_Store")],
)  # fmt: skip
def test_a_line_of_the_ignore_file_includes_again_what_is_ignored_by_itself(folder, line, name):
    write(folder, name)
    write(folder, "env/pyvenv.cfg")
    assert name not in found(folder)
    write(folder, ".amlignore", line + "\n")
    assert name in found(folder)


@pytest.mark.parametrize("name", ["pipeline.json", "state/run.json", "models/pipeline.json", "venv/a.py", "_x/a.py"])
def test_what_only_resembles_junk_or_a_run_is_source(folder, name):
    write(folder, name)
    assert name in found(folder)


def test_the_folder_itself_may_have_any_name_and_be_in_a_run(tmp_path):
    write(tmp_path, "longshore-runs/train.py")
    assert found(tmp_path / "longshore-runs") == ["train.py"]


def test_links_are_followed_but_not_in_circles(tmp_path):
    write(tmp_path, "source/train.py")
    write(tmp_path, "shared/helper.py")
    os.symlink(tmp_path / "shared", tmp_path / "source" / "shared")
    os.symlink("..", tmp_path / "shared" / "up")
    os.symlink("absent", tmp_path / "source" / "broken")
    os.symlink("train.py", tmp_path / "source" / "same.py")
    names = found(tmp_path / "source")
    assert {"train.py", "same.py", "shared/helper.py"} <= set(names)
    assert "broken" not in names
    assert len(names) == len(set(names)) < 10


def test_what_cannot_be_listed_raises(tmp_path):
    with pytest.raises(FileNotFoundError):
        found(tmp_path / "absent")


def test_the_folders_that_the_links_of_a_mounted_config_map_lead_to_are_no_source(tmp_path):
    version = tmp_path / "..2026_01_01_00_00_00.1"
    version.mkdir()
    (version / "train.py").write_text("pass")
    (tmp_path / "..data").symlink_to(version.name)
    (tmp_path / "train.py").symlink_to("..data/train.py")
    assert list(source_files(str(tmp_path))) == ["train.py"]
