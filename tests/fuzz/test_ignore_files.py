"""Whatever an ignore file says, the files of a source are those that git would add."""

import subprocess

import pytest
from fuzzing import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore_storage.source_files import source_files

FILES = (
    "a b.txt", "abc.py", "build/x", "code/build/x.o", "code/data/deep/x.csv", "code/data/x.csv", "code/train.py",
    "data/keep.csv", "data/x.csv", "doc/a.md", "doc/sub/a.md", "lib/a.o", "x.log", "z[1].txt", "#hash", "!bang",
)  # fmt: skip
PARTS = (
    "*", "**", "data", "code", "build", "x.csv", "*.csv", "*.py", "doc", "sub", "a.*", "deep", "[a-c]*", "[!a]*",
    "?.md", "*.[oa]", "[z-a]", "lib", "keep.csv", "a b.txt", "z\\[1].txt", "#hash", "\\!bang",
)  # fmt: skip

parts = st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).map("/".join)
lines = st.tuples(st.sampled_from(["", "!"]), st.sampled_from(["", "/"]), parts, st.sampled_from(["", "/", " "]))
texts = st.lists(lines.map("".join), min_size=1, max_size=4).map(lambda found: "\n".join(found) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("source")
    for name in FILES:
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).touch()
    subprocess.run(["git", "-C", str(made), "init", "--quiet"], check=True)
    return made


@given(text=texts)
@settings(examples(60), deadline=None)
def test_ignore_files_mean_what_they_mean_to_git(folder, text):
    (folder / ".gitignore").write_text(text)
    git = ["git", "-c", "core.excludesFile=", "-C", str(folder)]
    listed = subprocess.run([*git, "ls-files", "-z", "--others", "--exclude-standard"], check=True, capture_output=True)
    assert sorted(source_files(str(folder))) == sorted(listed.stdout.decode().split("\0")[:-1])
