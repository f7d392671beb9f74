"""What a coordinator may do in a run that is there: go on with the same code, retry what failed, or nothing."""

import json
import os
from dataclasses import replace

import jobs
import pytest

from longshore_coordinator import code, ends
from longshore_coordinator.code import REPORT, changes, code_of, used_codes, write_code_report
from longshore_coordinator.ledger import Ledger
from longshore_coordinator.restore import restore
from longshore_coordinator.resuming import begin
from longshore_coordinator.verdict import CODE_CHANGED, NOT_RETRYABLE
from longshore_protocol.job import Model, ScriptInput
from longshore_protocol.snapshot import MiniBatchCounts, Snapshot
from longshore_protocol.wire import Completion
from longshore_storage import code_files
from longshore_storage.code_files import code_digests
from longshore_storage.contents import Contents
from longshore_storage.store import open_store


@pytest.fixture
def job(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("1")
    (tmp_path / "words.txt").write_text("1")
    return jobs.job(
        uri=str(tmp_path / "run"),
        action="append_row",
        arguments=("--alpha", "0.5"),
        variables={"KEY": "hunter2"},
        models=(Model("digits", 1, str(tmp_path / "model")),),
        side_inputs=(ScriptInput("words", (str(tmp_path / "words.txt"),)),),
        code={"score.py": "aaa", "lib/util.py": "bbb"},
        runtime="/usr/bin/python3",
    )


class Folder:
    """A run's folder, and coordinators that come one after the other."""

    def __init__(self, job):
        self.job = job
        self.store = open_store(job.run_uri)
        self.store.make()

    def begin(self, *, resumed=True, **job):
        """Begin the next epoch with a changed job; return how it begins, and its ledger."""
        ledger = Ledger.claim(self.store, {"step": "score"})
        restored = restore(ledger, resumed_by_user=resumed)
        return begin(replace(self.job, **job), self.store, ledger, restored, resumed=resumed), ledger

    def complete(self, ledger, *numbers, segment="segments/x"):
        completions = [Completion(number, 1, 0, 0, 1, 1, -1, 0, 0, 0, 0, 0) for number in numbers]
        done = {"worker": "w", "segment": segment, "headers": [], "mini_batches": completions}
        ledger.append({"done": done})
        ledger.flush()

    def records(self):
        return Ledger(self.store, 99).records()


@pytest.fixture
def folder(job):
    return Folder(job)


def snapshot(*, epoch=1, failed=0, rows=3):
    counts = MiniBatchCounts(total=4, scheduled=4, succeeded=4 - failed, failed=failed)
    return Snapshot(
        state="Succeeded", run_id="1", run_uri="/r", output_uri="/o", epoch=epoch, mini_batches=counts, rows=rows
    )


# --- code ------------------------------------------------------------------------------------------------------------


def rewrite(path, text):
    path.write_text(text)
    os.utime(path, (1, 1))


CHANGES = {
    "file": (lambda job, _: {"code": {**job.code, "score.py": "ccc"}}, 'the file "score.py" changed'),
    "new file": (lambda job, _: {"code": {**job.code, "new.py": "n"}}, 'the file "new.py" was added'),
    "file gone": (lambda _, __: {"code": {"score.py": "aaa"}}, 'the file "lib/util.py" was removed'),
    "entry script": (
        lambda _, __: {"entry_script": "other.py"},
        'the entry script changed from "score.py" to "other.py"',
    ),
    "argument": (lambda _, __: {"arguments": ("--alpha", "0.6")}, 'argument 2 changed from "0.5" to "0.6"'),
    "new argument": (lambda _, __: {"arguments": ("--alpha", "0.5", "-x")}, "argument 3 was added"),
    "variable": (lambda _, __: {"variables": {"KEY": "other"}}, 'the environment variable "KEY" changed'),
    "interpreter": (
        lambda _, __: {"runtime": "/opt/python"},
        'the interpreter changed from "/usr/bin/python3" to "/opt/python"',
    ),
    "model version": (
        lambda job, _: {"models": (replace(job.models[0], version=2),)},
        'the version of the model "digits" changed from "1" to "2"',
    ),
    "model content": (
        lambda _, folder: rewrite(folder / "model" / "weights", "2"),
        'the content of the model "digits" changed',
    ),
    "side input content": (
        lambda _, folder: rewrite(folder / "words.txt", "2"),
        'the content of the side input "words" changed',
    ),
}


@pytest.mark.parametrize(("change", "told"), CHANGES.values(), ids=CHANGES)
def test_a_run_is_not_resumed_with_what_makes_other_rows(folder, job, tmp_path, change, told):
    begins, ledger = folder.begin(resumed=False)
    assert begins.verdict is None
    folder.complete(ledger, 0, 1)
    changed = change(job, tmp_path) or {}
    refused, ledger = folder.begin(**changed)
    assert refused.verdict.reason == CODE_CHANGED
    assert refused.verdict.message.startswith(f"its rows were made with other code or settings: {told}. ")
    assert "--accept-changed-code" in refused.verdict.message
    accepted, ledger = folder.begin(**changed, accept_changed_code=True)
    assert (accepted.verdict, accepted.codes) == (None, 2)


@pytest.mark.parametrize(
    "more",
    [
        {"workers": 7},
        {"max_tries": 9},
        {"logging_level": "DEBUG"},
        {"container_log": "all"},
        {"concurrency_per_process": 2},
        {"metrics_name_prefix": "x"},
        {"name": "other"},
    ],
)
def test_what_changes_no_row_may_change(folder, more):
    _, ledger = folder.begin(resumed=False)
    folder.complete(ledger, 0)
    begins, _ = folder.begin(**more)
    assert (begins.verdict, begins.codes) == (None, 1)


def test_a_new_file_that_is_no_module_may_be_there(folder, job):
    _, ledger = folder.begin(resumed=False)
    folder.complete(ledger, 0)
    assert folder.begin(code={**job.code, "notes.txt": "n"})[0].verdict is None
    assert folder.begin(code={**job.code, "lib/fast.so": "n"})[0].verdict.reason == CODE_CHANGED


def test_nothing_is_written_by_a_coordinator_that_refuses(folder):
    _, ledger = folder.begin(resumed=False)
    folder.complete(ledger, 0)
    before = folder.store.names("state/ledger")
    for _ in range(2):  # the second one does not take the first one's code for that of the rows
        assert folder.begin(code={"score.py": "ccc"})[0].verdict.reason == CODE_CHANGED
    assert folder.store.names("state/ledger") == before


def test_before_anything_is_done_the_code_may_change(folder):
    _, ledger = folder.begin(resumed=False)
    ledger.flush()
    begins, _ = folder.begin(code={"score.py": "ccc"})
    assert (begins.verdict, begins.codes) == (None, 1)


def test_a_run_that_went_on_with_new_code_and_did_nothing_may_go_back(folder):
    _, ledger = folder.begin(resumed=False)
    folder.complete(ledger, 0)
    _, ledger = folder.begin(code={"score.py": "ccc"}, accept_changed_code=True)
    ledger.flush()
    assert folder.begin()[0].verdict is None


def test_a_ledger_of_before_codes_were_recorded_is_continued(folder):
    ledger = Ledger.claim(folder.store, {})
    folder.complete(ledger, 0)
    assert folder.begin()[0].verdict is None


def test_a_restart_is_no_resumption(folder):
    _, ledger = folder.begin(resumed=False)
    folder.complete(ledger, 0)
    begins, _ = folder.begin(resumed=False, code={"score.py": "ccc"})
    assert (begins.verdict, begins.codes) == (None, 2)  # told in the report all the same


def test_secrets_are_not_in_the_ledger(folder, job):
    _, ledger = folder.begin(resumed=False)
    folder.complete(ledger, 0)
    assert "hunter2" not in json.dumps(list(folder.records()))
    assert changes(code_of(job), code_of(replace(job, variables={"KEY": "another"})))


SIGNED = "https://h/a?id={}&X-Amz-Date={}&X-Amz-Signature={}"


@pytest.mark.parametrize("what", ["a model", "a side input", "an argument"])
def test_an_address_that_is_signed_again_changes_no_code_and_its_secret_is_not_recorded(job, monkeypatch, what):
    monkeypatch.setattr(code, "contents_of", lambda places, most: Contents("", unknown="not asked"))

    def with_url(*parts):
        url = SIGNED.format(*parts)
        return {
            "a model": replace(job, models=(Model("digits", 1, url),)),
            "a side input": replace(job, side_inputs=(ScriptInput("words", (url,)),)),
            "an argument": replace(job, arguments=(url,)),
        }[what]

    first = code_of(with_url(1, "date-1", "hunter2"))
    assert changes(first, code_of(with_url(1, "date-2", "hunter3"))) == []
    assert changes(first, code_of(with_url(2, "date-1", "hunter2")))
    assert "hunter2" not in str(first)


@pytest.mark.parametrize("name", ["code", "api-key"])
def test_an_argument_with_another_parameter_of_a_secrets_name_is_another_one(job, name):
    first, other = (code_of(replace(job, arguments=(f"https://h/a?{name}={value}",))) for value in ("DE", "FR"))
    assert changes(first, other) == ["argument 1 changed"]


def test_the_report_states_which_mini_batches_came_of_which_code(folder):
    _, ledger = folder.begin(resumed=False)
    folder.complete(ledger, 0, 1, 2, 5)
    changed = {"code": {"score.py": "ccc", "lib/util.py": "bbb"}, "accept_changed_code": True}
    _, ledger = folder.begin(**changed)
    folder.complete(ledger, 2, 3)  # 2 had been completed before: the first one counts
    _, ledger = folder.begin(**changed)
    folder.complete(ledger, 4)
    told = write_code_report(folder.store, Ledger(folder.store, 99))
    assert told == f"2 versions of the code made the rows (4, 2 mini-batches); {REPORT} lists them"
    first, second = json.loads(folder.store.get(REPORT))
    assert (first["epochs"], first["miniBatches"]) == ([1], [[0, 2], [5, 5]])
    assert (second["epochs"], second["miniBatches"]) == ([2, 3], [[3, 4]])
    assert second["changes"] == ['the file "score.py" changed']


def test_a_run_of_one_code_has_no_report(folder):
    _, ledger = folder.begin(resumed=False)
    folder.complete(ledger, 0)
    assert write_code_report(folder.store, Ledger(folder.store, 99)) == ""
    assert not folder.store.exists(REPORT)
    assert [each.count() for each in used_codes(folder.records())] == [1]


def test_a_source_that_workers_fetch_is_listed_and_its_file_is_named(folder, tmp_path):
    (tmp_path / "code").mkdir()
    rewrite(tmp_path / "code" / "score.py", "1")
    where = {"code": {}, "code_uri": str(tmp_path / "code")}
    _, ledger = folder.begin(resumed=False, **where)
    folder.complete(ledger, 0)
    assert folder.begin(**where)[0].verdict is None
    (tmp_path / "code" / "score.py").write_text("2")
    begins, _ = folder.begin(**where)
    assert 'the content of the file "score.py" changed' in begins.verdict.message
    gone = {"code": {}, "code_uri": "nosuchstore://bucket/code"}
    assert folder.begin(**gone)[0].verdict is None  # what cannot be listed is not compared


def test_a_model_that_cannot_be_listed_is_not_compared(job, monkeypatch):
    known = code_of(job)
    monkeypatch.setattr(code, "_MAX_LISTED", 0)
    assert changes(known, code_of(job)) == changes(code_of(job), known) == []


# --- the files that are code -----------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    for name in ("score.py", "lib/util.py", "labels.json", "step.yml", "data/a.csv", "data/prepare.py", ".gitignore"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("1")
    return folder


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ((), ["data/a.csv", "data/prepare.py", "labels.json", "lib/util.py", "score.py"]),
        (("data",), ["data/prepare.py", "labels.json", "lib/util.py", "score.py"]),
        (("data/*.csv",), ["data/prepare.py", "labels.json", "lib/util.py", "score.py"]),
        (("data/a.csv",), ["data/prepare.py", "labels.json", "lib/util.py", "score.py"]),
        (("*.json",), ["data/prepare.py", "lib/util.py", "score.py"]),
        (("",), ["data/prepare.py", "lib/util.py", "score.py"]),
    ],
)
def test_data_and_documents_in_the_source_folder_are_no_code(source, data, names):
    places = [str(source / each) for each in data]
    found = code_digests(str(source), "score.py", data=places, left_out=[str(source / "step.yml")])
    assert sorted(found) == names


def test_an_ignored_entry_script_is_code(source):
    (source / ".gitignore").write_text("*\n")
    assert list(code_digests(str(source), "score.py", data=())) == ["score.py"]


def test_no_more_is_read_than_code_has(source, monkeypatch):
    monkeypatch.setattr(code_files, "_MOST_READ", 3)
    for name in ("score.py", "lib/util.py", "labels.json"):
        (source / name).write_text("12")
    before = code_digests(str(source), "score.py", data=())
    assert {name for name, digest in before.items() if " " in digest} == before.keys() - {"score.py"}
    os.utime(source / "score.py", (1, 1))
    assert code_digests(str(source), "score.py", data=()) == before
    os.utime(source / "labels.json", (1, 1))
    after = code_digests(str(source), "score.py", data=())
    assert [name for name in before if after[name] != before[name]] == ["labels.json"]


def test_of_many_files_one_digest_is_kept(source, monkeypatch):
    monkeypatch.setattr(code_files, "MOST_FILES", 2)
    before = code_digests(str(source), "score.py", data=())
    assert sorted(before) == ["./", "score.py"]
    (source / "lib" / "util.py").write_text("2")
    after = code_digests(str(source), "score.py", data=())
    assert [name for name in before if after[name] != before[name]] == ["./"]


# --- ends and retries ------------------------------------------------------------------------------------------------


def test_a_run_that_succeeded_is_finished(folder):
    folder.begin(resumed=False)
    ends.write_success(folder.store, snapshot(failed=1))
    begins, _ = folder.begin()
    assert begins.earlier == snapshot(failed=1)
    assert begins.verdict.succeeded


def test_a_retry_opens_a_run_that_succeeded_until_the_next_end(folder):
    folder.store.put("state/segments/x", b"rows")
    folder.begin(resumed=False)
    ends.write_success(folder.store, snapshot(failed=1))
    begins, _ = folder.begin(retry_failed=True)
    assert begins.verdict is None
    assert ends.finished_end(folder.store) is None
    assert ends.latest_end(folder.store).last == snapshot(failed=1)  # true until the next one is written
    resumed, _ = folder.begin()  # whoever comes next goes on with the retry
    assert resumed.verdict is None
    ends.write_success(folder.store, snapshot(epoch=3))
    assert ends.finished_end(folder.store) == snapshot(epoch=3)
    assert folder.begin(retry_failed=True)[0].earlier == snapshot(epoch=3)  # nothing failed


def test_a_displaced_coordinator_ends_no_later_retry(folder):
    folder.store.put("state/segments/x", b"rows")
    folder.begin(resumed=False)
    ends.write_success(folder.store, snapshot(failed=2))
    folder.begin(retry_failed=True)
    ends.write_success(folder.store, snapshot(epoch=2, failed=1))
    folder.begin(retry_failed=True)
    ends.write_success(folder.store, snapshot(epoch=1))  # late, of the first epoch
    assert ends.finished_end(folder.store) is None


@pytest.mark.parametrize(
    ("resumed", "failed", "retries"), [(True, 1, True), (True, 0, False), (False, 1, False), (False, 0, False)]
)
def test_only_a_user_retries_and_only_what_failed(folder, resumed, failed, retries):
    folder.store.put("state/segments/x", b"rows")
    folder.begin(resumed=False)
    ends.write_success(folder.store, snapshot(failed=failed))
    begins, _ = folder.begin(resumed=resumed, retry_failed=True)
    assert (begins.verdict is None) == retries


def test_a_retry_without_the_rows_of_the_others_is_refused(folder):
    folder.begin(resumed=False)
    ends.write_success(folder.store, snapshot(failed=1))
    begins, _ = folder.begin(retry_failed=True)
    assert begins.verdict.reason == NOT_RETRYABLE
    assert ends.finished_end(folder.store) == snapshot(failed=1)


def test_a_retry_with_other_code_is_refused_and_the_run_stays_finished(folder):
    folder.store.put("state/segments/x", b"rows")
    _, ledger = folder.begin(resumed=False)
    folder.complete(ledger, 0)
    ends.write_success(folder.store, snapshot(failed=1))
    begins, _ = folder.begin(retry_failed=True, code={})
    assert begins.verdict.reason == CODE_CHANGED
    assert ends.finished_end(folder.store) == snapshot(failed=1)
    assert folder.begin(retry_failed=True, code={}, accept_changed_code=True)[0].verdict is None
