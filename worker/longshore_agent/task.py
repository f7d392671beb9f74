"""`python -m longshore_agent.task prepare|collect|transfer JOB [FOLDER]`: what a task's pod does beside scripts.

prepare   lays FOLDER out for the host: source, inputs, outputs
collect   waits for the host's end, then takes away logs, artifacts and outputs
transfer  copies a file or a folder between stores

JOB is a file: a ScriptJob, or {"source", "destination", "timeout"}. The result goes to the file --last-words, as a
ScriptResult: of `prepare` only where it fails, of `collect` only where the host left one. Ends with 0 after a success.
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
    from longshore_agent.last_words import last_words
    from longshore_agent.script_data import ScriptDataError, collect, prepare
    from longshore_agent.transfer import error_message, transfer
    from longshore_protocol import clock, script_folder
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
    from longshore_storage.redaction import redacted

_LOOK = 0.1  # seconds between two looks for a host that has not started
_START = 10.0  # seconds that a host may still take to start when the pod is to end
_AGAIN = 5.0  # seconds until a copy that went on beyond its end is told again
_NO_RESULT = "The host of the script was killed, and left no result."


def main() -> int:
    """Carry out the command."""
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
        leave(options.last_words, last_words(result))
        _say(f"{result.state}: {result.message}")
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
    places = preparing.add_mutually_exclusive_group()
    places.add_argument("--source", help="where the source is, if not where the job says")
    places.add_argument("--image-source", help="the source folder in the host's image, if it is there")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stderr.write(f"longshore-task: {text}\n")


# --- a script ----------------------------------------------------------------------------------------------------


def _prepare(job: ScriptJob, options: argparse.Namespace) -> ScriptResult | int:
    # The first process of a container gets no signal that it has no handler for.
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
    if not _await_host(folder):
        _say("the pod is to end, and the host never started")
        return 1
    has_result = os.path.lexists(os.path.join(folder, script_folder.RESULT))
    result = collect(job, folder, git=_git(folder), otherwise=_NO_RESULT)
    if not has_result:  # its logs are kept; how it ended is for whoever sees what became of the host's container
        _say(result.message)
        return 1
    return result


def _await_host(folder: str) -> bool:
    """Wait for the host's end; False for one that does not start and is not going to, as the pod is to end.

    SIGTERM comes to the host as well, which ends its script: what is left then is still to be collected.
    """
    give_up: list[float] = []
    signal.signal(signal.SIGTERM, lambda *_: give_up.append(time.monotonic() + _START))
    lock = os.path.join(folder, script_folder.LOCK)
    while not os.path.exists(lock):
        if give_up and time.monotonic() >= give_up[0]:
            return False
        time.sleep(_LOOK)
    with open(lock, "rb", opener=beneath.open_file) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
    return True


def _git(folder: str) -> dict[str, Any] | None:
    """Return what `prepare` noted of the source; the script may have written there since."""
    try:
        with open(os.path.join(folder, script_folder.GIT), encoding="utf-8", opener=beneath.open_file) as file:
            raw = json.load(file)
    except (OSError, ValueError):
        return None
    texts = ("repository", "branch", "commit")
    is_git = isinstance(raw, dict) and all(isinstance(raw.get(name), str) for name in texts)
    return {**{name: raw[name] for name in texts}, "dirty": raw.get("dirty") is True} if is_git else None


# --- a copy ------------------------------------------------------------------------------------------------------


class _Ended(BaseException):  # no library takes it for an error of its own
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
        message = redacted(f"{source} was not copied to {destination}{limit}")
    except Exception as error:  # noqa: BLE001  (each store's library raises its own)
        state, message, reason = FAILED, error_message(source, destination, error), TRANSFER_FAILED
    return ScriptResult(state, None, message, {}, started, clock.now(), reason=reason)


@contextlib.contextmanager
def _ended_by(timeout: float | None) -> Iterator[None]:
    """Raise _Ended inside when the time is up, or at SIGTERM: a half-written object is given up as after an error."""

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
    os._exit(code)  # threads of a store's library, which may wait for an answer that nobody needs any more
