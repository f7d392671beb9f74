"""One folder with all pages of the site, whose links lead to pages of the site only.

Pages are written for readers of the repository, too, so they link to files of it. Those that are pages of the site
elsewhere are linked there; of others the site shows the text of the link.
"""

from __future__ import annotations

import posixpath
import re
import shutil
from pathlib import Path

from docsite import code_map
from docsite.pages import pages

ELSEWHERE = {  # page of the site -> file of the repository, outside of docs/
    "contributing/index.md": "CONTRIBUTING.md",
    "contributing/local-cluster.md": "deploy/local/README.md",
    "examples/digits.md": "deploy/examples/digits/README.md",
    "examples/iris-pipeline.md": "deploy/examples/iris-pipeline/README.md",
    "examples/torch-digits.md": "deploy/examples/torch-digits/README.md",
}
REFERENCE = "reference"  # folder of the generated pages
CODE_MAP = "contributing/code-map.md"
ON_SITE_ONLY = (  # for readers of the repository; the site drops it
    "*Some pages of the reference are generated from code. They exist on the site only: `make docs` builds it.*\n"
)
_LINK = re.compile(r"\[([^\]\[]+)\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^(```.*?^```)", re.MULTILINE | re.DOTALL)


def assemble(repository: Path, target: Path) -> None:
    """Write all pages into `target`, which is emptied before."""
    shutil.rmtree(target, ignore_errors=True)
    texts = {}
    for path in sorted((repository / "docs").rglob("*")):
        name = path.relative_to(repository / "docs").as_posix()
        if path.suffix == ".md":
            texts[name] = path.read_text()
        elif path.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)
    texts |= {page: (repository / source).read_text() for page, source in ELSEWHERE.items()}
    texts |= {f"{REFERENCE}/{name}": text for name, text in pages().items()}
    texts[CODE_MAP] = code_map.page(repository)
    for name, text in texts.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(with_links_of_site(text, name).removesuffix(ON_SITE_ONLY))


def with_links_of_site(text: str, page: str) -> str:
    """Return a page's Markdown with links that lead to pages of the site, or nowhere."""
    folder = posixpath.dirname(ELSEWHERE.get(page, f"docs/{page}"))

    def relinked(found: re.Match[str]) -> str:
        label, link = found[1], found[2]
        place, mark, anchor = link.partition("#")
        if not place or "://" in place:
            return found[0]
        source = posixpath.normpath(posixpath.join(folder, place))
        goal = next((name for name, each in ELSEWHERE.items() if each == source), None)
        if goal is None and source.startswith("docs/"):
            goal = source.removeprefix("docs/")
        if goal is None:
            return label if label.startswith("`") else f"`{label}`" if "." in label or "/" in label else label
        return f"[{label}]({posixpath.relpath(goal, posixpath.dirname(page) or '.')}{mark}{anchor})"

    parts = _FENCED.split(text)
    return "".join(part if part.startswith("```") else _LINK.sub(relinked, part) for part in parts)
