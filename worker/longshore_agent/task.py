"""`python -m longshore_agent.task prepare|collect|transfer JOB [FOLDER]`: the agent's commands in the pod of a task.

prepare   prepares FOLDER for the host: source, inputs, outputs
collect   answers requests of the script until the host exits, then uploads logs, artifacts and outputs
transfer  copies a file or a folder between stores

JOB is a file with a ScriptJob, or for `transfer` with {"source", "destination", "timeout"}. The ScriptResult goes to
the file --last-words: by `prepare` only on failure, by `collect` only if the host wrote one. The exit code is 0 after a
success.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from longshore_protocol.importing import importing

with importing():  # scripts wait for these
    from longshore_agent.request_server import requests_of_script, serving
    from longshore_agent.result_message import result_message
    from longshore_agent.script_data import ScriptDataError, collect, prepare
    from longshore_agent.transfer import error_message, transfer
    from longshore_protocol import clock, script_folder
    from longshore_protocol.redaction import redacted
    from longshore_protocol.script_job import (
        CANCELLED,
        FAILED,
        SUCCEEDED,
        TIMED_OUT,
        TRANSFER_FAILED,
        ScriptJob,
        ScriptResult,
    )
    from longshore_protocol.termination import leave
    from longshore_storage import beneath

_POLL = 0.1  # seconds between two checks for a host that has not started
_START = 10.0  # seconds to wait for the host to start after the pod received SIGTERM
_AGAIN = 5.0  # seconds until a copy that ignored its timeout is interrupted again
_NO_RESULT = "The host of the script was killed before it wrote a result."


def main() -> int:
    """Run the command; return its exit code."""
    options = _options()
    if "LONGSHORE_UMASK" in os.environ:
        os.umask(int(os.environ["LONGSHORE_UMASK"], 8))
    with open(options.job, encoding="utf-8") as file:
        job = file.read()
    match options.command:
        case "prepare":
            result = _prepare(ScriptJob.from_json(job), options)
        case "collect":
            result = _collect(ScriptJob.from_json(job), options.folder)
        case _:
            result = _transfer(json.loads(job))
    if isinstance(result, ScriptResult):
        leave(options.last_words, result_message(result))
        _log(f"{result.state}: {result.message}")
        result = 0 if result.state == SUCCEEDED else 1
    return result


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="longshore_agent.task", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    preparing, collecting = commands.add_parser("prepare"), commands.add_parser("collect")
    copying = commands.add_parser("transfer")
    for each in (preparing, collecting, copying):
        each.add_argument("job")
        each.add_argument("--last-words", help="the container's termination log")
    for each in (preparing, collecting):
        each.add_argument("folder")
    sources = preparing.add_mutually_exclusive_group()
    sources.add_argument("--source", help="location of the source, instead of the one in the job")
    sources.add_argument("--image-source", help="source folder in the host's image")
    return parser.parse_args()


def _log(text: str) -> None:
    sys.stderr.write(f"longshore-task: {text}\n")


# --- a script ----------------------------------------------------------------------------------------------------


def _prepare(job: ScriptJob, options: argparse.Namespace) -> ScriptResult | int:
    # The kernel drops signals without a handler for the first process of a container.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
    started = clock.now()
    if options.source:
        job = replace(job, source_uri=options.source)
    try:
        git = prepare(job, options.folder, image_source=options.image_source)
    except ScriptDataError as error:
        return ScriptResult(FAILED, None, str(error), {}, started, clock.now(), reason=error.reason)
    with open(os.path.join(options.folder, script_folder.GIT), "w", encoding="utf-8") as file:
        json.dump(git, file)
    return 0


def _collect(job: ScriptJob, folder: str) -> ScriptResult | int:
    named = os.environ.get("LONGSHORE_STAGE_DIR", os.path.join(folder, script_folder.NAMED))
    with serving(os.path.join(folder, script_folder.SOCKET), lambda: requests_of_script(job, folder, named)):
        if not _await_host(folder):
            _log("the pod is terminating, and the host never started")
            return 1
    has_result = os.path.lexists(os.path.join(folder, script_folder.RESULT))
    result = collect(job, folder, git=_git(folder), otherwise=_NO_RESULT)
    if not has_result:  # logs are uploaded; the operator derives the outcome from the status of the host's container
        _log(result.message)
        return 1
    return result


def _await_host(folder: str) -> bool:
    """Wait until the host exits; return False if it never starts because the pod is terminating.

    The host receives SIGTERM as well and ends its script, whose results must still be collected.
    """
    give_up: list[float] = []
    signal.signal(signal.SIGTERM, lambda *_: give_up.append(time.monotonic() + _START))
    lock = os.path.join(folder, script_folder.LOCK)
    while not os.path.exists(lock):
        if give_up and time.monotonic() >= give_up[0]:
            return False
        time.sleep(_POLL)
    with open(lock, "rb", opener=beneath.open_file) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
    return True


def _git(folder: str) -> dict[str, Any] | None:
    """Return the git state that `prepare` wrote, validated: the script can overwrite the file."""
    try:
        with open(os.path.join(folder, script_folder.GIT), encoding="utf-8", opener=beneath.open_file) as file:
            raw = json.load(file)
    except (OSError, ValueError):
        return None
    texts = ("repository", "branch", "commit")
    is_git = isinstance(raw, dict) and all(isinstance(raw.get(name), str) for name in texts)
    return {**{name: raw[name] for name in texts}, "dirty": raw.get("dirty") is True} if is_git else None


# --- a copy ------------------------------------------------------------------------------------------------------


class _Ended(BaseException):  # not an Exception, so that no library handles it
    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


def _transfer(job: dict[str, Any]) -> ScriptResult:
    source, destination, timeout = job["source"], job["destination"], job.get("timeout")
    started, reason = clock.now(), ""
    try:
        with _ended_by(timeout):
            count = transfer(source, destination, check=lambda: None)
        state, message = SUCCEEDED, f"{count} files in {clock.now() - started:.1f} s"
    except _Ended as end:
        state, limit = end.state, "" if end.state == CANCELLED else f" within the limit of {timeout:g} s"
        message = redacted(f'"{source}" was not copied to "{destination}"{limit}')
    except Exception as error:  # noqa: BLE001  (each store's library raises its own)
        state, message, reason = FAILED, error_message(source, destination, error), TRANSFER_FAILED
    return ScriptResult(state, None, message, {}, started, clock.now(), reason=reason)


@contextlib.contextmanager
def _ended_by(timeout: float | None) -> Iterator[None]:
    """Raise _Ended inside at the timeout or at SIGTERM, so that half-written objects are discarded."""

    def end(number: int, _: Any) -> None:
        raise _Ended(TIMED_OUT if number == signal.SIGALRM else CANCELLED)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGALRM, end)
    if timeout is not None:
        signal.setitimer(signal.ITIMER_REAL, max(timeout, 0.001), _AGAIN)
    try:
        yield
    finally:
        for number in (signal.SIGALRM, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # do not wait for threads of a store's library
