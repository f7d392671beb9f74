"""Loops of processes whose scripts work on many mini-batches at once.

The agent sends as many as may be under way, and each is begun when it comes. The agent counts the time of each from
what the process says: BEGUN, and for a table LOADED, when its rows are read.
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
from longshore_host.rows import WrongReturn
from longshore_protocol import errors, messages, slices
from longshore_protocol.messages import InputSpec

if TYPE_CHECKING:
    from longshore_host.child import Child

_ASKED = "get_finished_batch_result()"
_PAUSE = 0.02  # seconds between two looks at what a queue has finished
_STEP = 5.0  # seconds between two looks at a time limit
_LATE = 10.0  # seconds that a look may come late by what the script does: what is more, the process was stopped
_clock, _cpu_clock = time.perf_counter, time.process_time


class _Overdue(Exception):
    """The time of a run() is up; it came back all the same."""


class _Flight:
    """A mini-batch on its way through the script."""

    def __init__(self, child: Child, order: List[int], piece: Any) -> None:
        self.mini_batch, self.attempt, index = order
        self.given: InputSpec = child.inputs[index]
        self.index = str(self.mini_batch)  # as the script has it
        self.piece = piece
        self.overdue = False
        self.timer: Any = None  # of its time limit
        self._child = child
        self._count = -1

    def begin(self) -> None:
        """Say that it begins."""
        self._started, self._begin, self._running = time.time(), _clock(), _clock()
        self._child.connection.send([messages.BEGUN, self.mini_batch, self.attempt])

    def arguments(self, items: Any) -> Tuple[Any, ...]:
        """Return what to call the script with, at once; of a table, say that it is read."""
        if self.given.tabular is not None:
            self._child.connection.send([messages.LOADED, self.mini_batch, self.attempt])
        self._count, self._running = len(items), _clock()
        if not self._child.script.takes_context:
            return (items,)
        return items, self._child.context(self.mini_batch, self.attempt, self.given, items, self.piece)

    def end(self, result: Any, cpu: float) -> None:
        """Send a result. Raises WrongReturn."""
        ran = _clock() - self._running
        rendered = self._child.renderer.render(result)
        self._child.done(
            self.mini_batch, self.attempt, rendered, items=self._count, times=self._times(), run=ran, cpu=cpu
        )

    def fail(self, error: BaseException, said: Optional[Tuple[str, str, str]] = None) -> None:
        """Send what went wrong. Raises what ends the process."""
        where = (self.given, self.piece)
        self._child.failed(
            self.mini_batch, self.attempt, error, where=where, items=self._count, times=self._times(), said=said
        )
        if isinstance(error, SystemExit):
            raise error

    def _times(self) -> Tuple[float, float]:
        return self._started, _clock() - self._begin


class _ProcessorTime:
    """Shares out the processor's time: what was used since one mini-batch ended is that of the next to end."""

    def __init__(self) -> None:
        self._told = _cpu_clock()

    def take(self) -> float:
        """Return the seconds since the last call."""
        used, self._told = _cpu_clock() - self._told, _cpu_clock()
        return used


class Coroutines:
    """Each mini-batch is a task of one event loop. One whose time is up is cancelled, and the others go on."""

    grace = 3.0  # seconds that the script has for a cancellation; then the agent kills the process

    def __init__(self, child: Child) -> None:
        self._child = child
        self._loop: asyncio.AbstractEventLoop = child.script.loop
        self._tasks: Set[asyncio.Task[None]] = set()
        self._cpu = _ProcessorTime()
        self._reader = ThreadPoolExecutor(1)

    def serve(self) -> None:
        """Run what the agent sends until it says shutdown. Raises ConnectionLost, SystemExit from the script."""
        self._loop.run_until_complete(self._serve())
        self._child.shut_down()

    async def _serve(self) -> None:
        socket = self._child.connection.fileno()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._reading = asyncio.Lock()  # tables are read beside the loop, one after the other
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
                        task = self._loop.create_task(self._fly(_Flight(self._child, order, piece)))
                        self._tasks.add(task)  # a loop does not keep those that only wait
                        task.add_done_callback(self._tasks.discard)
                elif header[0] == messages.SHUTDOWN:
                    self._ended.set_result(None)
        except Exception as error:  # noqa: BLE001  (the event loop would only log it, and nobody would learn of it)
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)

    async def _fly(self, flight: _Flight) -> None:
        try:
            try:
                flight.end(await self._result(flight), self._cpu.take())
            except ConnectionLost:
                raise
            except BaseException as error:  # noqa: BLE001  (whatever it is, it is the end of this mini-batch alone)
                flight.fail(error, self._said(flight, error))
        except Exception as error:  # noqa: BLE001  (as above: the connection is lost, or the failure cannot be reported)
            self._lose(error)

    async def _result(self, flight: _Flight) -> Any:
        if flight.given.tabular is None:
            flight.begin()
            arguments = flight.arguments(slices.files_of(flight.piece))
        else:
            async with self._reading:
                flight.begin()
                read, form = self._child.load_table, flight.given.tabular
                table = await self._loop.run_in_executor(self._reader, read, flight.piece, form)
            arguments = flight.arguments(table)
            if not len(table):  # see `Child._run`
                return []
        task = asyncio.current_task()
        assert task is not None, "this is one"
        self._limit(flight, task, self._child.run_timeout)
        try:  # in this very task: nothing comes between what was told and the first lines of run()
            result = await self._child.script.run(*arguments)
        finally:
            flight.timer.cancel()
        if flight.overdue:
            raise _Overdue
        return result

    def _limit(self, flight: _Flight, task: asyncio.Task[Any], left: float) -> None:
        """Cancel a task after `left` seconds. Of the time in which this process was stopped, next to nothing counts."""
        step, began = min(left, _STEP), self._loop.time()

        def look() -> None:
            rest = left - min(self._loop.time() - began, step + _LATE)
            if rest > 0:
                self._limit(flight, task, rest)
            else:
                flight.overdue = True
                task.cancel()

        flight.timer = self._loop.call_later(step, look)

    def _said(self, flight: _Flight, error: BaseException) -> Optional[Tuple[str, str, str]]:
        if not flight.overdue:
            return None
        trace = "" if isinstance(error, _Overdue) else entry.short_traceback(error)
        return errors.TIMEOUT, errors.run_took_longer(self._child.run_timeout), trace


class Queue:
    """The script queues what it is given, and is asked for what it has finished, by mini-batch index.

    It is asked ever again, and so its own count of what it works on, and its word that all is done, are not needed.
    """

    grace = 0.0  # nothing but an end of the process ends work of which the script alone knows

    def __init__(self, child: Child) -> None:
        self._child = child
        self._waiting: List[_Flight] = []
        self._flights: Dict[str, _Flight] = {}  # by index
        self._cpu = _ProcessorTime()

    def serve(self) -> None:
        """Run what the agent sends until it says shutdown. Raises ConnectionLost, SystemExit from the script."""
        connection = self._child.connection
        while True:
            if connection.has_received() or select.select([connection], [], [], _PAUSE if self._flights else None)[0]:
                for header, body in connection.receive_ready():
                    if header[0] == messages.RUN:
                        pieces = zip(header[1], json.loads(body.decode()))
                        self._waiting += [_Flight(self._child, order, piece) for order, piece in pieces]
                    elif header[0] == messages.SHUTDOWN:
                        self._child.shut_down()
                        return
            self._enqueue()
            if self._flights:
                self._collect()

    def _enqueue(self) -> None:
        waiting, self._waiting = self._waiting, []
        for flight in waiting:
            if flight.index in self._flights:  # an earlier attempt, whose lease we lost: results would be mixed up
                self._waiting.append(flight)
                continue
            flight.begin()
            try:
                table = flight.given.tabular
                items = slices.files_of(flight.piece) if table is None else self._child.load_table(flight.piece, table)
                arguments = flight.arguments(items)
                if not len(items):  # see `Child._run`
                    flight.end([], 0.0)
                    continue
                self._child.script.run(*arguments)
            except ConnectionLost:
                raise
            except BaseException as error:  # noqa: BLE001  (whatever it is, it is the end of this mini-batch alone)
                flight.fail(error)
            else:
                self._flights[flight.index] = flight

    def _collect(self) -> None:
        try:
            finished = _by_index(self._child.script.finished())
        except BaseException as error:  # noqa: BLE001  (as above; of which one it would have been, nobody knows)
            flights, self._flights = self._flights, {}
            for flight in flights.values():
                flight.fail(error)
            return
        for index, found in finished.items():
            if index not in self._flights:
                sys.stderr.write("longshore: {} has a result of {}, which is not under way\n".format(_ASKED, index))
                continue
            flight = self._flights.pop(index)
            try:
                flight.end(_result_of(found), self._cpu.take())
            except ConnectionLost:
                raise
            except BaseException as error:  # noqa: BLE001
                flight.fail(error)


def _by_index(finished: Any) -> Dict[str, Any]:
    if isinstance(finished, Mapping):
        return {str(index): found for index, found in finished.items()}
    if finished is None:
        return {}
    kind = type(finished).__name__
    raise WrongReturn("{} returned a value of type {}; it must return a dict by minibatch_index".format(_ASKED, kind))


def _result_of(found: Any) -> Any:
    """Return the result in what the script has of a mini-batch; raises what it has in its place."""
    if not isinstance(found, Mapping) or "ret" not in found:
        message = '{} has a value of type {} for a mini-batch; it must be {{"ret": result, "exception": error or None}}'
        raise WrongReturn(message.format(_ASKED, type(found).__name__))
    error = found.get("exception")
    if error is not None:
        raise error if isinstance(error, BaseException) else RuntimeError(str(error))
    return found["ret"]
