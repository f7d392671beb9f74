"""The Python tutorial, executed as a reader does."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

from manifests import ROOT

PAGE = ROOT / "docs" / "start" / "python.md"


def test_the_tutorial_prints_what_the_page_shows(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text()
    for name, content in re.findall(r'^```python title="(.*?)"\n(.*?)^```$', text, re.MULTILINE | re.DOTALL):
        Path(name).write_text(content)
    session = "".join(re.findall(r"^```pycon\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    test = doctest.DocTestParser().get_doctest(session, {"__name__": "__main__"}, "python.md", str(PAGE), 0)
    printed: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(test, out=printed.append)
    assert (runner.tries > 20, "".join(printed)) == (True, "")
