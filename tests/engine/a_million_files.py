"""A coordinator with a million files to hand out, in a process of its own: prints what it took as one JSON object.

python a_million_files.py RUN_FOLDER
"""

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from longshore_coordinator.enumerate import cut
from longshore_coordinator.service import Coordinator
from longshore_planner.status import step_status
from longshore_protocol import errors, wire
from longshore_protocol.job import SUMMARY_ONLY, Input, Job, MiniBatchSize, Output
from longshore_protocol.wire import Completion, Failure

FILES, SIZE, WANT = 1_000_000, 10, 2000


def list_files(*_):
    return (f"/data/images/train/{number:08d}.png" for number in range(FILES))


def job(folder):
    return Job(
        name="score-everything",
        run_id="score-everything-20260101-000000",
        run_uri=f"{folder}/run",
        inputs=(Input("images", ("/data/images",)),),
        mini_batch=MiniBatchSize("files", SIZE),
        output=Output(SUMMARY_ONLY, f"{folder}/run/output"),
        source_uri="/code",
        entry_script="score.py",
        max_tries=2,
        workers=2,
    )


async def work(coordinator, worker, first_lease):
    """Lease and report as an agent does; every hundredth mini-batch fails each time, and so for good."""
    agent, epoch = coordinator.register(worker, worker)
    while True:
        grants, orders = await coordinator.lease(agent, epoch, WANT)
        first_lease.append(time.monotonic())
        if orders:
            coordinator.deregister(agent)
            return
        completed, failed = [], []
        for each in grants:
            number, attempt = each.mini_batch, each.attempt
            if number % 100:
                completed.append(Completion(number, attempt, 0, 0, SIZE, SIZE, -1, 0, 0, 1000, 900, 800))
            else:
                text = f"ValueError: {'x' * 500}"
                failed.append(
                    Failure(number, attempt, SIZE, 0, errors.USER_ERROR, text, "\n".join([text] * 12), 1.0, 0.1, "log")
                )
        body = wire.report(agent, epoch, segment="state/segments/1", completed=completed, failed=failed)
        coordinator.report(json.loads(json.dumps(body)))
        await asyncio.sleep(0)


def most_memory():
    """Return the most memory that this process had, in bytes. What rusage says counts who started it, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


async def main(folder):
    started = time.monotonic()
    coordinator = Coordinator(job(folder), cut=lambda job: cut(job, list_files=list_files))
    await coordinator.open()
    running = asyncio.create_task(coordinator.run())
    leases = []
    await asyncio.gather(*(work(coordinator, worker, leases) for worker in ("w0", "w1")))
    ended = time.monotonic()
    last = await running
    status = step_status(last, previous=None, now=datetime.now(UTC))
    print(
        json.dumps(
            {
                "state": last.state,
                "mini_batches": vars(last.mini_batches),
                "items": vars(last.items),
                "seconds_to_first_lease": leases[0] - started,
                "seconds_to_last_report": ended - started,
                "seconds": time.monotonic() - started,
                "megabytes": most_memory() / 2**20,
                "status_bytes": len(status.model_dump_json(by_alias=True, exclude_none=True)),
                "snapshot_bytes": len(last.to_json()),
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
