"""Runs one script step on this machine: its data is brought, a host runs the script, what it left is taken away.

longshore run
 `- python -m longshore_host.script    cancelled by SIGTERM, and by the end of the command
     `- python -u train.py             session of its own: killed as a group, with all that escaped from it
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path

from longshore_agent.script_data import ScriptDataError, collect, prepare
from longshore_agent.threads import Threads
from longshore_cli.workers import last_line, link_packages, send, users_environment
from longshore_host import orphans, parent_death
from longshore_host.script import GRACE
from longshore_protocol import clock
from longshore_protocol.script_job import FAILED, ScriptJob, ScriptResult
from longshore_run import context

_LAST_WORDS = 10.0  # seconds that writing the logs of a cancelled script may take
_SLACK = 5.0  # seconds that a host gets beyond the script's own


async def run_script(job: ScriptJob, *, python: str | None, work: str) -> ScriptResult:
    """Run a script step and return how it ended; whatever goes wrong with it is a result, and no exception.

    `python` is the interpreter, None for this one. Below the folder `work` the step has one of its own until it ends.
    Cancelled, it ends the script, at first with SIGTERM, and leaves nothing of it running; the script's logs stay.
    Raises OSError when there can be no folder in `work`.
    """
    started = clock.now()
    place = _make_place(work)
    folder = os.path.join(place, "step")
    threads = Threads(1)
    try:
        try:
            git = await threads.run(partial(prepare, job, folder))
        except ScriptDataError as error:
            return ScriptResult(FAILED, None, str(error), {}, started, clock.now(), reason=error.reason)
        try:
            otherwise = await _run_host(place, folder, python or sys.executable)
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS):
                    await threads.run(partial(collect, job, folder, git=git, otherwise=""))
            raise
        return await threads.run(partial(collect, job, folder, git=git, otherwise=otherwise))
    finally:
        await asyncio.to_thread(threads.end, _SLACK)
        await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)


def _make_place(work: str) -> str:
    os.makedirs(work, exist_ok=True)
    return tempfile.mkdtemp(prefix="longshore-script-", dir=os.path.abspath(work))


def _host_log(place: str) -> Path:
    return Path(place, "host.txt")


async def _run_host(place: str, folder: str, python: str) -> str:
    """Run the host to its end; return what is to be said if it left no result."""
    environment = users_environment(link_packages(Path(place)))
    log = _host_log(place)
    try:
        link = parent_death.link()
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                python,
                "-m",
                "longshore_host.script",
                folder,
                link.argument,
                env=environment,
                cwd=place,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # out of reach of the terminal's Ctrl-C: who cancels decides how to end
                pass_fds=link.descriptors,
            )
    except OSError as error:
        return f"The interpreter {python} cannot be started: {error}."
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        await _end(process)
        raise
    finally:
        parent_death.forget(process.pid)
        if process.returncode != 0:  # it could not kill what the script started
            mark = os.fsencode(f"{context.VARIABLE}={os.path.join(folder, context.FILE)}")
            await asyncio.to_thread(orphans.kill_marked, [mark])
    return f"The host of the script ended with {code}, and said: {last_line(log)}"


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a host in an orderly way: at once when we are cancelled again, by force when it takes too long."""
    for patience in (GRACE + _SLACK, _SLACK):  # a host that is told twice gives its script no more time
        send(process, signal.SIGTERM)
        send(process, signal.SIGCONT)  # one that is stopped cannot end by itself
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(patience):
                await process.wait()
                return
    send(process, signal.SIGKILL)
    await process.wait()
