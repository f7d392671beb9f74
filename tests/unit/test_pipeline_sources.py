"""Code frozen for a run, what inputs hold, and earlier runs found beside a run's folder."""

import os
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pipelines import document, frozen, script

from longshore_agent import source_copies
from longshore_api.errors import InvalidDocuments
from longshore_cli.folders import is_pipeline
from longshore_cli.pipeline_folder import PipelineFolder
from longshore_cli.pipeline_sources import copy_code, digest_contents
from longshore_planner.pipelines.decide import decide
from longshore_planner.pipelines.fingerprint import digest, why_not
from longshore_planner.pipelines.frozen import DIGESTS, STAMPS, Options
from longshore_planner.pipelines.history import History
from longshore_planner.pipelines.status import pipeline_status
from longshore_storage import contents, systems
from longshore_storage.store import LocalStore, open_store


@pytest.fixture
def code(tmp_path):
    """A source folder, and a function that freezes it for the steps of a pipeline."""
    source = tmp_path / "code"
    (source / "lib").mkdir(parents=True)
    (source / "train.py").write_text("print('train')")
    (source / "lib" / "util.py").write_text("x = 1")

    def freeze(*names):
        steps = [replace(frozen(script(name)).steps[0], source=str(source)) for name in names]
        return copy_code(steps, str(tmp_path / "run" / "sources"), among=steps)

    freeze.source = source
    return freeze


def test_code_is_copied_and_reported_file_by_file(code):
    step = code("train")["train"]
    assert sorted(step.parts["code"]) == ["lib/util.py", "train.py"]
    copy = step.job["source_uri"]
    (code.source / "train.py").write_text("print('something else')")
    with open(os.path.join(copy, "train.py")) as file:
        assert file.read() == "print('train')"


def test_steps_of_one_source_share_a_copy(code):
    steps = code("train", "test")
    assert steps["train"].job["source_uri"] == steps["test"].job["source_uri"]


def test_only_the_file_that_changed_has_another_digest(code):
    before = code("train")["train"].parts["code"]
    os.utime(code.source / "lib" / "util.py", (1, 1))  # a time is no content
    (code.source / "train.py").write_text("print('something else')")
    after = code("train")["train"].parts["code"]
    assert {name for name in before if before[name] != after[name]} == {"train.py"}


def test_what_is_ignored_is_no_code(code):
    (code.source / ".amlignore").write_text("lib/\n.amlignore\n")
    assert list(code("train")["train"].parts["code"]) == ["train.py"]


def test_a_source_that_is_not_there_is_refused(code):
    (code.source / "train.py").unlink()
    step = replace(frozen(script("only")).steps[0], source="/no/such/folder")
    with pytest.raises(InvalidDocuments, match=r"source /no/such/folder: cannot be read: No such file or directory"):
        copy_code([step], str(code.source / "copies"), among=[step])


def test_a_source_that_holds_data_is_refused(code, monkeypatch):
    monkeypatch.setattr(source_copies, "LARGEST", 10)
    with pytest.raises(InvalidDocuments, match=r"exclude data with a \.amlignore file"):
        code("train")


@pytest.fixture(params=["local", "memory"])
def data(request, tmp_path):
    """A store of input files, and what a step that reads it is compared by."""
    store = open_store(str(tmp_path / "data") if request.param == "local" else f"memory://{uuid4()}/data")
    store.put("a.csv", b"1,2")
    store.put("deep/b.csv", b"3,4")
    if request.param == "local":  # long ago: a file that is written twice in one tick of the clock has one time
        for name in store.names():
            os.utime(os.path.join(store.uri, name), (1e9, 1e9))
    kinds = {
        "script": {"script": {"scriptName": "s.py", "inputs": [{"name": "rows", "file": {"paths": [store.uri]}}]}},
        "parallelRun": {
            "parallelRun": {
                "entryScript": "s.py",
                "inputs": [{"name": "rows", "file": {"paths": [store.uri]}}],
                "outputAction": "append_row",
                "output": {"name": "out"},
            }
        },
        "side input": {
            "parallelRun": {
                "entryScript": "s.py",
                "inputs": [{"name": "other", "file": {"paths": ["/nowhere"]}}],
                "sideInputs": [{"name": "rows", "file": {"paths": [store.uri]}}],
                "outputAction": "append_row",
                "output": {"name": "out"},
            }
        },
        "model": {"script": {"scriptName": "s.py", "models": [{"name": "rows"}]}},
        "transfer": {"transfer": {"source": {"path": store.uri}, "destination": {"path": f"{store.uri}-copy"}}},
    }

    def step(kind="script", **more):
        model = document("Model", "rows", version=1, path=store.uri)
        return frozen({"name": "only", **kinds[kind], **more}, documents=(model,)).steps[0]

    store.step = step
    return store


def parts(step, *, by=STAMPS):
    return digest_contents([step], by=by)["only"].parts


@pytest.mark.parametrize("kind", ["script", "parallelRun", "side input", "model", "transfer"])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda store: store.put("a.csv", b"1,2,3"), 'the file "a.csv" changed'),
        (lambda store: store.put("deep/b.csv", b"9,9"), 'the file "deep/b.csv" changed'),
        (lambda store: store.put("c.csv", b"5,6"), 'the file "c.csv" was added'),
        (lambda store: store.delete("deep"), 'the file "deep/b.csv" was removed'),
    ],
    ids=["another size", "the same size", "added", "removed"],
)
def test_a_step_is_another_once_a_file_that_it_reads_is(data, kind, change, reason):
    before = parts(data.step(kind))
    assert digest(parts(data.step(kind))) == digest(before)
    change(data)
    after = parts(data.step(kind))
    assert digest(after) != digest(before)
    name = {"model": 'model "rows 1"', "transfer": 'input "source"'}.get(kind, 'input "rows"')
    assert why_not(after, before) == f"{name}: {reason}"


def test_the_times_of_folders_do_not_count(data):
    if isinstance(data, LocalStore):
        before = parts(data.step())
        os.utime(data.uri, (1, 1))
        assert digest(parts(data.step())) == digest(before)
    else:
        assert parts(data.step())["held"]["input rows"]["count"] == 2  # folders are no files there


def test_a_file_written_again_is_another_one_by_its_time_and_the_same_by_its_digest(data):
    stamps, digests = parts(data.step()), parts(data.step(), by=DIGESTS)
    if isinstance(data, LocalStore):
        os.utime(os.path.join(data.uri, "a.csv"), (1, 1))
    else:
        data.put("a.csv", b"1,2")
    assert digest(parts(data.step())) != digest(stamps)
    assert digest(parts(data.step(), by=DIGESTS)) == digest(digests)


def test_outputs_of_other_steps_are_not_listed():
    pipeline = frozen(script("first"), script("second", "first"))
    assert digest_contents(pipeline.steps, by=STAMPS) == {}


def test_a_step_that_is_never_reused_is_not_listed(data):
    assert digest_contents([data.step(allowReuse=False)], by=STAMPS) == {}


def test_files_that_cannot_be_compared_equal_nothing(data, monkeypatch):
    monkeypatch.setattr(contents.contents_of, "__kwdefaults__", {"by": STAMPS, "most": 1})
    before, after = parts(data.step()), parts(data.step())
    assert digest(before) != digest(after)
    assert why_not(after, before) == (
        'input "rows": its files cannot be compared: there are more than 1, the most that can be compared'
    )


def test_files_of_many_are_not_named_and_still_compared(data, monkeypatch):
    monkeypatch.setattr(contents, "MOST_NAMED", 1)
    before = parts(data.step())
    assert digest(parts(data.step())) == digest(before)
    data.put("a.csv", b"1,2,3")
    assert why_not(parts(data.step()), before) == (
        'input "rows": one or more of its 2 files changed; which ones was not recorded'
    )


def test_a_folder_of_a_store_is_listed_once_and_its_files_are_not_asked_about(monkeypatch):
    store = open_store(f"memory://{uuid4()}/many")
    for number in range(50):
        store.put(f"{number:02}.csv", b"1")
    asked = []
    info = MemoryFileSystem.info
    monkeypatch.setattr(
        MemoryFileSystem, "info", lambda self, path, **more: asked.append(path) or info(self, path, **more)
    )
    assert contents.contents_of([store.uri]).count == 50
    assert len(asked) == 1  # whether it is a folder


@pytest.mark.parametrize(
    "gone", ["removed", "no permission", "a broken link", "no such store", "a store without times"]
)
def test_what_cannot_be_listed_never_passes_for_unchanged(tmp_path, monkeypatch, gone):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.csv").write_text("1")
    before = contents.contents_of([str(folder)])
    place = str(folder)
    if gone == "removed":
        (folder / "a.csv").unlink()
    elif gone == "no permission":
        monkeypatch.setattr(os, "scandir", reject_options)
    elif gone == "a broken link":
        (folder / "a.csv").unlink()
        (folder / "a.csv").symlink_to("nowhere")
    elif gone == "no such store":
        place = "nosuchstore://bucket/data"
    else:
        place = f"memory://{uuid4()}/data"
        open_store(place).put("a.csv", b"1")
        monkeypatch.setattr(systems, "_STAMPS", ())
    after = contents.contents_of([place])
    assert after.digest != before.digest
    if gone not in ("removed", "a broken link"):
        assert after.unknown
        assert contents.contents_of([place]).digest != after.digest


def reject_options(_):
    raise PermissionError(13, "Permission denied")


def finished_run(parent, run_id):
    """A folder with a run of which the one step has succeeded."""
    folder = PipelineFolder(str(parent / run_id))
    pipeline = replace(frozen(script("only"), run_id=run_id), run_uri=folder.path)
    output = os.path.join(folder.path, "steps", "only", "out")
    os.makedirs(output)
    begun = decide(pipeline, {}, history=History(), options=Options(), now=0.0)
    done = {"only": replace(begun.records["only"], state="Succeeded", outputs={"out": output}, ended=1.0)}
    over = decide(pipeline, done, history=History(), options=Options(), now=1.0)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    folder.write_frozen(pipeline)
    folder.write_status(pipeline_status(pipeline, over, started=now, now=now, previous=None))
    return folder, pipeline.steps[0].parts | {"steps": {}}


def test_runs_are_remembered_by_the_folders_beside_them(tmp_path):
    folder, parts = finished_run(tmp_path, "run-1")
    beside = PipelineFolder(str(tmp_path / "run-2"))
    assert beside.history().equal(parts, step="only").origin.run_id == "run-1"
    assert folder.history().equal(parts, step="only") is None  # itself
    assert is_pipeline(folder.path)
    assert not is_pipeline(beside.path)


def test_outputs_that_were_deleted_are_not_taken(tmp_path):
    folder, parts = finished_run(tmp_path, "run-1")
    os.rmdir(os.path.join(folder.path, "steps", "only", "out"))
    assert PipelineFolder(str(tmp_path / "run-2")).history().equal(parts, step="only") is None


def test_a_folder_that_cannot_be_read_is_no_run(tmp_path):
    folder, parts = finished_run(tmp_path, "run-1")
    with open(os.path.join(folder.path, "status.json"), "w") as file:
        file.write("{")
    assert PipelineFolder(str(tmp_path / "run-2")).history().equal(parts, step="only") is None
    with pytest.raises(InvalidDocuments, match="the run in this folder cannot be read"):
        folder.read()


def test_a_run_that_was_moved_does_not_go_on_elsewhere(tmp_path):
    folder, _ = finished_run(tmp_path, "run-1")
    os.rename(folder.path, tmp_path / "moved")
    with pytest.raises(InvalidDocuments, match="the run was started in"):
        PipelineFolder(str(tmp_path / "moved")).read()


def test_a_run_is_one_commands_at_a_time(tmp_path):
    folder = PipelineFolder(str(tmp_path))
    with folder.lock(), pytest.raises(InvalidDocuments, match="another command is running it"), folder.lock():
        pass
    with folder.lock():
        pass


def reading(path, code):
    """A step of the source that reads what is at a path."""
    step = frozen(script("only")).steps[0]
    given = {"name": "rows", "uris": [path], "mode": "mount"}
    return replace(step, source=str(code.source), job={**step.job, "inputs": [given]})


@pytest.mark.parametrize("path", ["data", "data/", "data/*.csv", "file:data/in", "data/**/*"])
def test_folders_that_inputs_name_are_no_code_but_for_modules(code, path):
    for name in ("data/in/rows.csv", "data/in/read.py", "data-1/x.csv"):
        (code.source / name).parent.mkdir(parents=True, exist_ok=True)
        (code.source / name).write_text("x")
    whole = path.replace("file:", f"file:{code.source}/") if path.startswith("file:") else f"{code.source}/{path}"
    step = reading(whole, code)
    frozen_step = copy_code([step], str(code.source.parent / "run"), among=[step])["only"]
    kept = ["data-1/x.csv", "data/in/read.py", "lib/util.py", "train.py"]
    assert sorted(frozen_step.parts["code"]) == kept
    other = replace(frozen(script("other")).steps[0], source=str(code.source))  # as when it alone is run again
    again = copy_code([other], str(code.source.parent / "run"), among=[step, other])["other"]
    assert again.parts["code"] == frozen_step.parts["code"]


@pytest.mark.parametrize("path", [".", "**/*.csv", "train.py", "s3://bucket/code/data/", "../data/*"])
def test_inputs_that_are_no_folders_inside_a_source_leave_it_whole(code, path):
    (code.source / "data").mkdir()
    (code.source / "data/rows.csv").write_text("x")
    step = reading(path if "://" in path else f"{code.source}/{path}", code)
    frozen_step = copy_code([step], str(code.source.parent / "run"), among=[step])["only"]
    assert sorted(frozen_step.parts["code"]) == ["data/rows.csv", "lib/util.py", "train.py"]


def test_a_large_source_is_reported_with_its_largest_entries(code, monkeypatch, capsys):
    code("train")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("longshore_cli.pipeline_sources.LARGE", 3 << 20)
    for name, size in (("data/a.bin", 2), ("data/b.bin", 2), ("model.pkl", 1)):
        (code.source / name).parent.mkdir(exist_ok=True)
        (code.source / name).write_bytes(bytes(size << 20))
    code("train")
    told = capsys.readouterr().err
    assert told == (
        f"longshore: the source {code.source} has 5 MB, which each run copies (data/ 4 MB, model.pkl 1 MB, "
        "train.py 0 MB); list the files that are not code in a file .amlignore there\n"
    )
    monkeypatch.setattr(source_copies, "LARGEST", 4 << 20)
    with pytest.raises(InvalidDocuments, match=r"is larger than 4 MB \(data/ 4 MB, model.pkl 1 MB, train.py 0 MB\)"):
        code("train")
