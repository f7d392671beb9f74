"""The use of resources: what /proc says, and the tables that a worker leaves behind."""

import asyncio
import csv
import io
import itertools
import os
import subprocess
import sys

import psutil
import pytest

from longshore_agent import gateway, resources, usage
from longshore_agent.resources import NODE_COLUMNS, PROCESS_COLUMNS, ResourceMonitor
from longshore_protocol import messages
from longshore_protocol.frames import encode
from longshore_protocol.wire import PROTOCOL
from longshore_storage.store import LocalStore

START = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC
DEADLINE = 30.0  # seconds for what should take none

STAT = """\
cpu  100 10 50 800 20 5 15 0 40 0
cpu0 50 5 25 400 10 2 8 0 20 0
intr 12345
btime 1790000000
"""
MEMINFO = "".join(
    f"{name}: {kib} kB\n"
    for name, kib in [("MemTotal", 8388608), ("MemFree", 100000), ("MemAvailable", 6291456), ("Buffers", 1),
                      ("Cached", 1), ("Shmem", 1), ("Active", 1), ("Inactive", 1), ("Slab", 1)]
)  # fmt: skip
DISKSTATS = """\
   8       0 sda 100 0 4096 10 50 0 2048 20 0 0 0
   8       1 sda1 60 0 2048 10 40 0 1024 20 0 0 0
 259       0 nvme0n1 10 0 2048 1 5 0 4096 2 0 0 0 0 0 0 0 0 0
 259       1 nvme0n1p1 9 0 1024 1 4 0 1024 2 0 0 0 0 0 0 0 0 0
 253       0 dm-0 500 0 9999 1 500 0 9999 1 0 0 0
   7       0 loop0 7 0 70 1 7 0 70 1 0 0 0
 252       0 vdb1 1 0 2048 1 2 0 4096 1 0 0 0
"""
NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo: 9999999   10    0    0    0     0          0         0  9999999   10    0    0    0     0       0          0
  eth0: 2097152   10    0    0    0     0          0         0  1048576   10    0    0    0     0       0          0
  eth1:1048576    10    0    0    0     0          0         0  3145728   10    0    0    0     0       0          0
"""
SOCKSTAT = "sockets: used 41\nTCP: inuse 11 orphan 0 tw 5 alloc 11 mem 124\nUDP: inuse 3 mem 0\nUDPLITE: inuse 9\n"
SOCKSTAT6 = "TCP6: inuse 4\nUDP6: inuse 2\nUDPLITE6: inuse 0\n"
PROCESS = "4711 (a (b) c d) S 1 4711 4711 0 -1 4194560 1 2 3 4 250 50 9 9 20 0 4 0 100 999 512" + " 1" * 28 + "\n"


FILES = {
    "stat": STAT,
    "meminfo": MEMINFO,
    "diskstats": DISKSTATS,
    "net/dev": NET_DEV,
    "net/sockstat": SOCKSTAT,
    "net/sockstat6": SOCKSTAT6,
    "4711/stat": PROCESS,
    "4711/statm": "999 512 1 1 0 1 0",
}


@pytest.fixture
def proc(tmp_path, monkeypatch):
    """Return a function that makes /proc hold these files and nothing else."""
    folder = tmp_path / "proc"
    folder.mkdir()
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(folder))

    def write(files):
        for name, text in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)

    return write


def test_the_processors_are_busy_with_all_but_idling_and_waiting_for_disks(proc):
    proc({"stat": STAT})
    assert usage.cpu_seconds() == pytest.approx((1.8, 10.0))


@pytest.mark.parametrize("stat", ["", "cpu0 1 2 3 4 5\n", "cpu  1 2\n", "cpu  1 2 3 4\n"])
def test_processor_times_that_are_not_there_are_none(proc, stat):
    proc({"stat": stat})
    assert usage.cpu_seconds() is None


@pytest.mark.parametrize(
    ("before", "now", "percent"),
    [
        ((1.8, 10.0), (2.3, 12.0), 25.0),
        ((1.8, 10.0), (1.8, 12.0), 0.0),
        (None, (1.8, 10.0), None),
        ((1.8, 10.0), None, None),
        ((1.8, 10.0), (1.8, 10.0), None),
    ],
)
def test_the_use_of_processors_is_that_between_two_samples(before, now, percent):
    assert resources.cpu_percent(before, now) == (None if percent is None else pytest.approx(percent))


def test_memory_is_used_when_it_is_not_available(proc):
    proc({"meminfo": MEMINFO})
    assert usage.memory() == (8192.0, 6144.0, 2048.0, 25.0)


def test_each_disk_counts_once_without_its_partitions_and_what_is_layered_on_it(proc):
    proc({"diskstats": DISKSTATS})
    reads, read, writes, written = usage.disks()
    assert (reads, writes) == (100 + 10 + 1, 50 + 5 + 2)
    assert (read, written) == (2.0 + 1.0 + 1.0, 1.0 + 2.0 + 2.0)


def test_the_network_is_all_interfaces_but_the_loopback(proc):
    proc({"net/dev": NET_DEV})
    assert usage.network() == (1.0 + 3.0, 2.0 + 1.0)


def test_sockets_of_both_internet_protocols_are_counted_together(proc):
    proc({"net/sockstat": SOCKSTAT})
    assert usage.sockets() == (11, 3)
    proc({"net/sockstat6": SOCKSTAT6})
    assert usage.sockets() == (15, 5)


def test_a_process_is_read_whatever_its_name_holds(proc):
    proc(FILES)
    assert usage.process(4711) == (3.0, 2.0)


@pytest.mark.parametrize("name", ["memory", "disks", "network", "sockets"])
@pytest.mark.parametrize("text", [None, "", "nonsense\n", "a: b c d e f g h i j k\n"])
def test_what_the_platform_does_not_show_is_none(proc, name, text):
    proc({"diskstats": ""} if text is None else dict.fromkeys(FILES, text))  # without it, psutil looks into /sys
    assert set(getattr(usage, name)()) == {None}


def table(store, name):
    text = store.get(f"logs/perf/worker-0/{name}_resource_usage.csv").decode()
    return list(csv.reader(io.StringIO(text)))


async def sampled(store, *, interval, samples, pids):
    """Run a monitor until it took so many samples, then let it end."""
    times = itertools.count(START)
    taken = asyncio.Event()
    loop = asyncio.get_running_loop()
    asked = 0

    def clock():
        nonlocal asked
        asked += 1
        if asked >= samples:
            loop.call_soon_threadsafe(taken.set)
        return next(times)

    monitor = ResourceMonitor(store, "worker-0", interval=interval, clock=clock)
    ending = asyncio.Event()
    running = asyncio.create_task(monitor.run(lambda: pids, ending))
    async with asyncio.timeout(DEADLINE):
        await taken.wait()
    ending.set()
    async with asyncio.timeout(DEADLINE):
        await running


def test_there_is_a_sample_at_the_start_and_one_at_the_end_however_short_the_run(tmp_path, proc):
    proc(FILES)
    store = LocalStore(str(tmp_path))
    asyncio.run(sampled(store, interval=3600.0, samples=1, pids={"process000": 4711}))
    header, first, last = table(store, "node")
    assert ",".join(header) == NODE_COLUMNS
    assert first == ["2027-01-15 08:00:00", "", "8192.00", "6144.00", "2048.00", "25.00",
                     "111", "4.00", "57", "5.00", "4.00", "3.00", "15", "5"]  # fmt: skip
    assert last == ["2027-01-15 08:00:01", *first[1:]]
    assert table(store, "processes") == [
        PROCESS_COLUMNS.split(","),
        ["2027-01-15 08:00:00", "process000", "4711", "3.00", "2.00"],
        ["2027-01-15 08:00:01", "process000", "4711", "3.00", "2.00"],
    ]


def test_between_them_there_is_one_at_every_interval(tmp_path):
    store = LocalStore(str(tmp_path))
    asyncio.run(sampled(store, interval=0.001, samples=4, pids={}))
    rows = table(store, "node")[1:]
    assert len(rows) >= 4
    assert [row[0] for row in rows] == sorted({row[0] for row in rows})


def test_what_proc_does_not_show_gives_empty_cells(tmp_path, proc):
    proc({"diskstats": ""})
    store = LocalStore(str(tmp_path))
    pids = {"process000": 4712, "process001": 0}
    asyncio.run(sampled(store, interval=3600.0, samples=1, pids=pids))
    assert table(store, "node")[1] == ["2027-01-15 08:00:00"] + [""] * 13
    assert table(store, "processes")[1:3] == [
        ["2027-01-15 08:00:00", "process000", "4712", "", ""],
        ["2027-01-15 08:00:00", "process001", "", "", ""],
    ]


def test_an_agent_that_is_started_again_adds_to_what_the_earlier_one_wrote(tmp_path):
    store = LocalStore(str(tmp_path))
    for _ in range(2):
        asyncio.run(sampled(store, interval=3600.0, samples=1, pids={}))
    assert len(table(store, "node")) == 1 + 2 * 2


def test_no_interval_means_no_samples(tmp_path):
    async def run():
        monitor = ResourceMonitor(LocalStore(str(tmp_path)), "worker-0", interval=0.0)
        async with asyncio.timeout(DEADLINE):
            await monitor.run(dict, asyncio.Event())

    asyncio.run(run())
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_takes_nothing_does_not_stop_the_worker(tmp_path, capsys):
    (tmp_path / "logs").write_text("in the way of the folder")
    asyncio.run(sampled(LocalStore(str(tmp_path)), interval=3600.0, samples=1, pids={}))
    assert capsys.readouterr().err.count("resource usage could not be written") == 2


def test_a_process_of_this_machine_is_read_until_it_has_ended():
    cpu_seconds, rss = usage.process(os.getpid())
    assert cpu_seconds >= 0.0
    assert rss > 0.0
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert usage.process(ended.pid) == (None, None)


def test_a_peer_has_the_pid_that_the_kernel_knows_it_by(tmp_path):
    async def connected():
        loop = asyncio.get_running_loop()
        introduced = loop.create_future()

        class Handler:
            def host_connected(self, peer):
                introduced.set_result(peer.pid)

            def host_gone(self, peer):
                pass

            def reconcile(self):
                pass

        server = await gateway.serve(gateway.bind(str(tmp_path / "socket")), lambda: gateway.Peer(Handler()))
        _, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
        writer.write(encode([messages.HELLO_HOST, PROTOCOL, 4711]))  # whatever it says of itself
        async with asyncio.timeout(DEADLINE):
            pid = await introduced
        writer.close()
        server.close()
        return pid

    assert asyncio.run(connected()) == os.getpid()
