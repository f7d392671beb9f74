"""Execution of a script step on this machine: stage its inputs, run the script under a host, collect its outputs.

longshore run
 `- python -m longshore_host.script    cancelled by SIGTERM, and by the end of the command
     `- python -u train.py             session of its own: killed as a group, with all processes that left the group
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

from longshore_agent.request_server import requests_of_script, serving
from longshore_agent.script_data import ScriptDataError, collect, prepare
from longshore_agent.threads import Threads
from longshore_cli.scratch import socket_folder
from longshore_cli.workers import last_line, link_packages, send, users_environment
from longshore_host import orphans, parent_death
from longshore_host.script import GRACE
from longshore_protocol import clock, script_folder
from longshore_protocol.script_job import FAILED, ScriptJob, ScriptResult
from longshore_run import context

_LOG_TIMEOUT = 10.0  # seconds for writing the logs of a cancelled script
_SLACK = 5.0  # seconds that a host gets in addition to its script's


async def run_script(job: ScriptJob, *, python: str | None, work: str) -> ScriptResult:
    """Run a script step; return its result, also of a failure.

    When cancelled, end the script (first with SIGTERM), kill its remaining processes and keep its logs.

    Args:
        job: the script step.
        python: path of the interpreter, or None for this one.
        work: parent folder of the step's temporary folder.

    Raises:
        OSError: no folder can be created in `work`.
    """
    started = clock.now()
    scratch = _make_scratch(work)
    folder = os.path.join(scratch, "step")
    threads = Threads(1)
    server = contextlib.ExitStack()
    try:
        short = socket_folder(Path(scratch), longest=script_folder.SOCKET)
        socket = str(await asyncio.to_thread(server.enter_context, short) / script_folder.SOCKET)
        named = os.path.join(folder, script_folder.NAMED)
        requests = serving(socket, lambda: requests_of_script(job, folder, named))
        await asyncio.to_thread(server.enter_context, requests)
        try:
            git = await threads.run(partial(prepare, job, folder, socket=socket))
        except ScriptDataError as error:
            return ScriptResult(FAILED, None, str(error), {}, started, clock.now(), reason=error.reason)
        try:
            otherwise = await _run_host(scratch, folder, python or sys.executable)
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOG_TIMEOUT):
                    await threads.run(partial(collect, job, folder, git=git, otherwise=""))
            raise
        return await threads.run(partial(collect, job, folder, git=git, otherwise=otherwise))
    finally:
        await asyncio.to_thread(threads.end, _SLACK)
        await asyncio.to_thread(server.close)
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)


def _make_scratch(work: str) -> str:
    os.makedirs(work, exist_ok=True)
    return tempfile.mkdtemp(prefix="longshore-script-", dir=os.path.abspath(work))


def _host_log(scratch: str) -> Path:
    return Path(scratch, "host.txt")


async def _run_host(scratch: str, folder: str, python: str) -> str:
    """Run the host to its end; return the error message for the case that it left no result."""
    environment = users_environment(link_packages(Path(scratch)))
    log = _host_log(scratch)
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
                cwd=scratch,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # not reached by the terminal's Ctrl-C: the caller cancels us
                pass_fds=link.descriptors,
            )
    except OSError as error:
        return f"The interpreter {python} cannot be started: {error}."
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        await _end_host(process)
        raise
    finally:
        parent_death.forget(process.pid)
        if process.returncode != 0:  # the host could not kill the processes of its script
            mark = os.fsencode(f"{context.VARIABLE}={os.path.join(folder, context.FILE)}")
            await asyncio.to_thread(orphans.kill_marked, [mark])
    return f"The host process of the script exited with code {code}; its last output was: {last_line(log)}"


async def _end_host(process: asyncio.subprocess.Process) -> None:
    """Terminate a host gracefully; kill it if it takes too long. A second cancellation skips the grace period."""
    for timeout in (GRACE + _SLACK, _SLACK):  # on its second SIGTERM, a host kills its script immediately
        send(process, signal.SIGTERM)
        send(process, signal.SIGCONT)  # a stopped process could not handle SIGTERM
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(timeout):
                await process.wait()
                return
    send(process, signal.SIGKILL)
    await process.wait()
