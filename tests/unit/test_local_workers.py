"""The end of a local run's processes."""

import asyncio
import sys

import pytest

from longshore_cli.workers import Place, Workers
from longshore_protocol.job import Input, Job, MiniBatchSize, Output

HOST = """
import os, signal, time
def end(*_):
    time.sleep({seconds})  # what a host needs to kill what scripts left, and to cut logs
    open({path!r}, "w").close()
    os._exit(0)
signal.signal(signal.SIGTERM, end)
print(flush=True)
if {is_stopped}:
    os.kill(os.getpid(), signal.SIGSTOP)
time.sleep(3600)
"""


@pytest.mark.parametrize("is_stopped", [False, True], ids=["runs", "is stopped"])
@pytest.mark.parametrize("seconds", [0.0, 0.2])
def test_a_host_whose_agent_has_ended_ends_by_itself(tmp_path, seconds, is_stopped):
    output = Output("summary_only", str(tmp_path / "out"))
    given = Input("files", (str(tmp_path),))
    job = Job("s", "1", str(tmp_path / "run"), (given,), MiniBatchSize("files", 1), output, "/code", "m.py")
    code = HOST.format(seconds=seconds, path=str(tmp_path / "ended"), is_stopped=is_stopped)

    async def stop_workers():
        place = Place(tmp_path, tmp_path, sys.executable, "http://127.0.0.1:1", "token")
        workers = Workers(job, place, on_gone=print, on_failed=print, over=lambda: True)
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
        await process.stdout.readline()
        workers._running["worker-0", "host"] = process
        workers._tasks.append(asyncio.create_task(process.wait()))
        await workers.stop()
        assert process.returncode == 0

    asyncio.run(stop_workers())
    assert (tmp_path / "ended").exists()
