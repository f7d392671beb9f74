"""The README: short, its commands executed, its badges true."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

from console_pages import follow
from manifests import ROOT

README = (ROOT / "README.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_its_commands_print_what_it_states(tmp_path: Path):
    printed = list(follow(README, tmp_path))
    assert [(line, found) for line, _, found in printed] == [(line, expected) for line, expected, _ in printed]
    assert sum(line.startswith("longshore run ") for line, _, _ in printed) == 1


def test_a_reader_needs_five_minutes_for_it():
    assert len(README.splitlines()) < 150


def test_badges_state_what_the_package_states():
    badges = dict(re.findall(r"!\[(\w+) [^]]*\]\(https://img\.shields\.io/badge/([^)]*)-blue\)", README))
    versions = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
    assert unquote(badges.pop("Python")) == f"python-{' | '.join(versions)}"
    assert badges.pop("License") == f"license-{PROJECT['license'].replace('-', '--')}"
    assert badges == {}
    assert len(re.findall(r"!\[", README)) == 3


def test_its_links_lead_to_files():
    links = [each for each in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in each]
    assert [each for each in links if not (ROOT / each).exists()] == []
    assert len(links) > 15
