"""How a local run keeps its workers' processes."""

import asyncio
import os
import signal
import subprocess
import sys

import jobs
import pytest

from longshore_cli.workers import Place, Workers, send


def test_a_signal_to_a_process_that_has_just_ended_leaves_its_exit_code_to_the_event_loop():
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    send(process, signal.SIGCONT)
    assert process.returncode is None
    assert process.wait() == 0


STAYS = "import signal; signal.pause()"
BROKEN = "import sys; sys.exit('no such interpreter')"


class Parts(Workers):
    """Workers whose agents and hosts are one line of Python each."""

    def __init__(self, folder, lines, *, workers):
        job = jobs.job(uri=str(folder / "run"), workers=workers)
        self.lines, self.gone, self.failed = lines, [], []
        self.gave_up = asyncio.Event()
        place = Place(folder, folder, sys.executable, "", "")
        super().__init__(job, place, on_gone=self.gone.append, on_failed=self._failed, over=lambda: False)

    def _failed(self, worker, why):
        self.failed.append((worker, why))
        self.gave_up.set()

    def _agent(self, worker, parent):
        return [sys.executable, "-S", "-c", self.lines[worker, "agent"]], dict(os.environ)

    def _host(self, worker, parent):
        return [sys.executable, "-S", "-c", self.lines[worker, "host"]], dict(os.environ)


@pytest.mark.parametrize("broken", ["agent", "host"])
def test_a_worker_one_part_of_which_cannot_run_is_given_up_with_the_other_part_and_others_stay(tmp_path, broken):
    lines = {(f"worker-{number}", part): STAYS for number in (0, 1) for part in ("agent", "host")}
    lines["worker-1", broken] = BROKEN

    async def scenario():
        workers = Parts(tmp_path, lines, workers=2)
        workers.start()
        async with asyncio.timeout(60.0):
            await workers.gave_up.wait()
            await asyncio.wait(workers._tasks[2:])
        try:
            assert workers.failed == [("worker-1", f"its {broken} exited 4 times in a row: no such interpreter")]
            assert sorted(workers._running) == [("worker-0", "agent"), ("worker-0", "host")]
            assert workers.gone == ["worker-1"] * (4 if broken == "agent" else 1)
        finally:
            for process in workers._running.values():
                process.kill()
            await workers.stop()

    asyncio.run(scenario())
