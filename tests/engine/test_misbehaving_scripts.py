"""One misbehaving entry script per failure: the right category, counts and message, and nothing left running."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

NAMES = ("a.txt", "b.txt", "c.txt")  # two mini-batches, of two and of one file
REQUIRED = "it must return a list, tuple, array or pandas.DataFrame with one element or row per item that succeeded"


@dataclass(frozen=True)
class Case:
    """What is to become of a script that fails in run() on every mini-batch."""

    script: str
    category: str
    message: str  # a pattern of the whole message
    tries: int = 2
    trace: str = ""  # in the traceback
    spec: dict = field(default_factory=dict)


AT_ONCE = {"runInvocationTimeoutSeconds": 1}
TIMEOUT = r"run\(\) took longer than runInvocationTimeoutSeconds \(1 s\)"

FAILING_RUNS = {
    "raises": Case("raises.py", "UserError", "ValueError: these pixels make no sense", trace='raises.py", line'),
    "raises what cannot be printed": Case(
        "raises_unprintable.py",
        "UserError",
        r"Unprintable: \(an exception without text: its __str__ raises\)",
    ),
    "raises MemoryError": Case("raises_memory_error.py", "OutOfMemory", "MemoryError", trace="bytearray"),
    "has no GPU memory left": Case(
        "raises_cuda_out_of_memory.py",
        "CudaOutOfMemory",
        r"OutOfMemoryError: CUDA out of memory\. Tried to allocate 2\.00 GiB \(the GPU has too little memory .*"
        r"miniBatchSize smaller, .* processCountPerNode\)",
        trace="activations",
    ),
    "returns None": Case("returns_none.py", "WrongReturn", re.escape(f"run() returned None; {REQUIRED}")),
    "returns a number": Case("returns_scalar.py", "WrongReturn", r"run\(\) returned a value of type int; .*"),
    "returns a string": Case("returns_string.py", "WrongReturn", r"run\(\) returned a value of type str; .*"),
    "exits past every handler": Case("exits_by_os.py", "ProcessDied", r"process00\d exited with code 3"),
    "exits with zero": Case("exits_with_zero.py", "ProcessDied", r"process00\d exited with code 0"),
    "calls sys.exit": Case("exits_by_sys.py", "ProcessDied", r"the entry script called sys\.exit\(4\) in run\(\)"),
    "kills itself": Case("kills_itself.py", "ProcessDied", r"process00\d was killed by SIGKILL"),
    "segfault": Case(
        "segfault.py",
        "ProcessDied",
        r"process00\d was killed by SIGSEGV: Segmentation fault in segfault\.py, line \d+, in run",
        trace='segfault.py", line',
    ),
    "hangs": Case("hangs.py", "Timeout", TIMEOUT, tries=1, trace='hangs.py", line', spec=AT_ONCE),
    "hangs in C, holding the interpreter": Case(
        "hangs_in_c.py", "Timeout", TIMEOUT, tries=1, trace='hangs_in_c.py", line', spec=AT_ONCE
    ),
    "hangs, ignoring SIGTERM": Case(
        "hangs_ignoring_sigterm.py", "Timeout", TIMEOUT, tries=1, trace='sigterm.py", line', spec=AT_ONCE
    ),
    "waits for children that cannot start": Case(
        "spawns_a_pool.py",
        "Timeout",
        r"run\(\) took longer than runInvocationTimeoutSeconds \(3 s\); "
        r"the last exception in its log is RuntimeError: context has already been set",
        tries=1,
        trace='spawns_a_pool.py", line',
        spec={"runInvocationTimeoutSeconds": 3},
    ),
    "ends after an exception in a thread": Case(
        "ends_in_a_thread.py", "ProcessDied", r"process00\d exited with code 7: KeyError: 'pixels'"
    ),
}


@pytest.mark.parametrize("case", FAILING_RUNS.values(), ids=FAILING_RUNS.keys())
def test_a_script_that_fails_in_run_uses_up_its_tries_and_fails_the_step(longshore, case):
    longshore.data(*NAMES)
    longshore.manifest(longshore.step(case.script, runMaxTry=case.tries, errorThreshold=2, **case.spec))

    ended = longshore.run()

    assert ended.code == 1
    assert ended.reason == "ErrorThresholdExceeded"
    assert ended.succeeded["message"] == "3 items failed, errorThreshold allows 2"
    assert ended.mini_batches == {"total": 2, "scheduled": 2, "failed": 2} | ({"retried": 2} if case.tries > 1 else {})
    assert ended.items == {"total": 3, "failed": 3}
    error = ended.first_error
    assert (error["category"], error["pod"]) == (case.category, "worker-0")
    assert re.fullmatch(case.message, error["message"])
    assert case.trace in error["traceback"]
    assert "longshore_host" not in error["traceback"]
    assert "file" not in ended.status["output"]

    files = [str(longshore.folder / "data" / name) for name in NAMES]
    first, second = ended.failed
    assert (first["miniBatch"], first["input"], first["items"]) == (0, "files", files[:2])
    assert (second["miniBatch"], second["input"], second["items"]) == (1, "files", files[2:])
    for line in (first, second):
        assert (line["attempts"], line["category"]) == (case.tries, case.category)
        assert re.fullmatch(case.message, line["message"])
        assert (ended.run_dir / line["log"]).is_file()
    assert "3 items failed, errorThreshold allows 2" in ended.log("job_error.txt")
    assert error["message"] in ended.log("user/error.txt")
    assert ended.log("sys/job_report/processed_mini-batches.csv").count(f",{case.category},") == 2 * case.tries
    assert "Traceback" not in ended.stderr


FAILING_STARTS = {
    "raises on import": Case(
        "raises_on_import.py",
        "UserError",
        r"importing raises_on_import\.py failed: ModuleNotFoundError: No module named 'a_package_that_nobody_.*'",
        trace="import a_package_that_nobody_installed",
    ),
    "is no Python": Case(
        "syntax_error.py",
        "UserError",
        r"importing syntax_error\.py failed: SyntaxError: .*",
        trace="def run(mini_batch)",
    ),
    "exits on import": Case("exits_on_import.py", "UserError", r"importing exits_on_import\.py failed: SystemExit: 5"),
    "raises in init": Case(
        "raises_in_init.py",
        "UserError",
        r"init\(\) failed: FileNotFoundError: model\.onnx is not where it should be",
        trace="raises_in_init.py",
    ),
    "has no GPU memory left in init": Case(
        "raises_cuda_out_of_memory_in_init.py",
        "CudaOutOfMemory",
        r"init\(\) failed: RuntimeError: CUDA error: out of memory .* \(the GPU has too little memory for this: .*\)",
        trace="CUDA error: out of memory",
    ),
    "is a generator": Case(
        "generator_run.py",
        "WrongReturn",
        r"run\(\) in generator_run\.py is a generator \(it uses yield\): it must return a list or a DataFrame",
    ),
    "hangs in init": Case(
        "hangs_in_init.py",
        "Timeout",
        r"import and init\(\) took longer than initTimeoutSeconds \(1 s\)",
        spec={"initTimeoutSeconds": 1},
    ),
}


@pytest.mark.parametrize("case", FAILING_STARTS.values(), ids=FAILING_STARTS.keys())
def test_a_script_that_no_process_can_start_fails_the_step_early_and_uses_up_no_try(longshore, case):
    longshore.data(*NAMES)
    longshore.manifest(longshore.step(case.script, **case.spec))

    ended = longshore.run()

    assert ended.code == 1
    assert ended.reason == "InitFailed"
    assert re.match(r"\d+ processes failed before run\(\), and none reached it: ", ended.succeeded["message"])
    assert ended.mini_batches == {"total": 2, "scheduled": 2}
    assert ended.items == {}
    error = ended.first_error
    assert (error["category"], error["pod"]) == (case.category, "worker-0")
    assert re.fullmatch(case.message, error["message"])
    assert "miniBatch" not in error
    assert case.trace in error["traceback"]
    assert ended.failed == []
    assert error["message"] in ended.log("job_error.txt")
    assert error["message"] in ended.log("user/error.txt")
    assert "Traceback" not in ended.stderr


def test_missing_results_are_failed_items_and_no_failed_mini_batch_while_only_items_are_counted(longshore):
    longshore.data("a.txt", "b.txt", "c.txt", "d.txt")
    longshore.manifest(longshore.step("returns_too_few.py", errorThreshold=2))

    ended = longshore.run()

    assert (ended.code, ended.reason) == (0, "SucceededWithFailures")
    assert ended.mini_batches == {"total": 2, "scheduled": 2, "succeeded": 2}
    assert ended.items == {"total": 4, "succeeded": 2, "failed": 2}
    assert ended.rows == ["b.txt", "d.txt"]
    assert [(each["miniBatch"], each["itemsFailed"], each["category"]) for each in ended.failed] == [
        (0, 1, "WrongReturn"),
        (1, 1, "WrongReturn"),
    ]
    assert ended.first_error["message"] == "run() returned 1 results for 2 items"
    assert ended.first_error["items"] == ended.failed[ended.first_error["miniBatch"]]["items"]


def test_too_many_failed_items_are_loud_unless_their_user_stated_how_many_may_fail(longshore):
    longshore.data("a.txt", "b.txt", "c-bad.txt", "d.txt")
    spec = {"runMaxTry": 1, "miniBatchSize": 1}
    longshore.manifest(longshore.step("raises_on_some.py", **spec))
    loud = longshore.run()
    assert (loud.code, loud.reason, loud.succeeded["status"]) == (3, "SucceededWithFailures", "True")
    bad = longshore.folder / "data" / "c-bad.txt"
    assert loud.succeeded["message"] == (
        f"3 of 4 mini-batches succeeded; 1 of 4 items failed (25 %, failedItemsWarningPercent is 10): {bad}; "
        f"{longshore.run_dir}/failed.jsonl lists them"
    )
    assert loud.rows == ["a.txt", "b.txt", "d.txt"]
    assert loud.log("user/error/worker-0/process000.txt").startswith(f"mini-batch 2, attempt 1: {bad}\nTraceback ")
    assert longshore.resume().code == 3, "a run that is over says the same again"
    longshore.run_dir = longshore.folder / "chosen"
    longshore.manifest(longshore.step("raises_on_some.py", **spec, errorThreshold=-1))
    chosen = longshore.run()
    assert (chosen.code, chosen.reason) == (0, "SucceededWithFailures")
    longshore.run_dir = longshore.folder / "few"
    longshore.manifest(longshore.step("raises_on_some.py", **spec, failedItemsWarningPercent=25))
    few = longshore.run()
    assert (few.code, few.reason) == (0, "Succeeded")


def test_missing_results_above_the_error_threshold_fail_the_step(longshore):
    longshore.data("a.txt", "b.txt", "c.txt", "d.txt")
    longshore.manifest(longshore.step("returns_too_few.py", errorThreshold=1))

    ended = longshore.run()

    assert (ended.code, ended.reason) == (1, "ErrorThresholdExceeded")
    assert ended.succeeded["message"] == "2 items failed, errorThreshold allows 1"


def test_missing_results_fail_the_mini_batch_where_mini_batches_and_items_are_counted(longshore):
    longshore.data("a.txt", "b.txt", "c.txt", "d.txt")
    longshore.manifest(longshore.step("returns_too_few.py", errorThreshold=10, allowedFailedCount=1, runMaxTry=2))

    ended = longshore.run()

    assert (ended.code, ended.reason) == (1, "AllowedFailedCountExceeded")
    assert ended.succeeded["message"] == "2 mini-batches failed, allowedFailedCount allows 1"
    assert ended.mini_batches == {"total": 2, "scheduled": 2, "failed": 2, "retried": 2}
    assert ended.items == {"total": 4, "failed": 4}
    message = (
        "run() returned 1 results for 2 items; this fails the mini-batch because errorThreshold and a limit of failed "
        "mini-batches are both set"
    )
    assert [(each["category"], each["attempts"], each["message"]) for each in ended.failed] == [
        ("WrongReturn", 2, message),
        ("WrongReturn", 2, message),
    ]


def test_missing_results_do_not_fail_the_mini_batch_where_failed_items_are_ignored(longshore):
    longshore.data("a.txt", "b.txt")
    longshore.manifest(longshore.step("returns_too_few.py", errorThreshold=-1, allowedFailedCount=0))

    ended = longshore.run()

    assert (ended.code, ended.rows) == (0, ["b.txt"])


@pytest.mark.parametrize(
    ("script", "odd", "category"),
    [("raises_on_some.py", "bad", "UserError"), ("hangs_on_some.py", "slow", "Timeout")],
)
def test_one_bad_mini_batch_within_the_thresholds_costs_the_others_nothing(longshore, script, odd, category):
    longshore.data("a.txt", "b.txt", f"c-{odd}.txt", "d.txt", "e.txt")
    longshore.manifest(longshore.step(script, runMaxTry=1, runInvocationTimeoutSeconds=1, errorThreshold=2))

    ended = longshore.run()

    assert (ended.code, ended.reason) == (0, "SucceededWithFailures")
    assert ended.succeeded["message"].startswith("2 of 3 mini-batches succeeded; 2 of 5 items failed (40 %, ")
    assert ended.rows == ["a.txt", "b.txt", "e.txt"]
    assert ended.mini_batches == {"total": 3, "scheduled": 3, "succeeded": 2, "failed": 1}
    assert [(each["miniBatch"], each["category"]) for each in ended.failed] == [(1, category)]
    assert ended.first_error["miniBatch"] == 1


def test_a_mini_batch_that_succeeds_at_its_second_try_leaves_no_failure(longshore):
    longshore.data(*NAMES)
    seen = longshore.folder / "seen"
    seen.mkdir()
    longshore.manifest(
        longshore.step("fails_first_time.py", errorThreshold=0, environmentVariables={"SEEN_FOLDER": str(seen)})
    )

    ended = longshore.run()

    assert (ended.code, ended.rows) == (0, list(NAMES))
    assert ended.mini_batches == {"total": 2, "scheduled": 2, "succeeded": 2, "retried": 2}
    assert ended.items == {"total": 3, "succeeded": 3}
    assert ended.failed == []
    assert ended.first_error["message"] == "ConnectionError: the first try of a.txt always fails"


@pytest.mark.parametrize(
    ("script", "code"), [("forks_children.py", 0), ("forks_children_and_hangs.py", 1)], ids=["returns", "hangs"]
)
def test_what_a_script_leaves_running_ends_with_it_wherever_it_hides(longshore, script, code):
    longshore.data(*NAMES)
    pids = longshore.folder / "pids"
    pids.mkdir()
    longshore.manifest(
        longshore.step(
            script, runMaxTry=1, runInvocationTimeoutSeconds=1, environmentVariables={"PID_FOLDER": str(pids)}
        )
    )

    ended = longshore.run()  # which sees that nothing is left running

    assert ended.code == code
    assert len(list(pids.iterdir())) == 6  # two mini-batches left three processes each
    longshore.wait_until(lambda: not [pid for pid in pids.iterdir() if _is_alive(int(pid.name))])  # reaped, too
    if code:
        assert {each["category"] for each in ended.failed} == {"Timeout"}


FORKS = """
import os

NAMES = []

def init():
    {init}

def run(mini_batch):
    NAMES.append(mini_batch)
    if len(NAMES) == 20:
        {run}
    return [os.path.basename(path) for path in mini_batch]
"""


@pytest.mark.parametrize("where", ["init", "run"])
def test_a_copy_that_a_script_forks_and_lets_return_does_not_answer_for_it(longshore, where):
    names = [f"{number:03}" for number in range(60)]
    longshore.data(*names)
    code = FORKS.format(**{"init": "pass", "run": "pass", where: "os.fork()"})
    longshore.write("code/forks.py", code)
    longshore.manifest(longshore.step("forks.py", source={"uri": "file:code"}, miniBatchSize=1, runMaxTry=1))

    ended = longshore.run()

    assert ended.code == 0
    assert ended.rows == names
    assert ended.mini_batches == {"total": 60, "scheduled": 60, "succeeded": 60}
    assert ended.logs("sys/node/*/agent.txt") == ""


def test_a_script_that_prints_without_end_succeeds_and_its_logs_stay_bounded(longshore):
    longshore.data("a.txt")
    longshore.manifest(longshore.step("prints_100_mb.py"))

    ended = longshore.run()

    assert (ended.code, ended.rows) == (0, ["a.txt"])
    for stream in ("stdout", "stderr"):
        logs = list(ended.run_dir.glob(f"logs/user/{stream}/worker-0/process000.{stream}.txt*"))
        assert logs
        assert sum(each.stat().st_size for each in logs) <= 24 << 20
        assert "the model is very sure of itself" in "".join(each.read_text(errors="replace") for each in logs)


def test_what_is_printed_without_a_line_end_or_as_no_text_is_in_the_logs(longshore):
    longshore.data("a.txt")
    longshore.manifest(longshore.step("prints_without_newline.py"))

    ended = longshore.run()

    assert ended.code == 0
    for stream, sign in (("stdout", b"."), ("stderr", b"!")):
        printed = (ended.run_dir / f"logs/user/{stream}/worker-0/process000.{stream}.txt").read_bytes()
        assert printed.count(sign) == 1_000
        assert b"\xff\xfe" in printed


def test_a_script_that_raises_in_shutdown_has_done_its_work(longshore):
    longshore.data(*NAMES)
    longshore.manifest(longshore.step("raises_in_shutdown.py"))

    ended = longshore.run()

    assert (ended.code, ended.rows) == (0, list(NAMES))
    assert ended.mini_batches == {"total": 2, "scheduled": 2, "succeeded": 2}
    assert "RuntimeError: could not close the model" in ended.logs("user/stderr/worker-0/*")


@pytest.mark.linux("macOS does not report which processes it ended for memory")
def test_a_process_that_the_kernel_kills_for_memory_is_distinguished_from_other_deaths(longshore, confined):
    longshore.data(*NAMES)
    longshore.manifest(longshore.step("eats_memory.py", runMaxTry=1, errorThreshold=2))

    ended = longshore.run(prefix=confined)

    assert (ended.code, ended.reason) == (1, "ErrorThresholdExceeded")
    assert ended.mini_batches == {"total": 2, "scheduled": 2, "failed": 2}
    assert ended.items == {"total": 3, "failed": 3}
    assert [each["category"] for each in ended.failed] == ["OutOfMemory", "OutOfMemory"]
    assert re.fullmatch(r"process00\d was killed by the kernel because memory ran out", ended.first_error["message"])
    assert not ended.logs("sys/node/worker-0/host.txt")  # the kernel took the child, and neither host nor agent
    assert not ended.logs("sys/node/worker-0/agent.txt")


@pytest.fixture
def confined(longshore):
    """A command that runs another within 400 MB of memory, in a control group of either version."""
    name = f"longshore-test-{longshore.marker}"
    old, new = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    group, limit = (old / name, "memory.limit_in_bytes") if old.is_dir() else (new / name, "memory.max")
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(
            f"NOT TESTED: no memory control group can be made here, so no process is killed for memory: {error}"
        )
    try:
        try:
            (group / limit).write_text(str(400 << 20))
            swap = group / "memory.swap.max"
            if swap.exists():
                swap.write_text("0")
        except OSError as error:
            pytest.skip(f"NOT TESTED: the memory of {group} cannot be limited, so no process is killed for it: {error}")
        yield ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs")]
    finally:
        longshore.kill_all()
        longshore.wait_until(lambda: not (group / "cgroup.procs").read_text())
        os.rmdir(group)


def _is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_thread_that_the_script_leaves_running_delays_the_end_by_seconds_and_is_named(longshore):
    longshore.data(*NAMES)
    longshore.manifest(longshore.step("leaves_a_thread.py"))

    ended = longshore.run()

    assert ended.code == 0
    line = "left threads running: heartbeat; end them in shutdown(), or start them with daemon=True"
    assert line in ended.logs("user/stderr/worker-0/*.txt")


LEAVES = """\
import sys
import threading


def init():
    threading.Thread(target=threading.Event().wait, name="heartbeat").start()
{}


def run(mini_batch):
    {}
"""


@pytest.mark.parametrize(
    ("init", "run", "category"),
    [
        ("", "sys.exit(1)", "ProcessDied"),
        ("", "sys.exit()", "ProcessDied"),
        ("", "raise SystemExit('no')", "ProcessDied"),
        ("    raise ValueError('no')", "return mini_batch", "UserError"),
        ("    sys.exit(1)", "return mini_batch", "UserError"),
    ],
    ids=["exit", "exit without a code", "SystemExit", "init() raises", "init() exits"],
)
def test_a_thread_keeps_no_process_that_the_script_ends_itself(longshore, init, run, category):
    longshore.data("a.txt")
    longshore.write("code/leaves.py", LEAVES.format(init, run))
    longshore.manifest(longshore.step("leaves.py", source={"uri": "code"}, errorThreshold=0, runMaxTry=2))

    ended = longshore.run(patience=60)

    assert ended.code == 1
    assert ended.first_error["category"] == category
