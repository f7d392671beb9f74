"""Bad input: one clear sentence and exit code 2, or a failed status; never a traceback of ours, nothing started."""

import re

import pytest

STEP = "manifest.yaml document 1, ParallelRunStep/test-step: "


def refused(longshore, sentence, *arguments, **options):
    """Run the command, and see that it refuses with exactly one sentence, before it starts or writes anything."""
    before = sorted(longshore.folder.rglob("*"))
    ended = longshore.run(*arguments, **options)
    assert ended.code == 2
    assert ended.stdout == ""
    assert re.fullmatch(f"longshore: {sentence}\n", ended.stderr), ended.stderr
    left = [each for each in sorted(longshore.folder.rglob("*")) if each not in before]
    assert all(each.relative_to(longshore.folder).parts[0].startswith("call-") for each in left)


# Changes of the spec, and the whole sentence that follows STEP.
SPECS = {
    "unknown field": (
        {"miniBatchSise": 5},
        r"spec\.miniBatchSise is not a known field: did you mean miniBatchSize\?",
    ),
    "unknown nested field": (
        {"inputs": [{"name": "files", "file": {"paths": ["data/*"], "glob": True}}]},
        r"spec\.inputs\[0\]\.file\.glob is not a known field: the known fields are .*",
    ),
    "wrong type": ({"nodeCount": "many"}, r"spec\.nodeCount is 'many': must be a whole number, 1 or more"),
    "boolean for a number": ({"nodeCount": True}, r"spec\.nodeCount is true: must be a whole number, 1 or more"),
    "no inputs": ({"inputs": []}, r"spec\.inputs must hold at least 1 element"),
    "missing field": ({"entryScript": None}, r"spec\.entryScript is missing: it is required"),
    "missing output": (
        {"output": None},
        r"spec\.output is missing: outputAction append_row needs an output",
    ),
    "bad word": (
        {"outputAction": "append"},
        r"spec\.outputAction is 'append': must be append_row or summary_only",
    ),
    "bad size": (
        {"miniBatchSize": "ten"},
        r"spec\.miniBatchSize is 'ten': must be a number such as 10, or a size such as 1024, 1024KB, 10MB or 1GB",
    ),
    "size of nothing": ({"miniBatchSize": 0}, r"spec\.miniBatchSize is 0: must be a number such as 10, .*"),
    "files counted in bytes": ({"miniBatchSize": "10MB"}, r"spec\.miniBatchSize is '10MB': .*"),
    "error threshold below -1": (
        {"errorThreshold": -2},
        r"spec\.errorThreshold is -2: must be -1 \(ignore errors\) or more",
    ),
    "failed mini-batches below -1": (
        {"allowedFailedCount": -2},
        r"spec\.allowedFailedCount is -2: must be -1 \(no limit\) or more",
    ),
    "more than all": (
        {"allowedFailedPercent": 100.5},
        r"spec\.allowedFailedPercent is 100\.5: must be a number from 0 to 100",
    ),
    "no try at all": ({"runMaxTry": 0}, r"spec\.runMaxTry is 0: must be a whole number, 1 or more"),
    "no time at all": (
        {"runInvocationTimeoutSeconds": 0},
        r"spec\.runInvocationTimeoutSeconds is 0: must be a whole number of seconds from 1 to 259200 \(three days\)",
    ),
    "more than three days": ({"initTimeoutSeconds": 259201}, r"spec\.initTimeoutSeconds is 259201: must be at most .*"),
    "setting among the arguments": (
        {"arguments": ["--error_threshold", "-5"]},
        r"spec\.arguments\[1\] is '-5': must be -1 \(ignore errors\) or more",
    ),
    "bad name of an input": (
        {"inputs": [{"name": "1st", "file": {"paths": ["data/*"]}}]},
        r"spec\.inputs\[0\]\.name is '1st': must be at most 64 letters, digits, '_' and '-', .*",
    ),
    "name used twice": (
        {"output": {"name": "files"}},
        r"spec\.inputs must have unique names: 'files' is used twice",
    ),
    "file name with a folder": (
        {"appendRowFileName": "../rows.txt"},
        r"spec\.appendRowFileName is '\.\./rows\.txt': must be a file name without folders",
    ),
    "missing Dataset": (
        {"inputs": [{"name": "files", "dataset": "mnist"}]},
        r"spec\.inputs\[0\]\.dataset is 'mnist': there is no such Dataset; the documents have none",
    ),
    "missing ComputeCluster": (
        {"computeTarget": "cpu-cluster"},
        r"spec\.computeTarget is 'cpu-cluster': there is no such ComputeCluster; the documents have none",
    ),
    "missing Environment": (
        {"environment": {"name": "batch"}},
        r"spec\.environment\.name is 'batch': there is no such Environment; the documents have none",
    ),
    "missing Model": (
        {"models": [{"name": "mnist"}]},
        r"spec\.models\[0\]\.name is 'mnist': there is no such Model; Models and their versions: none",
    ),
    "files and rows": (
        {
            "inputs": [
                {"name": "files", "file": {"paths": ["data/*"]}},
                {"name": "rows", "tabular": {"paths": ["data/*"]}},
            ]
        },
        r"spec\.inputs must all be of one kind: 'files' is files, 'rows' tabular",
    ),
    "missing entry script": (
        {"entryScript": "nothing_here.py"},
        r"spec\.entryScript is 'nothing_here\.py': there is no such file in the source folder .* \(No such file .*\)",
    ),
    "entry script without run": (
        {"entryScript": "no_run.py"},
        r"spec\.entryScript is 'no_run\.py': it must define run\(mini_batch\)",
    ),
    "entry script outside": (
        {"entryScript": "../entries/echo.py"},
        r"spec\.entryScript is '\.\./entries/echo\.py': must be the path of a \.py file below the source folder",
    ),
    "parameter without a value": (
        {"nodeCount": "$(parameters.nodes)"},
        r"spec\.nodeCount refers to the parameter nodes, which has no value; pass it with -p nodes=VALUE",
    ),
}


@pytest.mark.parametrize(("changes", "sentence"), SPECS.values(), ids=SPECS.keys())
def test_a_spec_that_breaks_a_rule_is_refused_by_field_value_and_rule(longshore, changes, sentence):
    longshore.data("a.txt")
    longshore.manifest(longshore.step(**{"entryScript": "echo.py", **changes}))
    refused(longshore, re.escape(STEP) + sentence)


MANIFESTS = {
    "YAML syntax": (
        "kind: [ParallelRunStep\nspec: {}\n",
        r"manifest\.yaml line \d, column \d+: .+",
    ),
    "tabs": (
        "spec:\n\tnodeCount: 1\n",
        r"manifest\.yaml line 2, column 1: found character .* cannot start any token.*",
    ),
    "key given twice": (
        "kind: ParallelRunStep\nkind: Dataset\n",
        r"manifest\.yaml line 2, column 1: the key 'kind' is given twice",
    ),
    "unknown kind": (
        "{apiVersion: longshore.dev/v1alpha1, kind: ParalelRunStep}",
        r"manifest\.yaml document 1, ParalelRunStep: kind is 'ParalelRunStep': did you mean ParallelRunStep\? .*",
    ),
    "another group": (
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}}",
        r"manifest\.yaml document 1, Deployment/web: apiVersion is 'apps/v1': must be longshore\.dev/v1alpha1; .*",
    ),
    "no mapping": ("- 1\n", r"manifest\.yaml document 1: is a list: must be a mapping with apiVersion and kind"),
    "nothing": ("# nothing\n", r"manifest\.yaml: holds no document; add one, or pass another path"),
    "no YAML at all": (b"\x89PNG\r\n\x1a\n\x00", r"manifest\.yaml.*: .+"),
}


@pytest.mark.parametrize(("text", "sentence"), MANIFESTS.values(), ids=MANIFESTS.keys())
def test_a_manifest_that_is_no_set_of_resources_is_refused_by_file_and_place(longshore, text, sentence):
    longshore.write("manifest.yaml", text)
    refused(longshore, sentence)


@pytest.mark.parametrize("name", ["ab", "Test-step", "test_step", "test-", "a" * 52])
def test_the_name_of_a_step_leaves_room_for_those_of_its_pods(longshore, name):
    step = longshore.step()
    step["metadata"]["name"] = name
    longshore.manifest(step)
    rule = "must be 3 to 51 lower-case letters, digits and '-', beginning with a letter and not ending with '-'"
    refused(
        longshore, re.escape(f"manifest.yaml document 1, ParallelRunStep/{name}: metadata.name is '{name}': {rule}")
    )


def test_documents_must_hold_exactly_one_step(longshore):
    dataset = longshore.document("Dataset", "data", file={"paths": ["data/*"]})
    longshore.manifest(dataset)
    refused(longshore, "documents: none is a ParallelRunStep; found Dataset")

    second = longshore.step()
    second["metadata"] = {"name": "second-step"}
    longshore.manifest(longshore.step(), second)
    refused(longshore, r"documents: a run takes one ParallelRunStep; found test-step \(.*\) and second-step \(.*\)")


def test_two_documents_of_one_kind_and_name_are_refused(longshore):
    longshore.manifest(longshore.step(), longshore.step())
    refused(longshore, r"manifest\.yaml document 2, .*: metadata\.name is 'test-step', as is that of manifest\.yaml .*")


def test_every_problem_is_reported_at_once(longshore):
    longshore.manifest(longshore.step(errorThreshold=-2, nodeCount=0, surprise=1))

    ended = longshore.run()

    assert ended.code == 2
    assert [line.removeprefix(f"longshore: {STEP}").split()[0] for line in ended.stderr.splitlines()] == [
        "spec.nodeCount",
        "spec.errorThreshold",
        "spec.surprise",
    ]


def test_an_interpreter_that_is_not_there_is_refused(longshore):
    environment = longshore.document("Environment", "batch", python="/nowhere/python3")
    longshore.manifest(environment, longshore.step(environment={"name": "batch"}))
    refused(longshore, r".*spec\.python is '/nowhere/python3': no such interpreter on this machine; .*")


def test_paths_that_hold_no_manifest_are_refused(longshore):
    refused(longshore, r"missing\.yaml: cannot be read: No such file or directory", paths=["missing.yaml"])
    longshore.data("a.txt")
    refused(longshore, r"data: the folder holds no \.yaml or \.yml file", paths=["data"])


def test_parameters_that_nothing_refers_to_are_refused_by_name(longshore):
    longshore.data("a.txt")
    longshore.manifest(longshore.step(nodeCount="$(parameters.nodes)"))
    refused(longshore, r".*colour.*nodes.*", "-p", "nodes=1", "-p", "colour=red")


USAGE = {
    "sample of nothing": (["--sample", "0"], "'0' must be a number of mini-batches, 1 or more"),
    "sample of words": (["--sample", "few"], "'few' must be a number of mini-batches, 1 or more"),
    "parameter without a value": (["-p", "nodes"], "'nodes' must have the form NAME=VALUE"),
    "two run folders": (["--run-dir", "a", "--resume", "b"], "not allowed with argument"),
    "unknown option": (["--fast"], "unrecognized arguments: --fast"),
}


@pytest.mark.parametrize(("arguments", "sentence"), USAGE.values(), ids=USAGE.keys())
def test_a_command_line_that_cannot_be_read_is_refused(longshore, arguments, sentence):
    longshore.manifest(longshore.step())

    ended = longshore.run(*arguments)

    assert (ended.code, ended.stdout) == (2, "")
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not ended.run_dir.exists()


def test_a_run_folder_in_use_and_a_resumption_of_nothing_are_refused(longshore):
    longshore.data("a.txt")
    longshore.manifest(longshore.step())
    longshore.write("run/precious.txt", "mine")
    rule = r"must be new or empty; use --resume to continue the run in an existing folder"
    refused(longshore, rf"--run-dir: is '.*/run': {rule}")
    refused(longshore, rf"--run-dir: is 'manifest\.yaml': {rule}", "--run-dir", "manifest.yaml")
    for nothing in ("run", "data", "nowhere"):
        refused(longshore, rf"--resume: is '{nothing}': the folder contains no run; .*", "--resume", nothing)
    assert (longshore.folder / "run" / "precious.txt").read_text() == "mine"


def fails_at_once(longshore, reason, sentence):
    """Run the command, and see that the step fails for its input, with a status and without any process."""
    ended = longshore.run()
    assert ended.code == 1
    assert ended.reason == reason
    assert re.fullmatch(sentence, ended.succeeded["message"])
    assert "Traceback" not in ended.stderr
    assert ended.mini_batches.get("succeeded", 0) == 0
    assert ended.log("job_error.txt").strip() == ended.succeeded["message"]
    return ended


@pytest.mark.parametrize("given", ["data/nothing/*.png", "data"], ids=["glob", "folder"])
def test_a_dataset_without_files_fails_the_step(longshore, given):
    (longshore.folder / "data").mkdir()
    longshore.manifest(longshore.step(inputs=[{"name": "files", "file": {"paths": [given]}}]))
    fails_at_once(
        longshore, "EmptyInput", rf'Input "files" has no files: no file was found at ".*/{re.escape(given)}"\.'
    )


def test_a_dataset_that_does_not_exist_fails_the_step(longshore):
    longshore.manifest(longshore.step(inputs=[{"name": "files", "file": {"paths": ["nowhere/a.png"]}}]))
    fails_at_once(longshore, "InputError", r'Input "files" cannot be listed\. .*/nowhere/a\.png.*')


def test_a_file_that_is_no_parquet_fails_its_mini_batch(longshore):
    longshore.data("a.parquet")
    longshore.manifest(
        longshore.step(
            "table_echo.py",
            inputs=[{"name": "rows", "tabular": {"paths": ["data/*"], "format": "parquet"}}],
            miniBatchSize="1MB",
        )
    )
    ended = longshore.run()
    assert ended.first_error["category"] == "DataError"
    place = f'The file "{longshore.folder}/data/a.parquet" could not be read as parquet: ArrowInvalid: '
    assert ended.first_error["message"].startswith(place)


def test_a_file_that_cannot_be_read_is_an_error_of_the_data(longshore):
    longshore.data("a.txt", "b.txt")
    (longshore.folder / "data" / "c.txt").symlink_to(longshore.folder / "nowhere")
    script = "def run(mini_batch):\n    return [open(path).read() for path in mini_batch]\n"
    longshore.write("code/reads.py", script)
    longshore.manifest(longshore.step("reads.py", source={"uri": "code"}, runMaxTry=1, miniBatchSize=1))

    ended = longshore.run()

    assert (ended.code, ended.rows) == (3, ["a.txt", "b.txt"])
    assert ended.first_error["category"] == "DataError"
    assert ended.first_error["miniBatch"] == 2
    assert re.fullmatch(r"FileNotFoundError: .*c\.txt'", ended.first_error["message"])
    assert [(each["items"], each["category"]) for each in ended.failed] == [
        ([str(longshore.folder / "data" / "c.txt")], "DataError")
    ]


def test_rows_that_cannot_be_read_are_an_error_of_the_data(longshore):
    longshore.write("data/a.csv", "x,y\n1,2\n3,4\n")
    longshore.write("data/b.csv", 'x,y\n1,2\n3,"4\n5,6\n')
    longshore.manifest(
        longshore.step(
            "table_echo.py",
            inputs=[{"name": "rows", "tabular": {"paths": ["data/*"], "columnTypes": {"y": "int64"}}}],
            miniBatchSize="1KB",
            runMaxTry=1,
        )
    )

    ended = longshore.run()

    assert (ended.code, ended.rows) == (3, ["1 2", "3 4"])
    assert [(each["miniBatch"], each["category"]) for each in ended.failed] == [(1, "DataError")]
    assert "b.csv" in ended.first_error["message"]


REMOVES = """
import shutil


def init():
    shutil.rmtree({folder!r}, ignore_errors=True)


def run(mini_batch):
    return mini_batch
"""


def test_data_that_vanishes_between_listing_and_reading_is_an_error_of_the_data(longshore):
    longshore.write("data/a.csv", "x\n1\n")
    longshore.write("data/b.csv", "x\n2\n")
    longshore.write("code/removes.py", REMOVES.format(folder=str(longshore.folder / "data")))
    longshore.manifest(
        longshore.step(
            "removes.py",
            source={"uri": "code"},
            inputs=[{"name": "rows", "tabular": {"paths": ["data/*.csv"]}}],
            miniBatchSize="1KB",
            runMaxTry=1,
        )
    )

    ended = longshore.run()

    assert (ended.code, ended.reason) == (1, "NoResultToAppend")
    assert {each["category"] for each in ended.failed} == {"DataError"}
    assert ended.mini_batches["failed"] == 2


def test_a_path_that_cannot_be_followed_fails_the_step(longshore):
    (longshore.folder / "loop").symlink_to("loop")
    longshore.manifest(longshore.step(inputs=[{"name": "files", "file": {"paths": ["loop/a.txt"]}}]))
    fails_at_once(longshore, "InputError", r'Input "files" cannot be listed\. .*/loop/a\.txt.*')


def test_a_run_folder_that_cannot_be_made_fails_with_a_sentence(longshore):
    longshore.data("a.txt")
    longshore.manifest(longshore.step())

    ended = longshore.run("--run-dir", "data/a.txt/run")

    assert ended.code in (1, 2)
    assert re.fullmatch(r"longshore: .*data/a\.txt/run.*\n", ended.stderr)
    assert ended.stdout == ""


@pytest.mark.parametrize("text", ["", "x,y\n", "\n\n"], ids=["no bytes", "a header", "blank lines"])
def test_tables_without_rows_are_an_empty_input(longshore, text):
    longshore.write("data/a.csv", text)
    longshore.write("data/b.csv", "")
    longshore.manifest(
        longshore.step("table_echo.py", inputs=[{"name": "rows", "tabular": {"paths": ["data"]}}], miniBatchSize="1KB")
    )

    ended = longshore.run()

    assert (ended.code, ended.reason) == (1, "EmptyInput")
    assert ended.succeeded["message"] == 'Input "rows" has no rows: every table is empty or has only a header'
