"""What the agent does before and after a script, without a script: the folder that it hands over and takes back."""

import json
import os
import shutil
import stat
import time
from pathlib import Path
from uuid import uuid4

import pytest

from longshore_agent.script_data import ScriptDataError, collect, prepare
from longshore_protocol.job import Model, ScriptInput
from longshore_protocol.script_folder import ScriptSpec
from longshore_protocol.script_job import ScriptJob, ScriptOutput, ScriptResult
from longshore_storage.store import open_store

TIMES = '"started": 1, "finished": 1'


class Bench:
    def __init__(self, folder):
        self.here = folder
        self.source = self.write("code/train.py", "pass").parent
        self.folder = folder / "folder"
        self.run = folder / "run"

    def write(self, name, text):
        path = self.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def job(self, **fields):
        given = {"run_uri": str(self.run), "source_uri": str(self.source), "script": "train.py", **fields}
        return ScriptJob(name="train", run_id="run-1", **given)

    def prepare(self, **fields):
        """Prepare a step, and return what its host is told."""
        prepare(self.job(**fields), str(self.folder))
        return ScriptSpec.from_json((self.folder / "spec.json").read_text())

    def collect(self, state="succeeded", **fields):
        """Take away what a script left that ended in this state."""
        now = time.time()
        result = ScriptResult(state, 0, "It ended.", {"a": 1}, now, now)
        (self.folder / "result.json").write_text(result.to_json())
        return collect(self.job(**fields), str(self.folder), git=None, otherwise="")

    def refused(self, **fields):
        """Return the sentence with which the step's data is refused."""
        with pytest.raises(ScriptDataError) as caught:
            prepare(self.job(**fields), str(self.folder))
        text = str(caught.value)
        assert text.endswith(".")
        assert "\n" not in text
        return text


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
def remote():
    return f"memory://{uuid4()}"


def test_the_script_works_on_a_copy_that_it_may_write_to_and_execute(bench):
    tool = bench.write("code/tool.sh", "")
    tool.chmod(0o555)
    bench.write("code/.gitignore", "data/\n")
    bench.write("code/data/x", "")
    bench.prepare()
    assert sorted(each.name for each in (bench.folder / "source").iterdir()) == [".gitignore", "tool.sh", "train.py"]
    mode = (bench.folder / "source" / "tool.sh").stat().st_mode
    assert mode & stat.S_IXUSR
    assert mode & stat.S_IWUSR


def test_a_source_that_holds_the_run_is_copied_without_it(bench):
    bench.folder = bench.source / "work" / "step"
    bench.write("code/run/.longshore", "")
    bench.prepare()
    assert sorted(each.name for each in (bench.folder / "source").iterdir()) == ["train.py"]


def test_a_source_elsewhere_is_fetched(bench, remote):
    open_store(remote).put("train.py", b"pass")
    bench.prepare(source_uri=remote)
    assert (bench.folder / "source" / "train.py").read_text() == "pass"


def test_references_in_arguments_become_paths_which_are_in_the_environment_too(bench):
    data = bench.write("data/x.csv", "")
    spec = bench.prepare(
        arguments=("--data", "$(inputs.x)", "--out=$(outputs.model)/$(outputs.model)", "$(else)", "$(inputs.x"),
        inputs=(ScriptInput("x", (str(data),)),),
        outputs=(ScriptOutput("model", str(bench.run / "model")),),
        params={"rate": "0.5"},
        variables={"MINE": "1", "AZUREML_LOG_LEVEL": "DEBUG"},
    )
    model = str(bench.run / "model")
    assert spec.arguments == ("--data", str(data), f"--out={model}/{model}", "$(else)", "$(inputs.x")
    assert spec.variables == {
        "AZUREML_RUN_ID": "run-1",
        "AZUREML_LOG_LEVEL": "DEBUG",
        "AZUREML_DATAREFERENCE_x": str(data),
        "AZUREML_DATAREFERENCE_model": model,
        "AML_PARAMETER_rate": "0.5",
        "MINE": "1",
    }


def test_a_reference_to_what_the_step_has_not_is_refused(bench):
    text = bench.refused(arguments=("--data=$(inputs.y)",), inputs=(ScriptInput("x", (str(bench.source),)),))
    assert text == "The argument '--data=$(inputs.y)' names $(inputs.y), which the step does not define."


def test_models_are_downloaded_and_the_first_is_in_the_environment(bench, remote):
    open_store(remote).put("net/weights.bin", b"1")
    here = bench.write("models/a.pkl", "")
    spec = bench.prepare(models=(Model("net", 2, f"{remote}/net"), Model("a", 1, str(here))))
    (name, version, path), local = spec.models
    assert (name, version, os.listdir(path)) == ("net", 2, ["weights.bin"])
    assert local == ("a", 1, str(here))
    assert spec.variables["AZUREML_MODEL_DIR"] == path


def test_logs_are_written_in_place_where_the_run_is_a_folder_of_this_machine(bench, remote):
    assert bench.prepare().log_dir == str(bench.run / "logs")
    assert bench.prepare(run_uri=remote).log_dir == str(bench.folder / "logs")


def test_a_mounted_output_is_the_folder_itself_and_exists(bench):
    bench.prepare(outputs=(ScriptOutput("model", str(bench.here / "deep" / "model")),))
    assert (bench.here / "deep" / "model").is_dir()


def test_what_is_in_an_output_stays_unless_it_is_of_the_run(bench):
    theirs = bench.write("theirs/model/earlier.txt", "")
    ours = bench.write("run/model/earlier.txt", "")
    near = bench.write("run-2/model/earlier.txt", "")
    elsewhere = bench.write("store/longshore/run-1/model/earlier.txt", "")
    places = (theirs, ours, near, elsewhere)
    outputs = tuple(
        ScriptOutput(f"o{n}", str(each.parent), overwrite=each is not elsewhere) for n, each in enumerate(places)
    )
    bench.prepare(outputs=outputs)
    assert [each.exists() for each in places] == [True, False, True, False]
    assert ours.parent.is_dir()


@pytest.mark.parametrize("mode", ["mount", "upload"])
@pytest.mark.parametrize("place", ["local", "memory"])
def test_without_overwrite_an_output_that_has_something_is_refused(bench, remote, mode, place):
    uri = str(bench.here / "theirs") if place == "local" else remote
    output = ScriptOutput("model", uri, mode, overwrite=False)
    bench.prepare(outputs=(output,))
    open_store(uri).put("deep/earlier.txt", b"")
    told = (
        f'The output "model" cannot be written to "{uri}": the folder is not empty; empty it or set overwrite to true.'
    )
    assert bench.refused(outputs=(output,)) == told


@pytest.mark.parametrize(
    ("state", "names"), [("succeeded", ["a.txt", "deep/b.txt"]), ("failed", []), ("timed_out", [])]
)
@pytest.mark.parametrize("place", ["local", "memory"])
def test_outputs_are_uploaded_after_success_only(bench, remote, state, names, place):
    uri = str(bench.here / "store") if place == "local" else remote
    fields = {"outputs": (ScriptOutput("model", uri, "upload"),), "arguments": ("$(outputs.model)",)}
    (path,) = bench.prepare(**fields).arguments
    Path(path, "deep").mkdir()
    Path(path, "a.txt").write_text("a")
    Path(path, "deep", "b.txt").write_text("b")
    assert open_store(uri).names() == []
    assert bench.collect(state, **fields).state == state
    assert open_store(uri).names() == names


@pytest.mark.parametrize("state", ["succeeded", "failed"])
@pytest.mark.parametrize("place", ["local", "memory"])
def test_artifacts_and_logs_are_in_the_run_however_it_ended(bench, remote, state, place):
    uri = str(bench.run) if place == "local" else remote
    log_dir = Path(bench.prepare(run_uri=uri).log_dir)
    log_dir.mkdir(parents=True)
    (log_dir / "stdout.txt").write_text("said")
    for name in ("source/outputs/deep/model.pkl", "source/logs/mine.txt", "metrics.jsonl"):
        bench.write(f"folder/{name}", name)
    assert bench.collect(state, run_uri=uri).metrics == {"a": 1}
    names = [".longshore", "logs/metrics.jsonl", "logs/stdout.txt", "logs/user/mine.txt", "outputs/deep/model.pkl"]
    assert open_store(uri).names() == names


def test_a_link_that_the_script_left_is_not_followed(bench, remote):
    bench.prepare(run_uri=remote)
    secret = bench.write("secret", "secret")
    (bench.folder / "source" / "outputs").mkdir()
    os.symlink(secret, bench.folder / "source" / "outputs" / "model")
    os.symlink(secret, bench.folder / "metrics.jsonl")
    assert bench.collect(run_uri=remote).state == "succeeded"
    assert open_store(remote).names() == [".longshore"]


def test_a_host_that_left_no_result_failed(bench):
    bench.prepare()
    result = collect(bench.job(), str(bench.folder), git={"commit": "1"}, otherwise="The host was killed.")
    assert (result.state, result.exit_code, result.message) == ("failed", None, "The host was killed.")
    assert result.git == {"commit": "1"}


def test_an_upload_that_fails_fails_the_step(bench):
    fields = {"outputs": (ScriptOutput("model", str(bench.here / "store"), "upload"),)}
    bench.prepare(**fields)
    bench.write("folder/outputs/model/a.txt", "")
    bench.write("store", "a file where the folder is to be")
    result = bench.collect(**fields)
    assert result.state == "failed"
    assert result.message.startswith(f'The output "model" cannot be written to "{bench.here}/store": [Errno 20]')


def test_artifacts_that_cannot_be_kept_are_reported_behind_why_the_script_failed(bench):
    bench.prepare()
    bench.write("folder/source/outputs/a.txt", "")
    shutil.rmtree(bench.run)
    bench.write("run", "a file where the folder is to be")
    result = bench.collect("timed_out")
    assert result.state == "timed_out"
    assert result.message.startswith(f'It ended. The logs and artifacts cannot be written to "{bench.run}": [Errno ')
    assert bench.collect().state == "failed"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"source_uri": "/absent/code"}, 'The source "/absent/code" cannot be fetched: AbsentError'),
        ({"inputs": (ScriptInput("x", ("/absent",)),)}, 'The input "x" cannot be staged: The path "/absent" does not'),
        (
            {"outputs": (ScriptOutput("y", "/dev/null/y"),)},
            'The output "y" cannot be written to "/dev/null/y": [Err',
        ),
        ({"outputs": (ScriptOutput("y", "odd://y"),)}, 'The output "y" cannot be written to "odd://y": '),
        ({"models": (Model("m", 1, "memory://absent/m"),)}, 'Model "m" (memory://absent/m) cannot be downloaded: '),
    ],
)
def test_what_cannot_be_used_is_reported_in_one_sentence(bench, fields, sentence):
    assert bench.refused(**fields).startswith(sentence)


def test_preparing_again_starts_from_nothing(bench):
    bench.prepare()
    for name in ("result.json", "metrics.jsonl", "source/outputs/a.txt"):
        bench.write(f"folder/{name}", "{}")
    bench.prepare()
    assert sorted(os.listdir(bench.folder)) == ["code.txt", "source", "spec.json"]
    assert os.listdir(bench.folder / "source") == ["train.py"]


def test_a_later_agents_spec_is_read_by_an_earlier_host():
    spec = ScriptSpec("a.py", "/logs", ("x",), {"A": "1"}, (("m", 1, "/m"),), 5.0)
    assert ScriptSpec.from_json(spec.to_json()) == spec
    assert ScriptSpec.from_json(json.dumps({**json.loads(spec.to_json()), "colour": "red"})) == spec


def test_what_may_be_written_to_by_us_may_be_by_the_group_of_the_host(bench):
    bench.write("code/tool.sh", "").chmod(0o700)
    bench.write("code/read.txt", "").chmod(0o444)
    bench.prepare()
    modes = {name: stat.S_IMODE((bench.folder / "source" / name).stat().st_mode) for name in ("tool.sh", "read.txt")}
    assert modes == {"tool.sh": 0o770, "read.txt": 0o664}


def test_a_source_in_the_image_is_left_to_the_host(bench):
    prepare(bench.job(source_uri="/app"), str(bench.folder), image_source="/app")
    assert ScriptSpec.from_json((bench.folder / "spec.json").read_text()).image_source == "/app"
    assert not (bench.folder / "source").exists()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"source_uri": "/absent/code"}, "InputError"),
        ({"inputs": (ScriptInput("x", ("/absent",)),)}, "InputError"),
        ({"models": (Model("m", 1, "memory://absent/m"),)}, "InputError"),
        ({"outputs": (ScriptOutput("y", "/dev/null/y"),)}, "StorageError"),
    ],
)
def test_whose_fault_it_is_that_a_script_cannot_be_run_is_reported(bench, fields, reason):
    with pytest.raises(ScriptDataError) as caught:
        prepare(bench.job(**fields), str(bench.folder))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"state": "odd", "exit_code": 0, "message": "", "metrics": {}, "started": 1, "finished": 1}',
        '{"state": "failed", "exit_code": "no", "message": "", "metrics": {}, "started": 1, "finished": 1}',
        '{"state": "failed", "exit_code": 1e99, "message": "", "metrics": {}, "started": 1, "finished": 1}',
        '{"state": "failed", "exit_code": 1, "message": 5, "metrics": {}, "started": 1, "finished": 1}',
        '{"state": "failed", "exit_code": 1, "message": "", "metrics": {"a": NaN}, "started": 1, "finished": 1}',
        '{"state": "failed", "exit_code": 1, "message": "", "metrics": {"a": 1e999}, "started": 1, "finished": 1}',
        f'{{"state": "failed", "exit_code": 1, "message": "", "metrics": {{"a": 1{400 * "0"}}}, {TIMES}}}',
        '{"state": "failed", "exit_code": 1, "message": "", "metrics": {}, "started": 1e300, "finished": 1}',
        '{"state": "failed", "exit_code": 1, "message": "", "metrics": {}, "started": 1, "finished": -1}',
        '{"state": "failed", "exit_code": 1, "message": "", "metrics": {}, "started": true, "finished": 1}',
        '{"state": "failed", "exit_code": 1, "message": "", "metrics": {}, "started": 1, "finished": "1"}',
        f'{{"state": "failed", "metrics": {"[" * 5000}{"]" * 5000}}}',
    ],
)
def test_a_result_that_the_script_wrote_over_fails_the_step(bench, text):
    bench.prepare()
    bench.write("folder/result.json", text)
    result = collect(bench.job(), str(bench.folder), git=None, otherwise="")
    assert (result.state, result.message) == ("failed", "The script overwrote the result file of its host.")


@pytest.mark.parametrize("mode", ["mount", "download"])
def test_links_that_a_script_made_do_not_lead_to_what_only_we_may_read(bench, mode):
    (bench.here / "data").mkdir()
    (bench.here / "data" / "x").symlink_to("/proc/self/environ")
    if mode == "mount":  # the link itself: it leads the script to its own
        assert bench.prepare(inputs=(ScriptInput("data", (str(bench.here / "data"),), mode),))
    else:
        said = bench.refused(inputs=(ScriptInput("data", (str(bench.here / "data"),), mode),))
        assert "is a link to a file in /proc" in said
    (bench.source / "x.py").symlink_to("/proc/self/environ")
    assert "is a link to a file in /proc" in bench.refused()


def test_metrics_that_became_a_link_after_they_were_looked_at_are_not_what_only_we_may_read(bench, monkeypatch):
    bench.prepare()
    (bench.folder / "metrics.jsonl").symlink_to("/proc/self/environ")
    monkeypatch.setattr(os.path, "islink", lambda _: False)
    assert "is a link to a file in /proc" in bench.collect().message
    assert not (bench.run / "logs/metrics.jsonl").exists()
