"""The language of code: words that CONTRIBUTING.md rules out appear in no text, comment, name, definition or page.

Of the tests, their names are read.

A message often passes through variables and helpers before it is raised or logged. So every string literal of two words
or more counts as text, wherever it stands; each failure names file, line, word and replacement.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(
    [each.parent for folder in ("operator", "worker") for each in (ROOT / folder).glob("*/__init__.py")]
    + [ROOT / "deploy/local/localcluster", ROOT / "deploy/docs/docsite"]
)


def banned_words() -> dict[str, str]:
    """Return the replacement of each banned word or phrase, from the table in CONTRIBUTING.md."""
    _, _, text = (ROOT / "CONTRIBUTING.md").read_text().partition("\n### Words that this project does not use\n")
    rows = re.findall(r"^\| ([a-z ,]+) \| (.+) \|$", text.partition("\n## ")[0], re.MULTILINE)
    return {word: instead for words, instead in rows[1:] for word in words.split(", ")}


BANNED = banned_words()
_PHRASES = "|".join(sorted(BANNED, key=len, reverse=True)).replace(" ", r"\s+")
_ANY = re.compile(rf"\b({_PHRASES})\b", re.IGNORECASE)


def findings(text: str) -> list[str]:
    """Return each banned word in a text with its replacement."""
    words = [" ".join(found.lower().split()) for found in _ANY.findall(text)]
    return [f'"{word}": {BANNED[word]}' for word in words]


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of each literal of two words or more; an f-string is one text, with X for each value."""
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            text = node.value
        else:
            continue
        if len(text.split()) > 1:
            yield node.lineno, text


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and name of each class, function, parameter, variable and attribute that a module defines."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name="tell"):
                pass  # io.IOBase requires this name
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each comment."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def in_words(name: str) -> str:
    return " ".join(re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+", name)).lower()


def problems(module: Path) -> list[str]:
    source = module.read_text()
    tree = ast.parse(source)
    found = [*texts(tree), *comments(source), *((line, in_words(name)) for line, name in names(tree))]
    where = module.relative_to(ROOT)
    return [f"{where}:{line}: {each}" for line, text in sorted(found) for each in findings(text)]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_a_package_uses_no_banned_word(package: Path):
    assert [each for module in sorted(package.rglob("*.py")) for each in problems(module)] == []


TIERS = sorted({each.parent for each in (ROOT / "tests").rglob("test_*.py")})


def names_of_tests(module: Path) -> Iterator[tuple[int, str]]:
    """Yield line and name of each test of a file."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.lineno, node.name


@pytest.mark.parametrize("tier", TIERS, ids=lambda path: path.name)
def test_a_test_has_a_name_without_banned_words(tier: Path):
    modules = sorted(tier.glob("test_*.py"))
    named = [(module, line, name) for module in modules for line, name in names_of_tests(module)]
    assert [f"{module.name}:{line}: {each}" for module, line, name in named for each in findings(in_words(name))] == []
    assert len(named) > 1


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "deploy").rglob("README.md"))]


def prose(page: str) -> str:
    """Return a page without blocks of code, code in lines, and targets of links; lines keep their numbers."""
    page = re.sub(r"^ *```.*?^ *```$", lambda block: "\n" * block[0].count("\n"), page, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`|\]\([^)]*\)", "", page)


@pytest.mark.parametrize("page", [each for each in PAGES if each.parent.name != "adr"], ids=lambda page: page.stem)
def test_a_page_uses_no_banned_word(page: Path):  # decisions are history: they keep their words
    lines = enumerate(prose(page.read_text()).splitlines(), 1)
    assert [f"{page.name}:{number}: {each}" for number, line in lines for each in findings(line)] == []


def test_code_on_pages_is_no_prose():
    text = "Run it:\n\n```bash\nsay hello\n```\n\nThen `tell` it, see [what](brings.md). It says so."
    assert prose(text).splitlines()[-1] == "Then  it, see [what. It says so."
    assert prose(text).count("\n") == text.count("\n")


def descriptions(node: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield path and text of each description and message of a custom resource definition."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("description", "message") and isinstance(value, str):
                yield path, value
            yield from descriptions(value, f"{path}.{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from descriptions(value, f"{path}[{index}]")


def test_the_custom_resource_definitions_use_no_banned_word():
    found = []
    for definition in sorted((ROOT / "crds").glob("*.yaml")):
        for path, text in descriptions(yaml.safe_load(definition.read_text())["spec"]["versions"]):
            found += [f"{definition.name}{path}: {each}" for each in findings(text)]
    assert found == []


def test_all_descriptions_of_a_definition_are_read():
    schema = {"description": "a", "properties": {"b": {"description": "b", "items": [{"description": "c"}]}}}
    rules = {"x-kubernetes-validations": [{"rule": "r", "message": "d"}]}
    assert [text for _, text in descriptions({**schema, **rules})] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('"""Tell the coordinator."""', "tell"),
        ('raise ValueError(f"{name} is\\nto be a path")', "is to be"),
        ('log.info("the step " + "is settled for " "good", 1)', "for good"),
        ('class A:\n    name: str = ""\n    """Who is told of it."""', "told"),
        ("def _tell(): ...", "tell"),
        ("class Errand: ...", "errand"),
        ("def f(*, said=None): ...", "said"),
        ("self.is_settled = True", "settled"),
    ],
)
def test_banned_words_are_found(text: str, word: str):
    tree = ast.parse(text)
    found = [line for _, each in texts(tree) for line in findings(each)]
    found += [line for _, name in names(tree) for line in findings(in_words(name))]
    assert f'"{word}": {BANNED[word]}' in found


@pytest.mark.parametrize("text", ["f.tell()", 'x = "told"', 'a("essays, handles")'])
def test_words_of_others_and_parts_of_words_are_no_findings(text: str):
    tree = ast.parse(text)
    assert [line for _, each in texts(tree) for line in findings(each)] == []


def test_comments_are_read_and_strings_are_no_comments():
    assert list(comments("a = 1  # told\nb = '# told'\n")) == [(1, "# told")]


def test_the_table_of_words_is_read_whole():
    assert {"tell", "is to be", "errand", "whoever", "lain"} <= BANNED.keys()
    assert all(BANNED.values())
