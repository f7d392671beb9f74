"""Entry scripts under other releases of Python, as images of users have them: from 3.7 on."""

from __future__ import annotations

import pytest
from releases import OLDEST, OTHERS, interpreter

SCRIPT = """\
import sys

from longshore_run import Run


def init():
    Run.get_context().log("started", 1)


def run(mini_batch):
    return [{"release": "%d.%d" % sys.version_info[:2], "characters": len(open(path).read())} for path in mini_batch]
"""


@pytest.mark.parametrize(
    ("release", "run"),
    [*((each, "def run") for each in OTHERS), (OTHERS[0], "async def run"), (OTHERS[-1], "async def run")],
)
def test_an_entry_script_runs_under_each_release(longshore, release: str, run: str):
    longshore.data("a", "bb", "ccc")
    longshore.write("code/lengths.py", SCRIPT.replace("def run", run))
    longshore.manifest(
        longshore.step(
            "lengths.py",
            source={"uri": "code"},
            output={"name": "out", "format": "jsonl"},
            environment={"name": "other"},
        ),
        longshore.document("Environment", "other", python=interpreter(release)),
    )
    ended = longshore.run()
    assert ended.code == 0, ended.stderr
    assert ended.rows == [f'{{"release": "{release}", "characters": {length}}}' for length in (1, 2, 3)]


def test_a_task_runs_under_the_oldest_release(longshore):
    longshore.write("code/task.py", 'import sys\nprint("%d.%d" % sys.version_info[:2])\n')
    longshore.manifest(
        longshore.document(
            "ScriptStep", "task", scriptName="task.py", source={"uri": "code"}, environment={"name": "other"}
        ),
        longshore.document("Environment", "other", python=interpreter(OLDEST)),
    )
    ended = longshore.run()
    assert ended.code == 0, ended.stderr
    (log,) = longshore.run_dir.glob("steps/task/**/stdout.txt")
    assert log.read_text() == f"{OLDEST}\n"
