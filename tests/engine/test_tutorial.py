"""The laptop tutorial, executed command by command; and the page of the run folder, compared with what it left."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from console_pages import follow
from manifests import ROOT

from longshore_coordinator.reports.texts import readme_txt

PAGE = ROOT / "docs" / "start" / "laptop.md"
FOLDER_PAGE = ROOT / "docs" / "reference" / "run-folder.md"
CONTINUED = sorted(each for each in PAGE.parents[1].glob("how-to/*.md") if "```console" in each.read_text())
IN_STORES = PAGE.parents[1] / "how-to" / "connect-stores.md"
PLACEHOLDERS = {  # of names on the page of the run folder
    "OUTPUT": "totals",
    "FILE": r"parallel_run_step\.txt",
    "WORKER": r"worker-\d+",
    "NNN": r"\d{3}",
    "HOUR": r"\d{10}",
    "EPOCH": r"\d{6}",
    "NUMBER": r"\d{6}",
    "SEGMENT": r"[-.\w]+",
}
OF_PIPELINES = "\n## The folder of a pipeline\n"
SPECIAL = {  # files of runs that fail, register, change their code or are profiled, which the tutorial's do not
    "logs/job_error.txt",
    "logs/sys/error.txt",
    "logs/sys/internal_error.txt",
    "logs/sys/job_report/code.json",
    "logs/sys/node/WORKER/processNNN.profile",
    "logs/user/entry_script_log/WORKER/processNNN.log.txt",
    "registered/KEY/NAME",
}


@pytest.fixture(scope="module", name="followed")
def a_reader_follows_the_tutorial(tmp_path_factory: pytest.TempPathFactory):
    """The reader's folder, and what each command should print and printed. Of the second run, before its retry, too."""
    folder = tmp_path_factory.mktemp("tutorial")
    printed, before_retry = [], set()
    for line, expected, found in follow(PAGE.read_text(), folder):
        printed.append((line, expected, found))
        before_retry = before_retry or files(folder / "second") if "failed.jsonl" in line else before_retry
    return folder, printed, before_retry


def files(folder: Path) -> set[str]:
    return {each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()}


def test_every_command_prints_what_the_page_states(followed):
    _, printed, _ = followed
    assert [(line, found) for line, _, found in printed] == [(line, expected) for line, expected, _ in printed]
    assert sum(line.startswith("longshore ") for line, _, _ in printed) == 3


@pytest.fixture(name="variables")
def what_the_reader_has_in_the_environment(page: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    """The page of stores has credentials for one, which runs meanwhile; others have nothing special."""
    variables: dict[str, str] = request.getfixturevalue("s3").variables if page == IN_STORES else {}
    return variables


@pytest.mark.parametrize("page", CONTINUED, ids=lambda page: page.stem)
def test_pages_that_continue_in_the_tutorials_folder(followed, page: Path, variables: dict[str, str], tmp_path: Path):
    for name in ("prices", "total.py", "total.yaml"):
        copy = shutil.copytree if name == "prices" else shutil.copy
        copy(followed[0] / name, tmp_path / name)
    printed = list(follow(page.read_text(), tmp_path, variables))
    assert [(line, found) for line, _, found in printed] == [(line, expected) for line, expected, _ in printed]
    of_pipelines = set(first_cells(FOLDER_PAGE.read_text().partition(OF_PIPELINES)[2]))
    for run in tmp_path.glob("*/pipeline.json"):
        assert {each.name for each in run.parent.iterdir()} == of_pipelines


def test_the_page_of_the_run_folder_names_each_file_and_no_other(followed):
    folder, _, before_retry = followed
    found = files(folder / "first") | before_retry | files(folder / "second")
    patterns = {name: re.compile(pattern_of(name)) for name in names_on_page()}
    assert {each for each in found if not any(pattern.fullmatch(each) for pattern in patterns.values())} == set()
    unused = {name for name, pattern in patterns.items() if not any(map(pattern.fullmatch, found))}
    assert unused == SPECIAL


def pattern_of(name: str) -> str:
    parts = re.split(f"({'|'.join(PLACEHOLDERS)})", name)
    return "".join(PLACEHOLDERS.get(part) or re.escape(part) for part in parts)


def test_the_page_names_the_logs_that_the_readme_beside_them_names():
    logs, _, _ = readme_txt().partition("In the parent folder")
    named = {
        f"logs/{first}".replace("<node>", "WORKER").replace("<yyyymmddhh>", "HOUR")
        for first in re.findall(r"^([a-z][^ ]*/?[^ ]*\.\w+)(?=,|$|  )", logs, re.MULTILINE)
    }
    shown = {each for each in names_on_page() if each.startswith("logs/")}
    assert shown - named == {"logs/readme.txt", "logs/sys/node/WORKER/host.txt"}  # itself, and one beside another
    assert named - shown == set()


def names_on_page() -> list[str]:
    return first_cells(FOLDER_PAGE.read_text().partition(OF_PIPELINES)[0])


def first_cells(text: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
