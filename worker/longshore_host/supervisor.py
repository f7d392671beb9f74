"""The host's loop: spawn children, watch them, and kill them with everything that they started.

One thread with one select() handles the agent's commands, the deaths of children, and once a second their logs' sizes.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from typing import BinaryIO, Callable, Dict, Optional, Tuple

from longshore_host import dumps, orphans, parent_death, script_end
from longshore_host.connection import Connection, ConnectionLost
from longshore_host.container_log import ContainerLog
from longshore_host.devices import VISIBLE, visible_devices
from longshore_host.environment import script_environment
from longshore_host.guard import kill_group
from longshore_host.logs import CappedLogs
from longshore_host.memory import out_of_memory_kills
from longshore_host.wakeups import Wakeups
from longshore_protocol import messages
from longshore_protocol.messages import HostSpec
from longshore_protocol.wire import process_name
from longshore_run import context

PROCESS_VARIABLE = context.PROCESS  # names the child in the environment of all that it starts


class Supervisor:
    """Runs the children that one agent requests, until it sends stop or its connection is lost."""

    def __init__(
        self,
        connection: Connection,
        spec: HostSpec,
        *,
        socket_path: str,
        is_ending: Callable[[], bool],
        container_log: ContainerLog,
    ) -> None:
        self._connection = connection
        self._spec = spec
        self._socket_path = socket_path
        self._is_ending = is_ending  # looked at after every signal
        self._alive: Dict[int, int] = {}  # pid of each child -> its process number
        self._groups: Dict[int, int] = {}  # process number -> pid, which is its process group too
        self._written: Dict[int, int] = {}  # bytes that the stderr log of each process had when it was spawned
        self._kill_at: Dict[int, float] = {}  # monotonic, of processes that dump their stacks first
        self._killed: Dict[int, str] = {}  # processes that the agent had killed -> reason, "" for none
        self._logs = CappedLogs()
        self._container_log = container_log
        self._kills_seen = out_of_memory_kills()

    def run(self) -> bool:
        """Serve the agent; return True once it sends stop or the host is ending, False if the connection is lost.

        No child is left either way.
        """
        wakeups = Wakeups(signal.SIGCHLD)
        try:
            return self._serve(wakeups)
        except ConnectionLost:
            return False
        finally:
            self._kill_everything()
            self._container_log.close()
            wakeups.close()

    def _serve(self, wakeups: Wakeups) -> bool:
        socket, signals = self._connection.fileno(), wakeups.fileno()
        while not self._is_ending():
            patience = 0.0 if self._connection.has_received() else self._patience()
            ready, _, _ = select.select([socket, signals, *self._container_log.to_select()], [], [], patience)
            self._container_log.take()
            if signals in ready:
                wakeups.take()
            self._reap()
            self._kill_dumped()
            if socket in ready or self._connection.has_received():
                for header, _ in self._connection.receive_ready():
                    if header[0] == messages.SPAWN:
                        try:
                            self._spawn(header[1], header[2])
                        except FileNotFoundError:
                            if os.path.isdir(self._spec.work_dir):
                                raise
                            return True  # the agent has ended and removed its folder
                    elif header[0] == messages.KILL:
                        self._kill(header[1], header[2])
                    elif header[0] == messages.STOP:
                        return True
            self._logs.cap()
        return True

    def _spawn(self, process: int, slot: int) -> None:
        name = process_name(process)
        folder = os.path.join(self._spec.work_dir, name)
        if not os.path.isdir(folder):
            os.mkdir(folder)  # without parents: the folder of an agent that has ended must stay removed
        self._context().write(self._spec.work_dir)  # for each child: a script may have changed it
        self._logs.watch(context.entry_script_log(self._spec.log_dir, worker=self._spec.worker, process=name))
        link = parent_death.link()
        command = [sys.executable, "-m", "longshore_host.child", self._socket_path, str(process), link.argument]
        records = self._container_log.to_pass()
        command += map(str, records)
        with self._log("stdout", name) as stdout, self._log("stderr", name) as stderr:
            self._written[process] = stderr.tell()
            # In a session of its own it is killed as a group, and gets no Ctrl-C from the terminal.
            child = subprocess.Popen(
                command,
                cwd=folder,
                env=self._environment(name, slot),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                pass_fds=(*link.descriptors, *records),
            )
        child.returncode = 0  # `orphans.reaped` reaps it, not Popen
        self._alive[child.pid] = process
        self._groups[process] = child.pid

    def _environment(self, name: str, slot: int) -> Dict[str, str]:
        spec = self._spec
        environment = script_environment(spec.variables)
        devices = visible_devices(slot, processes=spec.processes, gpus=spec.gpus, environment=environment)
        if devices is not None:
            environment[VISIBLE] = devices
        environment[PROCESS_VARIABLE] = name
        environment[context.VARIABLE] = self._context_file()
        return environment

    def _context(self) -> context.Context:
        spec = self._spec
        return context.Context(
            log_dir=spec.log_dir,
            worker=spec.worker,
            experiment=spec.experiment,
            parent_id=spec.parent_id,
            inputs=tuple(
                context.Given(each.name, each.paths, None if each.tabular is None else vars(each.tabular))
                for each in spec.inputs
            ),
            outputs={spec.output.name: spec.output_dir},
            models=spec.models,
            socket=self._socket_path,
        )

    def _log_path(self, stream: str, name: str) -> str:
        return os.path.join(self._spec.log_dir, "user", stream, self._spec.worker, "{}.{}.txt".format(name, stream))

    def _log(self, stream: str, name: str) -> BinaryIO:
        path = self._log_path(stream, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._logs.watch(path)
        return open(path, "ab")

    def _kill(self, process: int, why: str) -> None:
        """Kill a process: at once, or after a dump of its stacks below a line with the reason `why`."""
        group = self._groups.get(process)
        if group is None:
            return
        self._killed.setdefault(process, why)
        if why and process not in self._kill_at:
            dumps.request(group, self._log_path("stderr", process_name(process)), why)
            self._kill_at[process] = time.monotonic() + dumps.SECONDS
        else:
            kill_group(group)

    def _kill_dumped(self) -> None:
        now = time.monotonic()
        for process in [each for each, at in self._kill_at.items() if at <= now]:
            del self._kill_at[process]
            kill_group(self._groups[process])

    def _patience(self) -> Optional[float]:
        """Return the seconds until the next deadline, None for no deadline."""
        if self._kill_at:
            return max(0.0, min(1.0, min(self._kill_at.values()) - time.monotonic()))
        return 1.0 if self._alive else None

    def _reap(self) -> None:
        for pid, code in orphans.reaped():
            process = self._alive.pop(pid, None)
            if process is not None:
                self._after_death(process, pid, code)

    def _after_death(self, process: int, pid: int, code: int) -> None:
        kills = out_of_memory_kills() if code == -signal.SIGKILL else self._kills_seen
        killed_for_memory, self._kills_seen = kills > self._kills_seen, kills
        del self._groups[process]
        self._kill_at.pop(process, None)
        kill_group(pid)
        parent_death.forget(pid)
        self._kill_orphans(process_name(process))
        shutil.rmtree(os.path.join(self._spec.work_dir, process_name(process)), ignore_errors=True)
        last_line, stacks = self._last_error(process, code)
        self._log_death(process, code, killed_for_memory=killed_for_memory, last_line=last_line)
        self._connection.send([messages.EXITED, process, code, killed_for_memory, last_line, stacks])

    def _last_error(self, process: int, code: int) -> Tuple[str, str]:
        """Return the last line and the stacks in the stderr of a process, for `messages.EXITED`."""
        written = self._written.pop(process, 0)
        if code == 0:
            return "", ""
        stderr = script_end.tail(self._log_path("stderr", process_name(process)), start=written)
        last_line, stacks = dumps.last_error(stderr, self._spec.source)
        return last_line or (script_end.last_line(stderr) if code > 0 else ""), stacks

    def _log_death(self, process: int, code: int, *, killed_for_memory: bool, last_line: str) -> None:
        why = self._killed.pop(process, None)
        if code == 0 or why == "":
            return
        if why is not None:
            text = "{}; the process was killed".format(why)
        elif killed_for_memory:
            text = "the process was killed because memory ran out"
        else:
            text = "the process {}".format(script_end.how(code))
        self._container_log.ended(process, "{}: {}".format(text, last_line) if last_line else text)

    def _kill_orphans(self, name: str = "") -> None:
        """Kill what a dead child left behind in sessions of its own, by the child's name; "": what any child left."""
        run = os.fsencode("{}={}".format(context.VARIABLE, self._context_file()))
        process = os.fsencode("{}={}".format(PROCESS_VARIABLE, name)) if name else b""
        orphans.kill_left(run, process, spare=self._alive)

    def _context_file(self) -> str:
        return os.path.join(self._spec.work_dir, context.FILE)

    def _kill_everything(self) -> None:
        for group in list(self._groups.values()):
            kill_group(group)
        for pid in list(self._alive):
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass
            parent_death.forget(pid)
        self._alive.clear()
        self._groups.clear()
        self._kill_orphans()
        self._logs.cap_now()
        shutil.rmtree(self._spec.work_dir, ignore_errors=True)
