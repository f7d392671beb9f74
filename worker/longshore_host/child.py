"""One process that runs the entry script: `python -m longshore_host.child SOCKET PROCESS HOST [RECORDS]`.

It imports the script and calls init() once. Then it calls run() for each mini-batch that the agent sends, in order; for
an asynchronous script, `concurrent_runs` does that. An error of the script becomes a message; the host notices when the
process dies.
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
    from longshore_host import dumps, entry, parent_death, records, rows
    from longshore_host.connection import Connection, ConnectionLost, connect
    from longshore_host.devices import device_of
    from longshore_host.logs import LIMIT
    from longshore_host.memory import prefer_as_out_of_memory_victim, reuse_freed_memory
    from longshore_protocol import errors, messages, slices
    from longshore_protocol.messages import HostSpec, InputSpec
    from longshore_protocol.reading import read
    from longshore_protocol.wire import process_name
    from longshore_run import registrations

_NAMED_ITEMS = 5  # items of a failed mini-batch that the log of its error names
_THREADS_SECONDS = 3.0  # for threads of the script to end after shutdown()
_clock, _cpu_clock = time.perf_counter, time.process_time


class Child:
    """The loop of one process, and its parts that `concurrent_runs` shares."""

    def __init__(
        self,
        connection: Connection,
        spec: HostSpec,
        script: entry.EntryScript,
        process: int,
        sent: records.Records,
    ) -> None:
        self.connection = connection
        self.records = sent
        self.script = script
        self.inputs = spec.inputs
        self.run_timeout = spec.run_timeout
        self._registrations = ""  # folder for what shutdown() registers
        if script.shutdown is not None and spec.registrations:
            self._registrations = os.path.join(spec.registrations, process_name(process))
            os.makedirs(self._registrations, exist_ok=True)  # by which the agent knows that there is a shutdown()
        self._errors_log = os.path.join(spec.log_dir, "user", "error", spec.worker, process_name(process) + ".txt")
        self.load_table = _table_loader(spec)
        settings = rows.read_settings(os.path.dirname(os.path.join(spec.source, spec.entry_script)))
        self.renderer = rows.Renderer(spec.output, settings)

    def serve(self) -> None:
        """Run mini-batches until the agent sends shutdown. Raises ConnectionLost, SystemExit of the script."""
        while True:
            for header, body in self.connection.receive_ready():
                if header[0] == messages.RUN:
                    for (mini_batch, attempt, input_index), piece in zip(header[1], json.loads(body.decode())):
                        self._run(mini_batch, attempt, input_index, piece)
                elif header[0] == messages.SHUTDOWN:
                    self.shut_down()
                    return

    def shut_down(self) -> None:
        """Call the script's shutdown() and report the end of this process."""
        if self.script.shutdown is not None:
            if self._registrations:
                os.environ[registrations.VARIABLE] = self._registrations
            self.script.call(self.script.shutdown)
        self.connection.send([messages.BYE])

    def _run(self, mini_batch: int, attempt: int, input_index: int, piece: Any) -> None:
        started, begin, cpu = time.time(), _clock(), _cpu_clock()
        self.records.mini_batch = mini_batch
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
            if not count:  # no record begins in this cut, so the script has nothing to run
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
        """Return the context for a run() that begins now."""
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
        """Report a finished mini-batch.

        Args:
            mini_batch: Its number.
            attempt: The attempt, from 1.
            rendered: Its rows.
            items: The number of its items.
            times: The Unix time of its begin, and the seconds since then.
            run: The seconds in run().
            cpu: The seconds of processor time.
        """
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
        report: Optional[Tuple[str, str, str]] = None,
    ) -> None:
        """Report a failed mini-batch.

        Args:
            mini_batch: Its number.
            attempt: The attempt, from 1.
            error: The exception.
            where: The input and the slice of it.
            items: The number of its items, -1 while unknown.
            times: The Unix time of its begin, and the seconds since then.
            report: Category, message and traceback; None for those of the error.
        """
        given, piece = where
        try:
            self._log_error(mini_batch, attempt, error, slices.item_names(piece, _NAMED_ITEMS))
        except Exception as failure:  # noqa: BLE001  (a full disk, or an exception that raises when it is formatted)
            _log("the traceback of mini-batch {} is not in the log: {!r}".format(mini_batch, failure))
        described = report or _describe(error, slices.files_of(piece) if given.tabular is None else [])
        text = "attempt {}: {}: {}{}".format(attempt, *described[:2], records.position(described[2]))
        self.records.add("ERROR", text, mini_batch)
        self.connection.send([messages.FAILED, mini_batch, attempt, items, *described, *times])

    def _log_error(self, mini_batch: int, attempt: int, error: BaseException, items: List[str]) -> None:
        os.makedirs(os.path.dirname(self._errors_log), exist_ok=True)
        with open(self._errors_log, "a", encoding="utf-8", errors="backslashreplace") as file:
            if file.tell() < LIMIT:  # the first tracebacks matter most, and the disk is limited
                text = "mini-batch {}, attempt {}: {}\n{}\n\n"
                file.write(text.format(mini_batch, attempt, ", ".join(items), entry.full_traceback(error)))


def _table_loader(spec: HostSpec) -> Any:
    """Import what reads tables and return the function that does; None if no input is tabular.

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


def _describe(error: BaseException, items: List[Any]) -> Tuple[str, str, str]:
    """Return category, one-line message and traceback of an error in or around run()."""
    try:
        return _describe_safely(error, items)
    except Exception:  # noqa: BLE001  (the script's exception classes may raise in any method)
        return errors.USER_ERROR, "{}: {}".format(type(error).__name__, entry.NO_TEXT), ""


def _describe_safely(error: BaseException, items: List[Any]) -> Tuple[str, str, str]:
    if isinstance(error, rows.WrongReturn):
        return errors.WRONG_RETURN, str(error), ""
    if type(error).__name__ == "SliceError":  # from the late-imported longshore_host.tabular
        return getattr(error, "category", errors.DATA_ERROR), str(error), ""
    if isinstance(error, SystemExit):
        message = "the entry script called sys.exit({!r}) in run()".format(error.code)
        return errors.PROCESS_DIED, message, entry.short_traceback(error)
    return entry.category_of(error, items), entry.one_line(error), entry.short_traceback(error)


def _log(text: str) -> None:
    """Write a line to stderr, which a script may have closed."""
    try:
        sys.stderr.write("longshore: {}\n".format(text))
    except Exception:  # noqa: BLE001, S110
        pass


def _start(connection: Connection, spec: HostSpec, process: int, sent: records.Records) -> Callable[[], None]:
    """Prepare the process and the script; return the function that serves the agent. Raises EntryScriptError."""
    began = _clock()
    # Printed lines survive a kill, and names of files that are not UTF-8 can be printed.
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    if spec.container_log == records.ALL:
        records.copy_output(sent)
    entry.set_up_logging(spec.logging_level)
    if spec.container_log == records.FAILURES:
        records.watch_warnings(sent)
    entry.link_models(spec.models, os.environ)
    try:
        child = Child(connection, spec, entry.load(spec), process, sent)
    except rows.SettingsError as error:
        raise entry.EntryScriptError(str(error)) from error
    if child.script.shape is entry.Shape.IN_ORDER:
        connection.send([messages.READY, _clock() - began])
        return child.serve
    from longshore_host.concurrent_runs import Coroutines, Queue  # late: other scripts need none of its imports

    loop = Coroutines(child) if child.script.shape is entry.Shape.COROUTINES else Queue(child)
    connection.send([messages.READY, _clock() - began, loop.grace])
    return loop.serve


def main() -> int:
    """Run one child process; return 0 after an orderly end, 1 for an unusable script or a lost agent."""
    socket_path, process = sys.argv[1], int(sys.argv[2])
    sent = records.open_records("".join(sys.argv[4:]), process)
    parent_death.end_with_parent(sys.argv[3])
    prefer_as_out_of_memory_victim()
    dumps.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = connect(socket_path, 30.0)
    if connection is None:
        return 1
    # A copy that the script forks, and that returns here, must neither answer the agent nor read its messages.
    os.register_at_fork(after_in_child=connection.give_up)
    try:
        connection.send([messages.HELLO_CHILD, process, os.getpid(), device_of(os.environ)])
        spec = read(HostSpec, connection.receive()[1])
        try:
            serve = _start(connection, spec, process, sent)
        except entry.EntryScriptError as error:
            connection.send([messages.INIT_FAILED, error.category, str(error), error.trace])
            sent.add("ERROR", "{}: {}{}".format(error.category, error, records.position(error.trace)))
            sys.stderr.write((error.trace or str(error)) + "\n")
            _end_without_threads(1)
            return 1
        if spec.profiling_module is None:
            serve()
        else:
            _profile(spec, process, serve)
    except ConnectionLost:
        return 1
    except SystemExit:  # from run(): the agent waits for the end of this process
        _end_without_threads(1)
        raise
    sent.end()
    _end_without_threads(0)
    return 0


def _end_without_threads(code: int) -> None:
    """End the process with exit code `code` even if the script left threads that the interpreter would wait for."""
    threads_ended = threading.Event()

    def watch() -> None:
        if threads_ended.wait(_THREADS_SECONDS):
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

    atexit.register(
        threads_ended.set
    )  # called once the interpreter has waited for all threads, and before other handlers
    threading.Thread(target=watch, name="longshore-end", daemon=True).start()


def _profile(spec: HostSpec, process: int, serve: Callable[[], None]) -> None:
    """Serve under the step's profilingModule and write the statistics of this process to a file."""
    profile = __import__(str(spec.profiling_module)).Profile()
    folder = os.path.join(spec.log_dir, "sys", "node", spec.worker)
    os.makedirs(folder, exist_ok=True)
    try:
        profile.runcall(serve)
    finally:
        profile.dump_stats(os.path.join(folder, process_name(process) + ".profile"))


if __name__ == "__main__":
    sys.exit(main())
