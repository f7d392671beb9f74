"""`python -m longshore_host.script FOLDER [PARENT]`: run the script of a script step and report its result.

`longshore_protocol.script_folder` describes the layout of FOLDER. The host's own interpreter runs the script, in a
session of its own, and nothing that the script started outlives it. SIGTERM cancels it, and so does the death of the
parent process, whose `parent_death.Link` has the argument PARENT. Exits with 0 once result.json is written, whatever
the result is.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from typing import BinaryIO, Dict, Optional

from longshore_host import orphans, parent_death, script_end
from longshore_host.echo import Echo
from longshore_host.entry import link_models
from longshore_host.environment import script_environment
from longshore_host.guard import kill_group
from longshore_host.image_source import copy_source
from longshore_host.locks import hold
from longshore_host.logs import CappedLogs
from longshore_host.memory import out_of_memory_kills, prefer_as_out_of_memory_victim
from longshore_host.wakeups import Wakeups
from longshore_protocol import clock, script_folder
from longshore_protocol.script_folder import ScriptSpec
from longshore_protocol.script_job import CANCELLED, FAILED, OUT_OF_MEMORY, SUCCEEDED, TIMED_OUT, ScriptResult
from longshore_run import context, metrics, registrations

GRACE = 10.0  # seconds between SIGTERM and SIGKILL
_INTERVAL = 1.0  # seconds between two checks of the sizes of logs
_CANCEL = {signal.SIGTERM, signal.SIGINT}


class NotStarted(Exception):
    """The script cannot be started; the message is one sentence."""


class Script:
    """One execution of the script, which the signals of `_CANCEL` among the wakeups cancel."""

    def __init__(self, spec: ScriptSpec, folder: str, wakeups: Wakeups) -> None:
        self._spec, self._wakeups = spec, wakeups
        self._source = os.path.join(folder, script_folder.SOURCE)
        self._folder = folder
        self._metrics = os.path.join(folder, script_folder.METRICS)
        self._stderr = os.path.join(spec.log_dir, script_folder.STDERR)
        self._logs = CappedLogs()
        self._echo = Echo()
        self._pid = 0
        self._code: Optional[int] = None  # once it ended; negative: the signal
        self._ending: Optional[str] = None  # the state that it is being ended with
        self._kill_at: Optional[float] = None  # monotonic

    def run(self) -> ScriptResult:
        """Run the script until it ends, is cancelled or exceeds its timeout; return the result and leave no process."""
        started, kills = clock.now(), out_of_memory_kills()
        try:
            written = self._start()
        except NotStarted as error:
            return ScriptResult(FAILED, None, str(error), {}, started, clock.now())
        try:
            code = self._watch()
        finally:
            if self._code is None:
                kill_group(self._pid)
            orphans.kill_left(os.fsencode("{}={}".format(context.VARIABLE, self._context_file())))
            self._echo.copy()
            self._logs.cap_now()
        state = self._ending or (FAILED if code else SUCCEEDED)
        killed_for_memory = code == -signal.SIGKILL and out_of_memory_kills() > kills
        message = script_end.sentence(
            self._spec.script,
            state,
            code,
            stderr=script_end.tail(self._stderr, start=written),
            timeout=self._spec.timeout,
            killed_for_memory=killed_for_memory,
        )
        reason = OUT_OF_MEMORY if state == FAILED and killed_for_memory else ""
        return ScriptResult(state, code, message, metrics.read(self._metrics), started, clock.now(), reason=reason)

    def _start(self) -> int:
        """Start the script; return the size of stderr.txt before, in bytes. Raises NotStarted."""
        if self._spec.image_source is not None:
            try:
                copy_source(self._spec.image_source, self._source)
            except (OSError, ValueError) as error:
                place, why = self._spec.image_source, script_end.cause(error)
                text = "The source folder {} of the image cannot be copied: {}.".format(place, why)
                raise NotStarted(text) from error
        if not os.path.isfile(os.path.join(self._source, self._spec.script)):
            raise NotStarted("The script {} is not in the source folder.".format(self._spec.script))

        def prepare() -> None:
            parent_death.end_with_parent(link.argument)
            prefer_as_out_of_memory_victim()

        try:
            link = parent_death.link()
            for name in ("outputs", "logs"):
                os.makedirs(os.path.join(self._source, name), exist_ok=True)
            environment = self._environment()
            link_models(self._spec.models, environment, folder=self._source)
            self._context().write(self._folder)
            with self._log(script_folder.STDOUT) as stdout, self._log(script_folder.STDERR) as stderr:
                written = stderr.tell()
                if os.environ.get("LONGSHORE_ECHO"):
                    self._echo.follow(stdout.name, start=stdout.tell(), to=sys.stdout.fileno())
                    self._echo.follow(stderr.name, start=written, to=sys.stderr.fileno())
                child = subprocess.Popen(
                    [sys.executable, "-u", self._spec.script, *self._spec.arguments],  # -u keeps output before a kill
                    cwd=self._source,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,
                    preexec_fn=prepare,  # noqa: PLW1509  (safe: the host has one thread)
                )
        except (OSError, ValueError, subprocess.SubprocessError) as error:  # ValueError: a NUL in an argument
            text = "The script {} cannot be started: {}.".format(self._spec.script, script_end.cause(error))
            raise NotStarted(text) from error
        child.returncode = 0  # `orphans.reaped` reaps it, not Popen
        self._pid = child.pid
        return written

    def _watch(self) -> int:
        """Wait for the script, and end it when it is cancelled or exceeds its timeout; return the exit code."""
        due = None if self._spec.timeout is None else time.monotonic() + self._spec.timeout
        while self._code is None:
            waits = [_INTERVAL] + [each - time.monotonic() for each in (due, self._kill_at) if each is not None]
            select.select([self._wakeups.fileno()], [], [], max(0.0, min(waits)))
            arrived = self._wakeups.take()
            self._reap()
            if self._code is not None:
                break
            if arrived & _CANCEL:
                self._end(CANCELLED)
            if due is not None and time.monotonic() >= due:
                due = None
                self._end(TIMED_OUT)
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self._kill_at = None
                kill_group(self._pid)
            self._echo.copy()
            self._logs.cap()
        return self._code

    def _end(self, state: str) -> None:
        """Send SIGTERM to the script at the first call; kill it at the second one."""
        if self._ending is None:
            self._ending, self._kill_at = state, time.monotonic() + GRACE
            kill_group(self._pid, signal.SIGTERM)
            kill_group(self._pid, signal.SIGCONT)  # a stopped process does not receive SIGTERM
        else:
            kill_group(self._pid)

    def _reap(self) -> None:
        for pid, code in orphans.reaped():
            if pid == self._pid:
                self._code = code
                kill_group(pid)  # its group; later, another process may get the id
                parent_death.forget(pid)

    def _context(self) -> context.Context:
        spec = self._spec
        return context.Context(
            log_dir=spec.log_dir,
            artifacts=self._source,
            experiment=spec.experiment,
            parent_id=spec.parent_id,
            inputs=tuple(context.Given(name, (path,), spec.tables.get(name)) for name, path in spec.inputs.items()),
            outputs=spec.outputs,
            models=spec.models,
            socket=spec.socket,
        )

    def _environment(self) -> Dict[str, str]:
        # The script finds the modules of its source folder from whatever folder of it it is in.
        environment = script_environment(self._spec.variables, self._source)
        environment[metrics.VARIABLE] = self._metrics
        environment[context.VARIABLE] = self._context_file()
        environment[registrations.VARIABLE] = os.path.join(self._folder, script_folder.REGISTRATIONS)
        return environment

    def _context_file(self) -> str:
        return os.path.join(self._folder, context.FILE)

    def _log(self, name: str) -> BinaryIO:
        os.makedirs(self._spec.log_dir, exist_ok=True)
        path = os.path.join(self._spec.log_dir, name)
        self._logs.watch(path)
        return open(path, "ab")


def main() -> int:
    """Run the script of the folder on the command line; return 0."""
    folder = os.path.abspath(sys.argv[1])
    wakeups = Wakeups(signal.SIGCHLD, *_CANCEL)  # first: a cancellation may arrive at once
    if len(sys.argv) > 2:
        parent_death.end_with_parent(sys.argv[2], by=signal.SIGTERM)  # which leaves time to end what the script started
    if "LONGSHORE_UMASK" in os.environ:  # a pod's containers may be two users of one group
        os.umask(int(os.environ["LONGSHORE_UMASK"], 8))
    orphans.adopt()
    lock = hold(os.path.join(folder, script_folder.LOCK))  # the process that collects the outputs waits for it
    with open(os.path.join(folder, script_folder.SPEC), encoding="utf-8") as file:
        spec = ScriptSpec.from_json(file.read())
    result = Script(spec, folder, wakeups).run()
    path = os.path.join(folder, script_folder.RESULT)
    with open(path + ".unfinished", "w", encoding="utf-8") as file:
        file.write(result.to_json())
    os.replace(path + ".unfinished", path)
    lock.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
