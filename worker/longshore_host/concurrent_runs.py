"""Loops of processes whose scripts run many mini-batches concurrently.

The agent sends as many as may run at a time, and each begins on arrival. The agent measures the time of each from the
messages of the process: BEGUN, and for a table LOADED, once its rows are read.
"""

from __future__ import annotations

import asyncio
import json
import select
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Set, Tuple

from longshore_host import entry
from longshore_host.connection import ConnectionLost
from longshore_host.records import Records
from longshore_host.rows import WrongReturn
from longshore_protocol import errors, messages, slices
from longshore_protocol.messages import InputSpec

if TYPE_CHECKING:
    from longshore_host.child import Child

_ASKED = "get_finished_batch_result()"
_PAUSE = 0.02  # seconds between two polls of the finished results of a queue
_STEP = 5.0  # seconds between two checks of a time limit
_LATE = 10.0  # seconds by which the script may delay a check; after a longer delay, the process was stopped
_clock, _cpu_clock = time.perf_counter, time.process_time


class _Overdue(Exception):
    """A run() returned after its time limit."""


class _MiniBatch:
    """A mini-batch that the script runs."""

    def __init__(self, child: Child, order: List[int], piece: Any) -> None:
        self.mini_batch, self.attempt, index = order
        self.given: InputSpec = child.inputs[index]
        self.index = str(self.mini_batch)  # the script's minibatch_index
        self.piece = piece
        self.overdue = False
        self.timer: Any = None  # of its time limit
        self._child = child
        self._count = -1

    def begin(self) -> None:
        """Report that the mini-batch begins."""
        self._started, self._begin, self._running = time.time(), _clock(), _clock()
        self._child.connection.send([messages.BEGUN, self.mini_batch, self.attempt])

    def arguments(self, items: Any) -> Tuple[Any, ...]:
        """Report a table as read; return the arguments of the script's function, which must be called next."""
        if self.given.tabular is not None:
            self._child.connection.send([messages.LOADED, self.mini_batch, self.attempt])
        self._count, self._running = len(items), _clock()
        if not self._child.script.takes_context:
            return (items,)
        return items, self._child.context(self.mini_batch, self.attempt, self.given, items, self.piece)

    def end(self, result: Any, cpu: float) -> None:
        """Report a result. Raises WrongReturn."""
        ran = _clock() - self._running
        rendered = self._child.renderer.render(result)
        self._child.done(
            self.mini_batch, self.attempt, rendered, items=self._count, times=self._times(), run=ran, cpu=cpu
        )

    def fail(self, error: BaseException, report: Optional[Tuple[str, str, str]] = None) -> None:
        """Report a failure. Raises SystemExit of the script, which ends the process."""
        where = (self.given, self.piece)
        self._child.failed(
            self.mini_batch, self.attempt, error, where=where, items=self._count, times=self._times(), report=report
        )
        if isinstance(error, SystemExit):
            raise error

    def _times(self) -> Tuple[float, float]:
        return self._started, _clock() - self._begin


class _ProcessorTime:
    """Attributes processor time: each mini-batch that ends has used the time since the end of the one before."""

    def __init__(self) -> None:
        self._counted = _cpu_clock()

    def take(self) -> float:
        """Return the seconds since the last call."""
        used, self._counted = _cpu_clock() - self._counted, _cpu_clock()
        return used


class Coroutines:
    """Each mini-batch is a task of one event loop. One that exceeds its time limit is cancelled; the others go on."""

    grace = 3.0  # seconds for the script to handle a cancellation; then the agent kills the process

    def __init__(self, child: Child) -> None:
        self._child = child
        self._loop: asyncio.AbstractEventLoop = child.script.loop
        self._tasks: Set[asyncio.Task[None]] = set()
        self._cpu = _ProcessorTime()
        self._reader = ThreadPoolExecutor(1)

    def serve(self) -> None:
        """Run mini-batches until the agent sends shutdown. Raises ConnectionLost, SystemExit of the script."""
        self._loop.run_until_complete(self._serve())
        self._child.shut_down()

    async def _serve(self) -> None:
        socket = self._child.connection.fileno()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._reading = asyncio.Lock()  # tables are read in a thread, one after the other
        self._loop.add_reader(socket, self._receive)
        if self._child.connection.has_received():
            self._receive()
        await self._ended
        self._loop.remove_reader(socket)

    def _receive(self) -> None:
        try:
            for header, body in self._child.connection.receive_ready():
                if header[0] == messages.RUN:
                    for order, piece in zip(header[1], json.loads(body.decode())):
                        task = self._loop.create_task(self._run(_MiniBatch(self._child, order, piece)))
                        self._tasks.add(task)  # the loop holds weak references only
                        task.add_done_callback(self._tasks.discard)
                elif header[0] == messages.SHUTDOWN:
                    self._ended.set_result(None)
        except Exception as error:  # noqa: BLE001  (the event loop would only log it)
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)

    async def _run(self, mini_batch: _MiniBatch) -> None:
        Records.of_task(mini_batch.mini_batch)
        try:
            try:
                mini_batch.end(await self._result(mini_batch), self._cpu.take())
            except ConnectionLost:
                raise
            except BaseException as error:  # noqa: BLE001  (it ends this mini-batch only)
                mini_batch.fail(error, self._report_of(mini_batch, error))
        except Exception as error:  # noqa: BLE001  (the connection is lost, or the failure cannot be reported)
            self._lose(error)

    async def _result(self, mini_batch: _MiniBatch) -> Any:
        if mini_batch.given.tabular is None:
            mini_batch.begin()
            arguments = mini_batch.arguments(slices.files_of(mini_batch.piece))
        else:
            async with self._reading:
                mini_batch.begin()
                read, form = self._child.load_table, mini_batch.given.tabular
                table = await self._loop.run_in_executor(self._reader, read, mini_batch.piece, form)
            arguments = mini_batch.arguments(table)
            if not len(table):  # see `Child._run`
                return []
        task = asyncio.current_task()
        assert task is not None, "this is one"
        self._limit(mini_batch, task, self._child.run_timeout)
        try:  # in this task: nothing runs between the report and the first lines of run()
            result = await self._child.script.run(*arguments)
        finally:
            mini_batch.timer.cancel()
        if mini_batch.overdue:
            raise _Overdue
        return result

    def _limit(self, mini_batch: _MiniBatch, task: asyncio.Task[Any], left: float) -> None:
        """Cancel a task after `left` seconds, without most of the time in which this process was stopped."""
        step, began = min(left, _STEP), self._loop.time()

        def check() -> None:
            rest = left - min(self._loop.time() - began, step + _LATE)
            if rest > 0:
                self._limit(mini_batch, task, rest)
            else:
                mini_batch.overdue = True
                task.cancel()

        mini_batch.timer = self._loop.call_later(step, check)

    def _report_of(self, mini_batch: _MiniBatch, error: BaseException) -> Optional[Tuple[str, str, str]]:
        if not mini_batch.overdue:
            return None
        trace = "" if isinstance(error, _Overdue) else entry.short_traceback(error)
        return errors.TIMEOUT, errors.run_took_longer(self._child.run_timeout), trace


class Queue:
    """The script queues mini-batches, and returns finished results by mini-batch index when it is polled.

    Since it is polled all the time, its own count of queued mini-batches and its report that all are done are not used.
    """

    grace = 0.0  # only the end of the process ends work that the script does by itself

    def __init__(self, child: Child) -> None:
        self._child = child
        self._waiting: List[_MiniBatch] = []
        self._mini_batches: Dict[str, _MiniBatch] = {}  # by index
        self._cpu = _ProcessorTime()

    def serve(self) -> None:
        """Run mini-batches until the agent sends shutdown. Raises ConnectionLost, SystemExit of the script."""
        connection = self._child.connection
        while True:
            patience = _PAUSE if self._mini_batches else None
            if connection.has_received() or select.select([connection], [], [], patience)[0]:
                for header, body in connection.receive_ready():
                    if header[0] == messages.RUN:
                        pieces = zip(header[1], json.loads(body.decode()))
                        self._waiting += [_MiniBatch(self._child, order, piece) for order, piece in pieces]
                    elif header[0] == messages.SHUTDOWN:
                        self._child.shut_down()
                        return
            self._enqueue()
            if self._mini_batches:
                self._collect()

    def _enqueue(self) -> None:
        waiting, self._waiting = self._waiting, []
        for mini_batch in waiting:
            if mini_batch.index in self._mini_batches:  # an attempt with a lost lease: its result would be ambiguous
                self._waiting.append(mini_batch)
                continue
            mini_batch.begin()
            try:
                table, piece = mini_batch.given.tabular, mini_batch.piece
                items = slices.files_of(piece) if table is None else self._child.load_table(piece, table)
                arguments = mini_batch.arguments(items)
                if not len(items):  # see `Child._run`
                    mini_batch.end([], 0.0)
                    continue
                self._child.script.run(*arguments)
            except ConnectionLost:
                raise
            except BaseException as error:  # noqa: BLE001  (it ends this mini-batch only)
                mini_batch.fail(error)
            else:
                self._mini_batches[mini_batch.index] = mini_batch

    def _collect(self) -> None:
        try:
            finished = _by_index(self._child.script.finished())
        except BaseException as error:  # noqa: BLE001  (of which mini-batch it is, is unknown)
            mini_batches, self._mini_batches = self._mini_batches, {}
            for mini_batch in mini_batches.values():
                mini_batch.fail(error)
            return
        for index, found in finished.items():
            if index not in self._mini_batches:
                sys.stderr.write("longshore: {} has a result of {}, which is not running\n".format(_ASKED, index))
                continue
            mini_batch = self._mini_batches.pop(index)
            try:
                mini_batch.end(_result_of(found), self._cpu.take())
            except ConnectionLost:
                raise
            except BaseException as error:  # noqa: BLE001
                mini_batch.fail(error)


def _by_index(finished: Any) -> Dict[str, Any]:
    if isinstance(finished, Mapping):
        return {str(index): found for index, found in finished.items()}
    if finished is None:
        return {}
    kind = type(finished).__name__
    raise WrongReturn("{} returned a value of type {}; it must return a dict by minibatch_index".format(_ASKED, kind))


def _result_of(found: Any) -> Any:
    """Return the result of an entry of the script's dict; raise the error that is in its place."""
    if not isinstance(found, Mapping) or "ret" not in found:
        message = '{} has a value of type {} for a mini-batch; it must be {{"ret": result, "exception": error or None}}'
        raise WrongReturn(message.format(_ASKED, type(found).__name__))
    error = found.get("exception")
    if error is not None:
        raise error if isinstance(error, BaseException) else RuntimeError(str(error))
    return found["ret"]
