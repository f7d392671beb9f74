"""The generated pages of the reference: all that exists is on its page, and nothing that does not."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from console_pages import Command, File, steps
from docsite.assemble import CODE_MAP, ELSEWHERE, ON_SITE_ONLY, REFERENCE, assemble, with_links_of_site
from docsite.environment import INTERNAL, OF_THE_COMMAND
from docsite.pages import pages
from model_fields import fields_of
from reasons_in_code import reasons_in_code

import longshore
from longshore_api import KINDS
from longshore_cli import exit_codes
from longshore_cli.__main__ import make_parser
from longshore_operator.metrics import Metrics
from longshore_operator.settings import Settings
from longshore_protocol.errors import CATEGORIES

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module", name="texts")
def the_texts() -> dict[str, str]:
    return pages()


def first_cells(text: str) -> list[str]:
    """Return what stands as code in the first cell of each row of the tables in a text."""
    return [cell for row in re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE) for cell in re.findall("`(.*?)`", row)]


def fields_on(page: str) -> set[str]:
    """Return the paths of all fields on the page of a kind."""
    found = set()
    for section in re.split("^##+ ", page, flags=re.MULTILINE)[1:]:
        path = section.split("\n", 1)[0]
        if path.split(".")[0] in ("spec", "status"):
            found |= {f"{path}.{name}" for name in first_cells(section)}
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_all_fields_of_a_kind_are_on_its_page(kind: str, texts: Mapping[str, str]):
    fields = KINDS[kind].model_fields
    expected = {path for name in ("spec", "status") for path in fields_of(fields[name].annotation, name)}
    assert fields_on(texts[f"kinds/{kind.lower()}.md"]) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_a_type_and_a_description(kind: str, texts: Mapping[str, str]):
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", texts[f"kinds/{kind.lower()}.md"], re.MULTILINE)
    assert [name for name, type_, description in rows if not type_ or not description.strip()] == []


def test_ranges_and_defaults_are_those_of_the_models(texts: Mapping[str, str]):
    page = texts["kinds/parallelrunstep.md"]
    assert "| `nodeCount` | integer; 1 or more; default `1` |" in page
    assert "| `runInvocationTimeoutSeconds` | integer; 1 to 259,200; default `60` |" in page
    assert "| `processCountPerNode` | integer or `auto`; 1 or more; default `1` |" in page
    assert "| `outputAction` | one of `append_row`, `summary_only`; required |" in page
    assert "| `priority` | integer; -1,000,000 to 1,000,000; default `0` |" in page


def test_all_kinds_are_listed(texts: Mapping[str, str]):
    assert sorted(re.findall(r"^\| \[(\w+)\]", texts["kinds/index.md"], re.MULTILINE)) == sorted(KINDS)


def test_all_public_names_of_python_are_on_the_page_with_their_arguments(texts: Mapping[str, str]):
    page = texts["python.md"]
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", page, re.MULTILINE | re.DOTALL))
    assert sections.keys() == set(longshore.__all__)
    for name, section in sections.items():
        made = getattr(longshore, name)
        if dataclasses.is_dataclass(made):
            rows = dict(re.findall(r"^\| (?:\* )?`(\w+)` \|.*\| (.*) \|$", section, re.MULTILINE))
            assert rows.keys() == {each.name for each in dataclasses.fields(made)}
            assert [argument for argument, text in rows.items() if not text.strip()] == []
    assert [name for name in ("wait", "outputs", "retry") if f"#### Run.{name}\n" not in page] == []


def test_all_commands_and_options_are_on_the_page(texts: Mapping[str, str]):
    sections = re.split("^## ", texts["cli.md"], flags=re.MULTILINE)[1:]
    shown = {each.split("\n", 1)[0]: {cell.split()[0] for cell in first_cells(each)} for each in sections}
    assert shown == dict(commands(make_parser()))


def commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, set[str]]]:
    spelt = {each for action in parser._actions for each in action.option_strings or [action.metavar]}
    if spelt - {"-h", "--help", "COMMAND", "SYSTEM"}:
        yield parser.prog, spelt
    for action in parser._actions:
        for each in action.choices.values() if isinstance(action, argparse._SubParsersAction) else ():
            yield from commands(each)


class Recording(dict[str, str]):
    """An environment that remembers which variables were asked for."""

    def __init__(self) -> None:
        super().__init__(LONGSHORE_IMAGE="image")
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)


def test_all_variables_that_the_operator_reads_are_on_the_page(texts: Mapping[str, str]):
    environment = Recording()
    Settings.from_environment(environment)
    shown, _, _ = texts["environment.md"].partition("## The operator")[2].partition("\n## ")
    assert set(first_cells(shown)) == environment.asked


def test_all_variables_of_processes_are_on_the_page(texts: Mapping[str, str]):
    operators = {f"LONGSHORE_{each.name.upper()}" for each in dataclasses.fields(Settings)}
    ours = {each for each in OF_THE_COMMAND if each.startswith("LONGSHORE_")}
    assert variables_in_code("LONGSHORE_[A-Z_]+[A-Z]") - operators == INTERNAL.keys() | ours
    shown = set(first_cells(texts["environment.md"]))
    assert shown >= INTERNAL.keys() | OF_THE_COMMAND.keys()
    assert variables_in_code("NO_COLOR|XDG_\\w+|GLIBC_TUNABLES|MALLOC_\\w+") == OF_THE_COMMAND.keys() - ours


def variables_in_code(form: str) -> set[str]:
    """Return names of variables that modules have: as texts, or as arguments that become variables."""
    found = set()
    for module in (each for folder in ("operator", "worker") for each in (REPOSITORY / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_text())):
            text = node.value if isinstance(node, ast.Constant) else node.arg if isinstance(node, ast.keyword) else ""
            found |= {text} if isinstance(text, str) and re.fullmatch(form, text) else set()
    return found


def test_all_exit_codes_are_on_the_page(texts: Mapping[str, str]):
    codes = {str(value) for name, value in vars(exit_codes).items() if name.isupper()}
    assert set(first_cells(texts["exit-codes.md"])) == codes


def test_all_metrics_are_on_the_page(texts: Mapping[str, str]):
    families = [each for each in Metrics().registry.collect() if not each.name.startswith("process_")]
    served = {f"{each.name}_total" if each.type == "counter" else each.name for each in families}
    assert set(first_cells(texts["metrics.md"])) == served


def test_all_reasons_are_on_the_page(texts: Mapping[str, str]):
    reasons, _, _ = texts["reasons.md"].partition("\n## Error categories")
    assert set(first_cells(reasons)) == reasons_in_code()


def test_no_reason_is_there_twice(texts: Mapping[str, str]):
    reasons, _, categories = texts["reasons.md"].partition("\n## Error categories")
    assert len(set(first_cells(reasons))) == len(first_cells(reasons))
    assert first_cells(categories) == list(CATEGORIES)


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("[data](data.md)", "[data](../data.md)"),
        ("[limits](data.md#rows)", "[limits](../data.md#rows)"),
        ("[the cluster](../local/README.md)", "[the cluster](../contributing/local-cluster.md)"),
        ("[values.yaml](../../charts/longshore/values.yaml)", "`values.yaml`"),
        ("[here](https://example.com/a.md)", "[here](https://example.com/a.md)"),
        ("[below](#more)", "[below](#more)"),
    ],
)
def test_links_lead_to_pages_of_the_site_or_nowhere(link: str, expected: str):
    page = "examples/torch-digits.md"
    text = link.replace("(data.md", "(../../../docs/data.md").replace("../local/", "../../local/")
    assert with_links_of_site(text.replace("../../charts", "../../../charts"), page) == expected


def test_code_keeps_its_brackets():
    text = "```python\nrows[0](1)\n```\n"
    assert with_links_of_site(text, "index.md") == text


def test_the_site_builds_without_a_warning_and_needs_no_network(tmp_path: Path):
    shutil.copy(REPOSITORY / "mkdocs.yml", tmp_path)
    assemble(REPOSITORY, tmp_path / "build/docs-pages")
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    pages_built = {path.relative_to(tmp_path / "build/docs-site"): path for path in tmp_path.rglob("index.html")}
    assert len(pages_built) > len(pages())
    loaded = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=["']?(https?:[^"'\s>]+)""")
    assert {str(name): found for name, path in pages_built.items() if (found := loaded.findall(path.read_text()))} == {}


def test_generated_pages_stand_beside_written_ones(tmp_path: Path):
    (tmp_path / "old.md").write_text("of a page that is no more")
    assemble(REPOSITORY, tmp_path)
    written = {path.relative_to(REPOSITORY / "docs").as_posix() for path in (REPOSITORY / "docs").rglob("*.md")}
    generated = {CODE_MAP, *(f"{REFERENCE}/{name}" for name in pages())}
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.md")}
    assert found == written | generated | set(ELSEWHERE)
    assert not written & (generated | set(ELSEWHERE))


def linked(page: Path) -> set[str]:
    """Return the pages of the site that a written page links to."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    links = [each.partition("#")[0] for each in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in each]
    folder = page.parent.relative_to(REPOSITORY / "docs").as_posix()
    return {posixpath.normpath(posixpath.join(folder, each)) for each in links if each}


def test_pages_with_links_that_lead_nowhere_in_the_repository_report_it(tmp_path: Path):
    generated = {CODE_MAP, *(f"{REFERENCE}/{name}" for name in pages())}
    written = sorted((REPOSITORY / "docs").rglob("*.md"))
    assert [each.name for each in written if each.read_text().endswith(ON_SITE_ONLY)] == [
        each.name for each in written if linked(each) & generated
    ]
    assemble(REPOSITORY, tmp_path)
    assert [each.name for each in tmp_path.rglob("*.md") if ON_SITE_ONLY in each.read_text()] == []


CLUSTER_PAGE = (REPOSITORY / "docs/start/cluster.md").read_text()


def test_yaml_of_the_cluster_tutorial_is_that_of_the_example():
    shown = [step for step in steps(CLUSTER_PAGE) if isinstance(step, File)]
    assert [step.name for step in shown if step.text not in (REPOSITORY / step.name).read_text()] == []
    assert len(shown) == 2


def test_commands_of_the_cluster_tutorial_are_those_of_the_example():
    sources = ("README.md", "docs/install.md", "deploy/examples/digits/README.md")
    known = {line.strip() for name in sources for line in (REPOSITORY / name).read_text().splitlines()}
    entered = [step.line for step in steps(CLUSTER_PAGE) if isinstance(step, Command)]
    assert [line for line in entered if line not in known] == []
    assert entered
