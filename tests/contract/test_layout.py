"""Where things lie, and what may be imported where: rules that no single module can keep."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("operator", "worker")
PACKAGES = sorted(each.parent for folder in FOLDERS for each in (ROOT / folder).glob("*/__init__.py"))
MODULES = sorted(each for package in PACKAGES for each in package.rglob("*.py"))
DATA_FILES = {  # by their names in the wheel
    str(each.relative_to(package.parent))
    for package in PACKAGES
    for each in package.rglob("*")
    if each.is_file() and each.suffix not in {".py", ".pyc"}
}
MAY_IMPORT = {  # of ours, in the user's image
    "longshore_host": {"longshore_host", "longshore_protocol", "longshore_run", "longshore_shims"},
    "longshore_packages": {"longshore_packages", "longshore_protocol"},
    "longshore_protocol": {"longshore_protocol"},
    "longshore_run": {"longshore_protocol", "longshore_run"},
    "longshore_shims": {"longshore_run", "longshore_shims"},
}
IN_USERS_IMAGE = [each for each in MODULES if MAY_IMPORT.keys() & set(each.parts)]

LONGEST_MODULE = 450  # lines: above 350 a module should be looked at, above this it is no longer one thing
LONGEST_TESTS = 500  # lines of a file of tests, which has one subject
LONGEST_RECIPE = 3  # lines
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TESTS = sorted(each for each in (ROOT / "tests").rglob("*.py") if "data" not in each.relative_to(ROOT).parts)
LATE_ONLY = {"numpy", "pandas", "pyarrow"}  # where an input is tabular, the user's image has them


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def python(*arguments: str) -> str:
    """Run a fresh interpreter from the root, as a newcomer does, and return what it printed."""
    command = [sys.executable, *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_on_the_path_is_never_a_package(folder: str):
    assert not (ROOT / folder / "__init__.py").exists()


def test_operator_is_the_standard_librarys_even_when_started_from_the_root():
    found = python("-c", "import operator; print(operator.__file__)").strip()
    assert Path(found).parent == Path(sysconfig.get_path("stdlib"))


@pytest.mark.parametrize("package", PACKAGES, ids=relative)
def test_a_package_states_what_may_happen_inside_it(package: Path):
    assert ast.get_docstring(ast.parse((package / "__init__.py").read_text()))


@pytest.mark.parametrize("module", MODULES, ids=relative)
def test_a_module_is_short_enough_to_be_read_at_once(module: Path):
    assert len(module.read_text().splitlines()) <= LONGEST_MODULE


def test_the_wheels_packages_are_those_that_are_in_the_two_folders():
    listed = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert sorted(listed["packages"]) == [relative(package) for package in PACKAGES]


def test_the_wheel_holds_the_packages_and_never_the_folders(tmp_path: Path):
    pytest.importorskip("hatchling")
    python("-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert names >= DATA_FILES
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {package.name for package in PACKAGES}


def imports(tree: ast.AST, *, late: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield each imported top-level name, and whether it is imported only when a function runs or for types."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or ".").split(".")[0], late
        else:
            delays = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            yield from imports(node, late=late or delays or for_types)


@pytest.mark.parametrize("module", IN_USERS_IMAGE, ids=relative)
def test_what_goes_into_the_users_image_imports_the_standard_library_only(module: Path):
    ours = MAY_IMPORT[module.relative_to(ROOT / "worker").parts[0]]
    foreign = {
        name
        for name, late in imports(ast.parse(module.read_text()))
        if name not in sys.stdlib_module_names | ours and not (late and name in LATE_ONLY)
    }
    assert not foreign


def test_what_goes_into_the_users_image_can_be_imported_where_nothing_is_installed():
    names = [
        ".".join(each.relative_to(ROOT / "worker").with_suffix("").parts).removesuffix(".__init__")
        for each in IN_USERS_IMAGE
    ]
    code = "import importlib, sys; sys.path.insert(0, 'worker'); [importlib.import_module(n) for n in sys.argv[1:]]"
    python("-I", "-S", "-W", "error", "-c", code, *names)


def test_every_make_target_is_explained_and_short():
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony
    assert set(re.findall(r"^([a-z-]+):.*## \S", text, re.MULTILINE)) == set(phony[1].split())
    assert max(block.count("\n\t") for block in text.split("\n\n")) <= LONGEST_RECIPE


def test_a_file_of_tests_has_one_subject():
    assert [relative(each) for each in TESTS if len(each.read_text().splitlines()) > LONGEST_TESTS] == []


def test_modules_that_tests_share_have_a_name_each():
    """Pytest's `pythonpath` puts their folders side by side: of two modules of one name, one would never be found."""
    folders = [ROOT / each for each in PYPROJECT["tool"]["pytest"]["ini_options"]["pythonpath"]]
    found = [each.stem for folder in folders for each in folder.glob("*.py") if not each.stem.startswith("test_")]
    names = Counter(each for each in found if each != "conftest")
    assert [each for each, count in names.items() if count > 1 or each in sys.stdlib_module_names] == []


def test_modules_of_tests_find_each_other_by_the_path_that_all_share():
    assert [relative(each) for each in TESTS if changes_the_path(ast.parse(each.read_text()))] == []


def test_what_tests_share_is_in_modules_that_hold_no_tests():
    found = {relative(each): {name for name, _ in imports(ast.parse(each.read_text()))} for each in TESTS}
    assert [
        file for file, names in found.items() if any(each.startswith(("test_", "conftest")) for each in names)
    ] == []


def holds_tests(module: str) -> bool:
    return module == "conftest" or module.startswith("test_")


def test_files_that_disturb_what_a_cluster_has_once_run_alone():
    """Others would lose their operator or the API server while they run."""
    disturbs = re.compile(r"\binstall\.(stop|kill)\(|\bcluster\.hold\(place|\bunattended\b|[(, ]release[,)]")
    files = [each for each in TESTS if each.parent.name == "cluster" and each.name.startswith("test_")]
    found = {each.name for each in files if disturbs.search(each.read_text())}
    assert found == {each.name for each in files if "pytestmark = pytest.mark.alone" in each.read_text()}


def changes_the_path(tree: ast.AST) -> bool:
    calls = [ast.unparse(each.func) for each in ast.walk(tree) if isinstance(each, ast.Call)]
    return any(each.startswith("sys.path.") for each in calls)
