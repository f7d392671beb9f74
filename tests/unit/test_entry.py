"""What shape an entry script has, and how its exceptions are put into words."""

import errno
import os
import subprocess
import sys
from types import ModuleType

import pytest

from longshore_host import entry


def raised(error):
    try:
        raise error
    except ValueError:
        return error


def test_an_error_of_a_megabyte_is_reported_in_a_few_lines():
    error = raised(ValueError("x" * 1_000_000))
    assert entry.one_line(error) == "ValueError: " + "x" * entry.LINE_CHARACTERS
    lines = entry.short_traceback(error).split("\n")
    assert len(lines) <= entry.TRACEBACK_LINES
    assert lines[-1] == ("ValueError: " + "x" * 1_000_000)[: entry.LINE_CHARACTERS]


def test_of_many_lines_the_last_are_reported():
    error = raised(ValueError("\n".join(map(str, range(1000)))))
    assert entry.short_traceback(error).split("\n") == [str(number) for number in range(980, 1000)]


RUN = "def run(mini_batch): return []\n"
COROUTINE = "async def run(mini_batch): return []\n"
QUEUE = "def enqueue(mini_batch, context): pass\ndef get_finished_batch_result(): return {}\n"
FLAG = "--amlbi_async_mode"


def shape(code, *arguments):
    module = ModuleType("script")
    exec(code, module.__dict__)
    return entry.EntryScript(module, "/code/script.py", arguments).shape


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (RUN, entry.Shape.IN_ORDER),
        (COROUTINE, entry.Shape.COROUTINES),
        (QUEUE, entry.Shape.QUEUE),
        (RUN + QUEUE, entry.Shape.IN_ORDER),
        (COROUTINE + QUEUE, entry.Shape.COROUTINES),
    ],
)
def test_a_script_states_by_its_functions_how_it_is_fed(code, expected):
    assert shape(code) is shape(code, FLAG, "False") is expected
    assert shape(code, FLAG, "True") is (entry.Shape.QUEUE if QUEUE in code else expected)


@pytest.mark.parametrize(
    ("arguments", "is_meant"),
    [
        ((FLAG,), True),
        ((FLAG, "--other"), True),
        ((FLAG, "true"), True),
        ((f"{FLAG}=1",), True),
        ((FLAG, "False"), False),
        ((f"{FLAG}=false",), False),
        ((FLAG, "True", FLAG, "False"), False),  # as argparse has it
        (("--mode", "True"), False),
    ],
)
def test_azure_mls_flag_states_which_of_both_is_meant(arguments, is_meant):
    assert shape(RUN + QUEUE, *arguments) is (entry.Shape.QUEUE if is_meant else entry.Shape.IN_ORDER)


def test_half_a_queue_is_none():
    with pytest.raises(entry.EntryScriptError, match=r"script\.py defines no function run\(mini_batch\)"):
        shape("def enqueue(mini_batch, context): pass\n")


LAYOUTS = {
    "a package of its name": ({"score.py": "from score.tools import f", "score/tools.py": "f = 1"}, "f"),
    "that package as a whole": ({"score.py": "import score", "score/tools.py": ""}, "score.__path__"),
    "a subpackage of it": ({"score.py": "import score.a.tools as t", "score/a/tools.py": "f = 2"}, "t.f"),
    "a module that imports the package": (
        {"score.py": "import other", "other.py": "import score.tools", "score/tools.py": "f = 3"},
        "other.score.tools.f",
    ),
    "a module beside a folder of its name": (
        {"score.py": "from other import f", "score/x.txt": "", "other.py": "f = 4"},
        "f",
    ),
}


@pytest.mark.parametrize(("files", "shown"), LAYOUTS.values(), ids=LAYOUTS.keys())
def test_a_script_imports_what_python_gives_it_when_it_is_run_alone(tmp_path, files, shown):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
        for folder in (each for each in path.parents if tmp_path in each.parents and path.suffix == ".py"):
            (folder / "__init__.py").touch()
    script = tmp_path / "score.py"
    script.write_text(f"{script.read_text()}\ndef run(mini_batch): pass\nprint({shown})\n")
    hosted = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from longshore_host import entry; "

    assert _printed("-c", f"{hosted}entry.import_script({str(script)!r})") == _printed(script)


def _printed(*command):
    ended = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize(
    ("number", "name", "category"),
    [
        (errno.EIO, "/in/a", "System"),
        (errno.ESTALE, "/in/a", "System"),
        (errno.ETIMEDOUT, "/in/a", "System"),
        (errno.ENOTCONN, "/in/a", "System"),
        (errno.EHOSTDOWN, "/in/a", "System"),
        (errno.ENOENT, "/in/a", "DataError"),
        (errno.EMFILE, "/in/a", "DataError"),
        (errno.EIO, "/elsewhere", "UserError"),
        (errno.ENOSPC, None, "UserError"),
    ],
)
def test_a_file_of_the_mini_batch_that_cannot_be_opened_for_now_is_not_the_fault_of_the_data(number, name, category):
    assert entry.category_of(OSError(number, os.strerror(number), name), ["/in/a", "/in/b"]) == category
