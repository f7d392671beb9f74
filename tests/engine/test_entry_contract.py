"""The contract between Longshore and an entry script: what it is called with, and what it finds around it."""

import json
import os
import pstats
import sys
import venv

import pytest

# Returns what the script found at import, in init() and in run(), as one JSON document per item.
LOOKS_AROUND = """
import json
import os
import sys

import beside
from folder import deeper

AT_IMPORT = {"argv": sys.argv[1:], "script": os.path.basename(sys.argv[0]), "file": __file__, "name": __name__}
INITS = []


def init():
    INITS.append({"cwd": os.getcwd(), "listing": sorted(os.listdir(".")), "models": model_files()})
    with open("mine", "x"):
        pass


def model_files():
    walk = os.walk("azureml-models", followlinks=True)
    return sorted(os.path.join(folder, name) for folder, _, names in walk for name in names)


def run(mini_batch):
    found = {
        **AT_IMPORT,
        "inits": INITS,
        "cwd": os.getcwd(),
        "executable": sys.executable,
        "prefix": sys.prefix,
        "path": sys.path,
        "siblings": [beside.VALUE, deeper.VALUE],
        "environment": dict(os.environ),
        "descriptors": sorted(os.listdir("/dev/fd")),
        "stdin": sys.stdin.read(),
        "types": [type(mini_batch).__name__, type(mini_batch[0]).__name__],
    }
    return [json.dumps({**found, "item": each, "pid": os.getpid()}) for each in mini_batch]
"""


@pytest.fixture
def code(longshore):
    """Lay out a source folder with LOOKS_AROUND and what it imports."""
    longshore.write("code/looks_around.py", LOOKS_AROUND)
    longshore.write("code/beside.py", "VALUE = 'beside'\n")
    longshore.write("code/folder/deeper.py", "VALUE = 'deeper'\n")
    return {"uri": "code"}


def test_what_a_script_finds_around_it(longshore, code):
    longshore.data("a.txt", "b.txt")
    longshore.write("models/digits/weights.bin", "w")
    longshore.write("models/labels.txt", "l")
    longshore.variables = {"LONGSHORE_SECRET": "mine", "INHERITED": "yes"}
    longshore.manifest(
        longshore.document("Environment", "batch", variables={"FROM": "environment", "LEVEL": "environment"}),
        longshore.document("Model", "digits-1", name="digits", path="models/digits"),
        longshore.document("Model", "labels", version=3, path="models/labels.txt"),
        longshore.step(
            "looks_around.py",
            source=code,
            arguments=["--threshold", 0.5, "--verbose", True, "two words", "$(outputs.out)"],
            environment={"name": "batch"},
            environmentVariables={"LEVEL": "step"},
            models=[{"name": "digits"}, {"name": "labels"}],
            loggingLevel="DEBUG",
        ),
    )

    ended = longshore.run()

    assert ended.code == 0, ended.stderr
    first, second = map(json.loads, ended.rows)
    script = str(longshore.folder / "code" / "looks_around.py")
    out = str(ended.run_dir / "out")

    # The items are absolute paths.
    assert [first["item"], second["item"]] == [str(longshore.folder / "data" / name) for name in ("a.txt", "b.txt")]
    assert first["types"] == ["list", "str"]

    # sys.argv is complete before the import; siblings and packages below are importable; __file__ is the script.
    assert first["argv"] == ["--threshold", "0.5", "--verbose", "true", "two words", out]
    assert (first["file"], first["script"], first["name"]) == (script, "looks_around.py", "looks_around")
    assert first["siblings"] == ["beside", "deeper"]

    # The working directory is private, and holds nothing but the models.
    assert first["cwd"] not in (str(longshore.folder), str(longshore.folder / "code"))
    (init,) = first["inits"]
    assert init["cwd"] == first["cwd"]
    assert init["listing"] == ["azureml-models"]
    assert init["models"] == ["azureml-models/digits/1/weights.bin", "azureml-models/labels/3/labels.txt"]
    assert not os.path.exists(first["cwd"])

    # The environment: Azure ML's variables, the user's (the step's win), and none of ours.
    environment = first["environment"]
    assert environment["AZUREML_BI_OUTPUT_PATH"] == out
    assert environment["AZUREML_MODEL_DIR"] == str(longshore.folder / "models" / "digits")
    assert environment["AZUREML_RUN_ID"] == ended.status["runId"]
    assert environment["AZUREML_LOG_LEVEL"] == "DEBUG"
    assert environment["AZUREML_DATAREFERENCE_files"] == str(longshore.folder / "data" / "*")
    assert (environment["FROM"], environment["LEVEL"]) == ("environment", "step")
    assert environment["INHERITED"] == "yes"

    # No way to the coordinator: neither its address nor its token, nor a descriptor but the streams and the socket.
    ours = {name: value for name, value in environment.items() if name.startswith("LONGSHORE_")}
    assert ours.keys() == {"LONGSHORE_PROCESS", "LONGSHORE_CONTEXT"}
    assert ours["LONGSHORE_PROCESS"] == "process000"
    added = environment.keys() - os.environ.keys()  # servers of other tests may be in what is inherited
    assert not [name for name in added if "http://127.0.0.1" in environment[name]]
    assert len(first["descriptors"]) <= 5  # the three streams, the agent's socket, and the listing itself
    assert first["stdin"] == ""


# Each process leaves a line in its own file for each call.
COUNTS_CALLS = """
import os

LOG = os.path.join(os.environ["CALLS"], str(os.getpid()))


def note(call):
    with open(LOG, "a") as file:
        file.write(call + "\\n")


note("import")


def init():
    note("init")


def run(mini_batch):
    note("run")
    return mini_batch


def shutdown():
    note("shutdown")
"""


def test_import_and_init_come_once_per_process_then_run_then_shutdown(longshore):
    longshore.data(*(f"{number:03}.txt" for number in range(40)))
    (longshore.folder / "calls").mkdir()
    longshore.write("code/counts.py", COUNTS_CALLS)
    longshore.manifest(
        longshore.step(
            "counts.py",
            source={"uri": "code"},
            nodeCount=2,
            processCountPerNode=2,
            environmentVariables={"CALLS": str(longshore.folder / "calls")},
        )
    )

    ended = longshore.run()

    assert (ended.code, len(ended.rows)) == (0, 40)
    calls = [each.read_text().split() for each in (longshore.folder / "calls").iterdir()]
    assert 1 <= len(calls) <= 4
    assert sum(each.count("run") for each in calls) == 20
    for each in calls:
        ran = [call for call in each if call == "run"]
        # A process that had not come to run() when all was done may be ended without shutdown().
        assert each == ["import", "init", *ran, "shutdown"] or each in (["import", "init"], ["import"])


def test_init_and_shutdown_are_optional_and_the_context_is_only_for_those_who_take_it(longshore):
    longshore.data("a.txt", "b.txt", "c.txt")
    script = """
def run(mini_batch, context):
    found = (context.minibatch_index, context.partition_key_value, context.input_name, context.items_total)
    return [f"{found} {context.attempt}"] * len(mini_batch)
"""
    longshore.write("code/two.py", script)
    longshore.manifest(longshore.step("two.py", source={"uri": "code"}))

    ended = longshore.run()

    assert ended.rows == ["('0', {}, 'files', 2) 1", "('0', {}, 'files', 2) 1", "('1', {}, 'files', 1) 1"]


def test_the_contexts_index_is_the_same_at_every_try_and_its_attempt_is_not(longshore):
    longshore.data("a.txt", "b.txt", "c.txt")
    script = """
def run(mini_batch, context):
    if context.attempt == 1 and context.minibatch_index == "1":
        raise ValueError("not yet")
    return [f"{context.minibatch_index} {context.attempt}"] * len(mini_batch)
"""
    longshore.write("code/again.py", script)
    longshore.manifest(longshore.step("again.py", source={"uri": "code"}))
    assert longshore.run().rows == ["0 1", "0 1", "1 2"]


SIGNATURES = {
    "star": "def run(*args): return ['/'.join(type(each).__name__ for each in args)]",
    "default": "def run(mini_batch, context=None): return [type(context).__name__]",
    "keywords": "def run(mini_batch, *, seed=7): return [str(seed)]",
    "callable object": "class Run:\n    def __call__(self, mini_batch): return ['called']\nrun = Run()",
    "partial": "import functools\ndef score(model, mini_batch): return [model]\nrun = functools.partial(score, 'm')",
}
ANSWERS = {"star": "list", "default": "MiniBatchContext", "keywords": "7", "callable object": "called", "partial": "m"}


@pytest.mark.parametrize("kind", SIGNATURES)
def test_run_may_be_any_callable_that_takes_a_mini_batch(longshore, kind):
    longshore.data("a.txt")
    longshore.write("code/entry.py", SIGNATURES[kind] + "\n")
    longshore.manifest(longshore.step("entry.py", source={"uri": "code"}))
    ended = longshore.run()
    assert ended.code == 0, ended.first_error
    assert ended.rows == [ANSWERS[kind]]


RESULTS = {
    "returns_tuple.py": ["a.txt", "b.txt"],
    "returns_ndarray.py": ["5", "5"],
    "returns_dataframe.py": ["a.txt 5", "b.txt 5"],
    "returns_too_many.py": ["a.txt", "a.txt", "b.txt", "b.txt"],
    "two_argument.py": ["0 a.txt", "0 b.txt"],
    "sibling_import.py": ["entries a.txt", "entries b.txt"],
}


@pytest.mark.parametrize("script", RESULTS)
def test_any_sized_sequence_or_table_is_a_result(longshore, script):
    longshore.data("a.txt", "b.txt")
    longshore.manifest(longshore.step(script, errorThreshold=0))
    ended = longshore.run()
    assert (ended.code, ended.rows) == (0, RESULTS[script])


def test_a_series_is_a_result(longshore):
    longshore.data("a.txt", "b.txt")
    longshore.write(
        "code/series.py", "import pandas as pd\n\n\ndef run(mini_batch):\n    return pd.Series([0.5, 2.0])\n"
    )
    longshore.manifest(longshore.step("series.py", source={"uri": "code"}))
    assert longshore.run().rows == ["0.5", "2.0"]


def test_a_script_in_a_folder_below_the_source_finds_both(longshore):
    longshore.data("a.txt")
    longshore.write("code/shared.py", "VALUE = 'shared'\n")
    longshore.write("code/jobs/near.py", "VALUE = 'near'\n")
    longshore.write(
        "code/jobs/entry.py",
        "import near\nimport shared\n\n\ndef run(mini_batch):\n    return [near.VALUE + shared.VALUE]\n",
    )
    longshore.manifest(longshore.step("jobs/entry.py", source={"uri": "file:code"}))
    assert longshore.run().rows == ["nearshared"]


def test_what_a_script_defines_can_be_pickled_and_its_name_may_be_that_of_a_module_of_ours(longshore):
    longshore.data("a.txt")
    script = """
import pickle


class Score:
    value = 7


def run(mini_batch):
    return [pickle.loads(pickle.dumps(Score())).value]
"""
    longshore.write("code/json.py", script)
    longshore.manifest(longshore.step("json.py", source={"uri": "code"}))
    assert longshore.run().rows == ["7"]


TALKS = """
import logging
import os
import subprocess
import sys

print("at import")


def init():
    logging.getLogger("mine").info("in init")


def run(mini_batch):
    print("in run", *mini_batch)
    print("trouble", file=sys.stderr)
    logging.debug("too quiet to be heard")
    logging.warning("take care")
    subprocess.run(["echo", "from a child"], check=True)
    os.write(2, b"straight to the descriptor\\n")
    return mini_batch
"""


def test_what_a_script_prints_and_logs_is_kept_per_process_and_out_of_our_own_streams(longshore):
    longshore.data("a.txt")
    longshore.write("code/talks.py", TALKS)
    longshore.manifest(longshore.step("talks.py", source={"uri": "code"}))

    ended = longshore.run()

    assert ended.code == 0
    out = ended.log("user/stdout/worker-0/process000.stdout.txt")
    assert "at import\n" in out
    assert f"in run {longshore.folder}/data/a.txt\n" in out
    assert "from a child\n" in out
    assert "|INFO|mine|in init\n" in out
    assert "|WARNING|root|take care\n" in out
    assert "too quiet" not in out
    assert ended.log("user/stderr/worker-0/process000.stderr.txt") == "trouble\nstraight to the descriptor\n"
    for ours in (ended.stdout, ended.stderr):
        assert "take care" not in ours
        assert "in run" not in ours


def test_two_processes_do_not_see_each_others_working_directory(longshore):
    longshore.data(*(f"{number}.txt" for number in range(8)))
    longshore.manifest(longshore.step("working_directory.py", nodeCount=2, processCountPerNode=2, errorThreshold=0))
    ended = longshore.run()
    assert ended.code == 0, ended.first_error
    assert {row.split()[1] for row in ended.rows} == {"True"}


def test_the_environments_interpreter_runs_the_script_and_needs_nothing_of_ours(longshore, code):
    longshore.data("a.txt")
    venv.create(longshore.folder / "environment", with_pip=False, symlinks=True)
    python = str(longshore.folder / "environment" / "bin" / "python")
    longshore.manifest(
        longshore.document("Environment", "bare", python="environment/bin/python"),
        longshore.step("looks_around.py", source=code, environment={"name": "bare"}),
    )

    ended = longshore.run()

    assert ended.code == 0, (ended.first_error, ended.logs("sys/node/worker-0/*"))
    found = json.loads(ended.rows[0])
    assert found["executable"] == python
    assert found["prefix"] == str(longshore.folder / "environment")
    assert not [each for each in found["path"] if each.startswith(sys.prefix)]


def test_a_pythonpath_of_the_step_is_the_scripts_and_costs_it_nothing(longshore):
    longshore.data("a.txt")
    longshore.write("elsewhere/my_own_helper.py", "WORD = 'helped'")
    longshore.write("code/uses.py", "import my_own_helper\n\ndef run(files):\n    return [my_own_helper.WORD]\n")
    venv.create(longshore.folder / "environment", with_pip=False, symlinks=True)
    longshore.manifest(
        longshore.document("Environment", "bare", python="environment/bin/python"),
        longshore.step(
            "uses.py",
            source={"uri": "file:code"},
            environment={"name": "bare"},
            environmentVariables={"PYTHONPATH": str(longshore.folder / "elsewhere")},
        ),
    )

    ended = longshore.run()

    assert ended.code == 0, (ended.first_error, ended.logs("user/stderr/worker-0/*"))
    assert ended.rows == ["helped"]


@pytest.mark.parametrize("module", ["cProfile", "profile"])
def test_each_process_leaves_a_profile_when_asked_for(longshore, module):
    longshore.data("a.txt", "b.txt", "c.txt")
    longshore.manifest(longshore.step(profilingModule=module))

    ended = longshore.run()

    assert ended.code == 0, ended.first_error
    profile = pstats.Stats(str(ended.run_dir / "logs/sys/node/worker-0/process000.profile"))
    calls = {name: entry[0] for (path, _, name), entry in profile.stats.items() if path.endswith("entries/echo.py")}
    assert calls["run"] == 2
