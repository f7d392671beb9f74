"""The lock file: in step with pyproject.toml, of public addresses, and without what depends on the machine.

And what is made of it: the image, and the image's bill of materials.
"""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

from uv import find_uv_bin

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
LOCK = tomllib.loads((ROOT / "uv.lock").read_text())
PUBLIC = ("https://pypi.org/simple", "https://files.pythonhosted.org/")


def test_the_lock_file_has_what_the_project_asks_for(tmp_path: Path):
    command = [find_uv_bin(), "lock", "--check", "--offline", "--cache-dir", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, f"uv.lock is not in step with pyproject.toml; run make lock\n{ended.stderr}"


def test_the_lock_file_names_public_addresses_alone():
    addresses = re.findall(r'"(\w+://[^"]*)"', (ROOT / "uv.lock").read_text())
    assert addresses
    assert [each for each in addresses if not each.startswith(PUBLIC)] == []


def test_every_package_from_an_index_has_digests():
    files = [
        (package["name"], file)
        for package in LOCK["package"]
        if "registry" in package["source"]
        for file in [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
    ]
    assert {name for name, _ in files} == {each["name"] for each in LOCK["package"]} - {"longshore"}
    assert [name for name, file in files if not file["hash"].startswith("sha256:")] == []


def test_which_build_of_torch_suits_a_machine_is_not_locked():
    assert [each["name"] for each in LOCK["package"] if re.match("torch|nvidia|triton|cuda", each["name"])] == []


def test_the_example_runs_in_the_locked_environment():
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    lines = (ROOT / "deploy" / "examples" / "digits" / "requirements.txt").read_text().splitlines()
    assert groups["examples"] == [each for each in lines if not each.startswith("#")]


def test_the_image_is_built_with_the_locked_uv():
    (version,) = (each["version"] for each in LOCK["package"] if each["name"] == "uv")
    assert f"ARG UV={version}\n" in DOCKERFILE


def test_the_bill_of_materials_lists_what_the_image_installs(tmp_path: Path):
    (extras,) = re.findall('^ARG EXTRAS="(.*)"$', DOCKERFILE, re.MULTILINE)
    named = [word for each in extras.split() for word in ("--extra", each)]
    export = [find_uv_bin(), "export", "--quiet", "--frozen", "--no-emit-project", "--no-hashes", *named]
    requirements = subprocess.run(export, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    made = tmp_path / "new" / "sbom.json"
    subprocess.run(["make", "--old-file=setup", "sbom", f"SBOM={made}"], cwd=ROOT, timeout=60, check=True)
    bill = json.loads(made.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "longshore"
    listed = {(each["name"], each["version"]) for each in bill["components"]}
    assert listed == set(re.findall(r"^([\w.-]+)==([^ ;\n]+)", requirements, re.MULTILINE))
    assert all(each["purl"].startswith("pkg:pypi/") for each in bill["components"])
