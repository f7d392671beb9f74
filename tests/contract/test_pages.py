"""Commands, values and messages on the written pages, held against what exists. What runs here runs elsewhere, too."""

from __future__ import annotations

import argparse
import itertools
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
import yaml
from console_pages import Command, steps
from docsite import code_map, pictures
from manifests import ROOT

from longshore_api import parse
from longshore_cli.__main__ import make_parser
from longshore_operator.manifests.placement import on_node, resources_of
from longshore_operator.settings import Settings
from longshore_planner.catalogue import Document
from longshore_planner.cluster import vm_sizes
from longshore_planner.cluster.nodes import NodeShape, node_shape
from longshore_storage.causes import known_cause

DOCS = ROOT / "docs"
CHART = ROOT / "charts" / "longshore"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
BUILT_IN = {
    "crd",
    "customresourcedefinitions",
    "event",
    "events",
    "lease",
    "namespace",
    "node",
    "pod",
    "pods",
    "secret",
}
VERBS = {"apply", "config", "create", "delete", "describe", "get", "label", "patch", "port-forward", "wait"}
OF_READERS = {"manifests", "manifests/", "step.yaml"}  # files that pages leave to the reader
CONDITIONS = {"Finished", "Ready", "Stalled", "Succeeded"}


def entered() -> Iterator[Any]:
    """Yield each line of shell that a page has readers enter."""
    for page in PAGES:
        text = page.read_text()
        blocks = re.findall(r"^ *```bash\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
        lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
        lines += [step.line for step in steps(text) if isinstance(step, Command)]
        for number, line in enumerate(filter(str.strip, lines)):
            yield pytest.param(line, id=f"{page.relative_to(ROOT)}-{number}")


def words_of(line: str, program: str) -> Iterator[list[str]]:
    """Yield the arguments of each call of a program in a line of shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()")
    lexer.whitespace_split = True
    calls: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("|&;()"):
            calls.append([])
        else:
            calls[-1].append(word)
    for call in calls:
        while call and re.fullmatch(r"[A-Z_]+=.*", call[0]):
            call.pop(0)
        if call and call[0] == program:
            yield call[1:]


def test_commands_are_found():
    found = {program for each in entered() for program in CHECKS if [*words_of(each.values[0], program)]}
    assert found == CHECKS.keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_stand_in_fenced_blocks_alone(page: Path):
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(rf"^    (?:{'|'.join(CHECKS)}) .*$", text, re.MULTILINE) == []


@pytest.mark.parametrize("line", [*entered()])
def test_a_command_exists_with_all_that_it_names(line: str):
    for program, check in CHECKS.items():
        for words in words_of(line, program):
            check(words)


def check_longshore(words: list[str]) -> None:
    if words != ["--version"]:
        make_parser().parse_args(words)


def check_kubectl(words: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--for", dest="condition", default="")
    parser.add_argument("-n", "--namespace")
    parser.add_argument("-f", "--filename", action="append", default=[])
    parser.add_argument("words", nargs="*")
    given, _ = parser.parse_known_args(words)
    verb, *rest = given.words
    assert verb in VERBS
    if verb in ("get", "describe", "delete", "wait") and rest and not rest[0].startswith("$"):
        assert rest[0].partition("/")[0] in resources()
    assert given.condition.removeprefix("condition=") in {"", *CONDITIONS}
    folders = (ROOT, ROOT / "deploy/examples/digits")
    files = {each for each in given.filename if not any((folder / each).exists() for folder in folders)}
    assert files <= OF_READERS


def resources() -> set[str]:
    """Return every name by which kubectl knows a kind of ours, and those of Kubernetes that pages use."""
    known = set(BUILT_IN)
    for file in (ROOT / "crds").iterdir():
        names = yaml.safe_load(file.read_text())["spec"]["names"]
        known |= {names["plural"], names["singular"], *names["shortNames"], *names["categories"]}
    return known


def check_helm(words: list[str]) -> None:
    verb, release, *rest = words
    assert release == "longshore"
    if verb in ("install", "upgrade"):
        given = [value for flag, value in itertools.pairwise(rest) if flag == "--set"]
        with helm.Chart.load(ROOT / rest[0]) as chart:
            assert chart.render(values_of(given), name=release, namespace="longshore-system")
    else:
        assert verb in ("rollback", "uninstall")


def values_of(given: list[str]) -> dict[str, Any]:
    """Return the values of `--set NAME=VALUE`, where a value in braces is a list."""
    values: dict[str, Any] = {}
    for each in given:
        path, _, text = each.partition("=")
        *above, last = path.split(".")
        place = values
        for name in above:
            place = place.setdefault(name, {})
        place[last] = (
            text.strip("{}").split(",") if text.startswith("{") else {"true": True, "false": False}.get(text, text)
        )
    return values


def check_make(words: list[str]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {each for each in words if "=" not in each} <= targets


def check_pip(words: list[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = re.findall(r"longshore\[([^\]]*)\]", " ".join(words))
    assert {extra for each in asked for extra in each.split(",")} <= extras.keys()


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "longshore": check_longshore, "kubectl": check_kubectl, "helm": check_helm, "make": check_make, "pip": check_pip,
}  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "longshore run step.yaml --run-folder x",
        "kubectl get steps",
        "kubectl wait --for=condition=Done prs/NAME",
        "helm install longshore charts/longshore --set image.pullSecret=ours",
        "make everything",
        "pip install 'longshore[s4]'",
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str):
    ((program, words),) = ((each, words) for each in CHECKS for words in words_of(line, each))
    with pytest.raises((AssertionError, SystemExit, RuntimeError, ValueError)):
        CHECKS[program](words)


# Values of the chart


def test_values_that_pages_name_are_the_charts():
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    named = re.findall(
        r"`((?:image|operator|rbac|crds|metrics|networkPolicy|placeholder|lowPriority)\.[\w.]+)", texts()
    )
    assert {each for each in named if not has(defaults, each.rstrip(".").split("."))} == set()
    assert "image.pullSecrets" in named


def has(values: Any, path: list[str]) -> bool:
    return not path or (isinstance(values, dict) and path[0] in values and has(values[path[0]], path[1:]))


def texts() -> str:
    return "\n".join(page.read_text() for page in PAGES)


# Pages whose tables repeat what code knows


def rows(page: str, first: str) -> list[list[str]]:
    """Return the cells of the rows that begin with a cell of the form `first`."""
    found = re.findall(rf"^\| {first} \|.*$", (DOCS / page).read_text(), re.MULTILINE)
    return [[cell.strip().replace("`", "") for cell in row.strip("|").split("|")] for row in found]


def test_requests_of_machine_sizes_are_those_of_the_catalogue():
    shown = rows("how-to/size-a-cluster.md", "`Standard_.*?`")
    assert len(shown) == 6
    for name, machine, requested in shown:
        size = vm_sizes.find(name)
        assert size is not None
        gpus = f", {size.gpus} GPU" if size.gpus else ""
        asked = vm_sizes.requests(size)
        assert machine == f"{size.cores:g} cores, {size.memory_gib:g} GiB{gpus}"
        assert requested == f"{asked['cpu']}, {asked['memory']}{gpus}"


def test_requests_of_longshores_own_containers_are_those_of_the_chart():
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    operator = defaults["operator"]["resources"]
    worker = yaml.safe_load((ROOT / "tests/data/golden/worker_pod.yaml").read_text())["spec"]["containers"]
    (agent,) = (each["resources"]["requests"] for each in worker if each["name"] == "agent")
    shown = {
        row[0].partition(",")[0]: row[1:3]
        for row in rows("how-to/size-a-cluster.md", "(?:operator|coordinator|agent).*?")
    }
    assert shown == {
        "operator": [f"{operator['requests']['cpu']}, {operator['requests']['memory']}", operator["limits"]["memory"]],
        "coordinator": [f"50m, {defaults['coordinatorMemory']}", defaults["coordinatorMemoryLimit"]],
        "agent": [f"{agent['cpu']}, {agent['memory']}", defaults["agentMemoryLimit"]],
    }


def clusters(page: str) -> list[NodeShape]:
    """Return what the nodes are of each ComputeCluster on a page."""
    found = re.findall(r"^```yaml\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    raw = [each for text in found for each in yaml.safe_load_all(text) if each.get("kind") == "ComputeCluster"]
    return [node_shape(Document(page, "", parse(each))) for each in raw]


def test_nodes_of_the_page_on_gpus_have_gpus():
    by_count, by_size, with_shm = clusters("how-to/use-gpus.md")
    assert [each.gpus for each in (by_count, by_size, with_shm)] == [1, 1, 1]
    assert [each.processes for each in (by_count, by_size, with_shm)] == [1, 1, 1]
    for each in (by_count, by_size, with_shm):
        assert resources_of(each).limits["nvidia.com/gpu"] == "1"
    assert with_shm.template["spec"]["volumes"][0]["emptyDir"]["medium"] == "Memory"


def test_pods_of_the_page_on_registries_have_both_secrets():
    (node,) = clusters("how-to/use-private-registries.md")
    placement = on_node(node, Settings(image="ours", image_pull_secrets=("ours",)))
    assert [each.name for each in placement["image_pull_secrets"]] == ["ours", "theirs"]


class NoSuchBucket(Exception): ...


class AccessDenied(Exception): ...


class InvalidAccessKeyId(Exception): ...


class NoCredentialsError(Exception): ...


@pytest.mark.parametrize(
    "error",
    [NoSuchBucket(), AccessDenied(), InvalidAccessKeyId(), NoCredentialsError()],
    ids=lambda error: type(error).__name__,
)
def test_messages_of_stores_are_those_of_the_page(error: Exception):
    assert f"`{known_cause('s3://scores/2024/a.csv', error)}`" in (DOCS / "how-to/connect-stores.md").read_text()


# Pictures and the map of the code


def test_pictures_are_those_that_the_script_draws(tmp_path: Path):
    pictures.write(tmp_path)
    committed = {each.name: each.read_text() for each in (DOCS / "pictures").iterdir()}
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == committed


def test_every_picture_is_on_a_page_with_its_description():
    for name, drawing in pictures.pictures().items():
        assert re.search(rf"!\[{re.escape(drawing.title)}\]\((?:\.\./)?pictures/{name}\.svg\)", texts()), name


def test_a_text_that_does_not_fit_its_box_is_refused():
    drawing = pictures.Drawing("too long", 100, 100)
    with pytest.raises(ValueError, match="does not fit"):
        drawing.box(0, 0, 80, 40, "a title that is too long")


def test_the_map_of_the_code_has_every_package_module_and_folder():
    text = code_map.page(ROOT)
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert {each.name for each in code_map.packages(ROOT)} == sections.keys()
    for package in code_map.packages(ROOT):
        shown = dict(re.findall(r"^\| `(.*?)` \| (.+) \|$", sections[package.name], re.MULTILINE))
        assert shown.keys() == {each.relative_to(package).as_posix() for each in code_map.modules(package)}
        assert all(each.strip() for each in shown.values())
    assert [each for each in code_map.FOLDERS if not (ROOT / each).is_dir()] == []


# Names of code


MODULES = [f"/{each.relative_to(ROOT).as_posix()}" for each in ROOT.glob("[!.]*/**/*.py")]
EXPLAINING = [each for each in PAGES if {"explanation", "contributing"} & set(each.parts)]


def names_of_modules(text: str) -> set[str]:
    """Return what stands as code in a page and looks like a module of ours: a file, or a dotted name."""
    in_code = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    files = {each for each in in_code if re.fullmatch(r"[\w/]+\.py", each)}
    return files | {each for each in in_code if re.fullmatch(r"longshore_\w+(\.\w+)+", each)}


def exists(name: str) -> bool:
    if name.endswith(".py"):
        return any(each.endswith(f"/{name}") for each in MODULES)
    path = f"/{name.replace('.', '/')}"
    return any(f"{path}.py" in each or f"{path}/" in each for each in MODULES)


@pytest.mark.parametrize("page", EXPLAINING, ids=lambda page: page.stem)
def test_modules_that_a_page_names_exist(page: Path):
    assert {each for each in names_of_modules(page.read_text()) if not exists(each)} == set()


def test_a_module_that_does_not_exist_is_found():
    assert names_of_modules("`plan.py` and `longshore_agent.stager`, `a b.py`") == {"plan.py", "longshore_agent.stager"}
    assert exists("enumerate/plan.py")
    assert not exists("longshore_agent.nothing")
