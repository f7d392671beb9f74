"""Files for contributors: hooks run offline, templates are well-formed, fragments become a changelog."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
HOOKS = [
    hook for repo in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"] for hook in repo["hooks"]
]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*_*.yml"))
KINDS = {
    each["directory"] for each in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]["type"]
}


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_a_hook_runs_a_program_of_the_environment(hook):
    program = Path(hook["entry"].split()[0])
    assert program.parts[:2] == (".venv", "bin")
    assert Path(sys.executable).with_name(program.name).exists()
    assert hook["language"] == "system"


def test_hooks_check_what_make_check_checks():
    recipe = (ROOT / "Makefile").read_text().split("\ncheck: ")[1].split("\n\n")[0]
    for hook in HOOKS:
        program, *arguments = hook["entry"].removeprefix(".venv/bin/").split()
        assert " ".join([program, *[each for each in arguments if not each.startswith("-")]]) in recipe


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_a_form_asks_questions_with_ids_of_their_own(form):
    body = [each for each in yaml.safe_load(form.read_text())["body"] if each["type"] != "markdown"]
    assert len({each["id"] for each in body}) == len(body) >= 3
    assert all(each["attributes"]["label"] for each in body)


def test_each_fragment_has_a_kind_and_a_text():
    fragments = [each for each in sorted((ROOT / "changes").iterdir()) if each.name != "README.md"]
    assert [each.name for each in fragments if each.suffixes[-2:-1][0].removeprefix(".") not in KINDS] == []
    assert [each.name for each in fragments if not each.read_text().strip()] == []


def test_fragments_become_a_section_of_the_changelog():
    command = (sys.executable, "-m", "towncrier", "build", "--draft", "--version", "9.9.9", "--date", "2030-01-02")
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "## 9.9.9 (2030-01-02)" in made
