"""One process that runs the entry script: `python -m longshore_host.child SOCKET PROCESS HOST`.

It imports the script, calls init() once, then run() for each mini-batch the agent sends, in order; with an asynchronous
script, `at_once` does that. Whatever the script raises becomes a message; whatever kills the process is noticed by the
host.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import signal
import sys
import threading
import time
from typing import Any, Callable, List, Optional, Tuple

from longshore_protocol.importing import importing

with importing():  # mini-batches wait for these
    from longshore_host import dumps, entry, parent_death, rows
    from longshore_host.connection import Connection, ConnectionLost, connect
    from longshore_host.devices import device_of
    from longshore_host.logs import LIMIT
    from longshore_host.memory import prefer_as_out_of_memory_victim, reuse_freed_memory
    from longshore_protocol import errors, messages, slices
    from longshore_protocol.messages import HostSpec, InputSpec
    from longshore_protocol.reading import read
    from longshore_protocol.wire import process_name

_NAMED_ITEMS = 5  # of a failed mini-batch, in the log of its error
_THREADS_SECONDS = 3.0  # that threads of the script get to end after shutdown()
_clock, _cpu_clock = time.perf_counter, time.process_time


class Child:
    """The loop of one process, and what it has in common with those of `at_once`."""

    def __init__(self, connection: Connection, spec: HostSpec, script: entry.EntryScript, process: int) -> None:
        self.connection = connection
        self.script = script
        self.inputs = spec.inputs
        self.run_timeout = spec.run_timeout
        self._errors_log = os.path.join(spec.log_dir, "user", "error", spec.worker, process_name(process) + ".txt")
        self.load_table = _table_loader(spec)
        settings = rows.read_settings(os.path.dirname(os.path.join(spec.source, spec.entry_script)))
        self.renderer = rows.Renderer(spec.output, settings)

    def serve(self) -> None:
        """Run what the agent sends until it says shutdown. Raises ConnectionLost, SystemExit from the script."""
        while True:
            for header, body in self.connection.receive_ready():
                if header[0] == messages.RUN:
                    for (mini_batch, attempt, input_index), piece in zip(header[1], json.loads(body.decode())):
                        self._run(mini_batch, attempt, input_index, piece)
                elif header[0] == messages.SHUTDOWN:
                    self.shut_down()
                    return

    def shut_down(self) -> None:
        """Let the script end in order, and say so."""
        if self.script.shutdown is not None:
            self.script.call(self.script.shutdown)
        self.connection.send([messages.BYE])

    def _run(self, mini_batch: int, attempt: int, input_index: int, piece: Any) -> None:
        started, begin, cpu = time.time(), _clock(), _cpu_clock()
        given = self.inputs[input_index]
        items: Any = piece
        count = -1
        try:
            if given.tabular is not None:
                items = self.load_table(piece, given.tabular)
                self.connection.send([messages.LOADED, mini_batch, attempt])
            elif type(piece) is dict:
                items = piece["files"]
            count = len(items)
            running = _clock()
            if not count:  # no record begins in this cut: where it fell is no concern of the script's
                result: Any = []
            elif self.script.takes_context:
                result = self.script.run(items, self.context(mini_batch, attempt, given, items, piece))
            else:
                result = self.script.run(items)
            ran = _clock()
            rendered = self.renderer.render(result)
        except ConnectionLost:
            raise
        except BaseException as error:
            times = (started, _clock() - begin)
            self.failed(mini_batch, attempt, error, where=(given, piece), items=count, times=times)
            if isinstance(error, SystemExit):
                raise
            return
        used, times = _cpu_clock() - cpu, (started, _clock() - begin)
        self.done(mini_batch, attempt, rendered, items=count, times=times, run=ran - running, cpu=used)

    def context(
        self, mini_batch: int, attempt: int, given: InputSpec, items: Any, piece: Any
    ) -> entry.MiniBatchContext:
        """Return the second argument of a run() that begins now."""
        deadline = time.time() + self.run_timeout
        made = entry.MiniBatchContext(
            mini_batch=mini_batch, attempt=attempt, given=given, items=items, deadline=deadline
        )
        if "partition" in piece:
            made.partition_key_value = slices.values(piece["partition"])
        return made

    def done(
        self,
        mini_batch: int,
        attempt: int,
        rendered: rows.Rendered,
        *,
        items: int,
        times: Tuple[float, float],
        run: float,
        cpu: float,
    ) -> None:
        """Say that a mini-batch is done: `times` are the Unix time of its begin and seconds, as are the other two."""
        self.connection.send(
            [
                messages.DONE,
                mini_batch,
                attempt,
                rendered.succeeded,
                items,
                int(times[0] * 1e6),
                int(times[1] * 1e6),
                int(run * 1e6),
                int(cpu * 1e6),
                rendered.header,
            ],
            rendered.data,
        )

    def failed(
        self,
        mini_batch: int,
        attempt: int,
        error: BaseException,
        *,
        where: Tuple[InputSpec, Any],
        items: int,
        times: Tuple[float, float],
        said: Optional[Tuple[str, str, str]] = None,
    ) -> None:
        """Say that a mini-batch, this slice of an input, failed, for `said` or what the error says."""
        given, piece = where
        try:
            self._log_error(mini_batch, attempt, error, slices.item_names(piece, _NAMED_ITEMS))
        except Exception as trouble:  # noqa: BLE001  (a full disk, or an exception that raises when it is looked at)
            _note("the traceback of mini-batch {} is not in the log: {!r}".format(mini_batch, trouble))
        words = said or _explain(error, slices.files_of(piece) if given.tabular is None else [])
        self.connection.send([messages.FAILED, mini_batch, attempt, items, *words, *times])

    def _log_error(self, mini_batch: int, attempt: int, error: BaseException, items: List[str]) -> None:
        os.makedirs(os.path.dirname(self._errors_log), exist_ok=True)
        with open(self._errors_log, "a", encoding="utf-8", errors="backslashreplace") as file:
            if file.tell() < LIMIT:  # the first tracebacks tell most, and a disk is not endless
                text = "mini-batch {}, attempt {}: {}\n{}\n\n"
                file.write(text.format(mini_batch, attempt, ", ".join(items), entry.full_traceback(error)))


def _table_loader(spec: HostSpec) -> Any:
    """Return what reads tables, with all that it imports; None where no input is tabular.

    Raises EntryScriptError when the environment lacks a package: before the first mini-batch, not once for each.
    """
    tables = [given.tabular for given in spec.inputs if given.tabular is not None]
    if not tables:
        return None
    formats = {each.format for each in tables if not each.as_dicts}
    for package in ["pandas"] * bool(formats) + ["pyarrow.parquet"] * ("parquet" in formats):
        try:
            importlib.import_module(package)
        except ImportError as error:
            message = "a {} input needs the Python package {} in the environment: {}"
            text = message.format(" or ".join(sorted(formats)), package.split(".")[0], entry.one_line(error))
            raise entry.EntryScriptError(text) from error
    reuse_freed_memory()
    from longshore_host.tabular import load

    return load


def _explain(error: BaseException, items: List[Any]) -> Tuple[str, str, str]:
    """Return category, one-line message and traceback of what run() or its surroundings raised."""
    try:
        return _words(error, items)
    except Exception:  # noqa: BLE001  (the script's own exception classes may raise wherever they are looked at)
        return errors.USER_ERROR, "{}: {}".format(type(error).__name__, entry.NO_TEXT), ""


def _words(error: BaseException, items: List[Any]) -> Tuple[str, str, str]:
    if isinstance(error, rows.WrongReturn):
        return errors.WRONG_RETURN, str(error), ""
    if type(error).__name__ == "SliceError":  # from the late-imported longshore_host.tabular
        return getattr(error, "category", errors.DATA_ERROR), str(error), ""
    if isinstance(error, SystemExit):
        message = "the entry script called sys.exit({!r}) in run()".format(error.code)
        return errors.PROCESS_DIED, message, entry.short_traceback(error)
    return entry.category_of(error, items), entry.one_line(error), entry.short_traceback(error)


def _note(text: str) -> None:
    """Write a line to stderr, which a script may have closed."""
    try:
        sys.stderr.write("longshore: {}\n".format(text))
    except Exception:  # noqa: BLE001, S110
        pass


def _start(connection: Connection, spec: HostSpec, process: int) -> Callable[[], None]:
    """Prepare the process and the script, and return what serves the agent. Raises EntryScriptError."""
    began = _clock()
    # What is printed survives a kill, and names of files that are no UTF-8 can be printed.
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    entry.set_up_logging(spec.logging_level)
    entry.link_models(spec.models, os.environ)
    try:
        child = Child(connection, spec, entry.load(spec), process)
    except rows.SettingsError as error:
        raise entry.EntryScriptError(str(error)) from error
    if child.script.shape is entry.Shape.IN_ORDER:
        connection.send([messages.READY, _clock() - began])
        return child.serve
    from longshore_host.at_once import Coroutines, Queue  # no other script waits for what it imports

    loop = Coroutines(child) if child.script.shape is entry.Shape.COROUTINES else Queue(child)
    connection.send([messages.READY, _clock() - began, loop.grace])
    return loop.serve


def main() -> int:
    """Run one child process: 0 after an orderly end, 1 when the script could not be used or the agent is gone."""
    socket_path, process = sys.argv[1], int(sys.argv[2])
    parent_death.end_with_parent(sys.argv[3])
    prefer_as_out_of_memory_victim()
    dumps.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = connect(socket_path, 30.0)
    if connection is None:
        return 1
    # A copy that the script forks, and that comes back here, must neither answer in our name nor read what is ours.
    os.register_at_fork(after_in_child=connection.give_up)
    try:
        connection.send([messages.HELLO_CHILD, process, os.getpid(), device_of(os.environ)])
        spec = read(HostSpec, connection.receive()[1])
        try:
            serve = _start(connection, spec, process)
        except entry.EntryScriptError as error:
            connection.send([messages.INIT_FAILED, error.category, str(error), error.trace])
            sys.stderr.write((error.trace or str(error)) + "\n")
            _end_without_threads(1)
            return 1
        if spec.profiling_module is None:
            serve()
        else:
            _profile(spec, process, serve)
    except ConnectionLost:
        return 1
    except SystemExit:  # the script's, in run(): the agent waits for this process to end
        _end_without_threads(1)
        raise
    _end_without_threads(0)
    return 0


def _end_without_threads(code: int) -> None:
    """See to it that the process ends although the script left threads running that the interpreter would wait for.

    `code` is the exit code that it has then.
    """
    through = threading.Event()

    def watch() -> None:
        if through.wait(_THREADS_SECONDS):
            return
        left = [each.name for each in threading.enumerate() if each is not threading.main_thread() and not each.daemon]
        text = (
            "longshore: the process ends although the script left threads running: {}; "
            "end them in shutdown(), or start them with daemon=True\n"
        )
        sys.stderr.write(text.format(", ".join(left)))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    atexit.register(through.set)  # called once the interpreter has waited for all threads, and before other handlers
    threading.Thread(target=watch, name="longshore-end", daemon=True).start()


def _profile(spec: HostSpec, process: int, serve: Callable[[], None]) -> None:
    """Serve under the step's profilingModule; one file of statistics per process."""
    profile = __import__(str(spec.profiling_module)).Profile()
    folder = os.path.join(spec.log_dir, "sys", "node", spec.worker)
    os.makedirs(folder, exist_ok=True)
    try:
        profile.runcall(serve)
    finally:
        profile.dump_stats(os.path.join(folder, process_name(process) + ".profile"))


if __name__ == "__main__":
    sys.exit(main())
