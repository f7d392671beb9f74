"""What a local run uses works without prctl(), /proc and whatever else only Linux has (tests/bare)."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from platforms import bare_python_path

ROOT = Path(__file__).resolve().parents[2]

CASES = {
    "all modules of a local run": """
import importlib, pkgutil
for name in ("cli", "coordinator", "agent", "client", "storage", "host", "protocol", "run", "shims"):
    package = importlib.import_module("longshore_" + name)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith(("__main__", ".sitecustomize")) and ".path" not in module.name:
            importlib.import_module(module.name)
""",
    "a file": """
from longshore_storage.files import file_version, open_local
open("a.txt", "w").write("a")
assert open_local("a.txt").read() == b"a" and file_version(os.path.abspath("a.txt")).stamp.startswith("1 ")
""",
    "a volume, which is refused": """
import errno
from longshore_storage import beneath
os.environ[beneath.VARIABLE] = os.getcwd()
try:
    beneath.status(os.getcwd())
except OSError as error:
    assert error.errno == errno.ENOTSUP and "only Linux" in str(error), error
else:
    raise AssertionError
""",
    "the process id of a peer": """
import asyncio, socket
from longshore_agent.gateway import Peer
from longshore_protocol import messages
from longshore_protocol.frames import encode
from longshore_protocol.wire import PROTOCOL

class Handler:
    def host_connected(self, peer):
        peers.append(peer)

    def settle(self):
        pass

    def host_gone(self, peer):
        pass

async def main():
    here, there = socket.socketpair()
    await asyncio.get_running_loop().connect_accepted_socket(lambda: Peer(Handler()), here)
    there.send(encode([messages.HELLO_HOST, PROTOCOL, 4711]))
    while not peers:
        await asyncio.sleep(0)
    assert peers[0].pid == 4711
    peers[0].close()
    there.close()

peers = []
asyncio.run(main())
""",
    "the stacks of a process": """
import signal
from longshore_host import dumps
sys.stderr.flush()
dumps.enable()
signal.raise_signal(dumps.SIGNAL)
""",
    "processes killed for memory, of which none is counted": """
from longshore_host.memory import out_of_memory_kills, prefer_as_out_of_memory_victim, reuse_freed_memory
prefer_as_out_of_memory_victim()
reuse_freed_memory()
assert out_of_memory_kills() == 0
""",
    "the children that have ended": """
from longshore_host.orphans import reaped
codes = ("", "raise SystemExit(3)", "import os; os.abort()")
children = [subprocess.Popen([sys.executable, "-c", code]) for code in codes]
found = {}
while len(found) < 3:
    found.update(reaped())
assert [found[each.pid] for each in children] == [0, 3, -6]
for each in children:
    each.returncode = found[each.pid]
""",
    "the machine's resources": """
from longshore_agent import usage
assert usage.memory()[0] and usage.cpu_seconds() and usage.process(os.getpid())[1]
""",
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_part_of_a_local_run_works(case, tmp_path):
    code = "import os, subprocess, sys\nassert not os.path.exists('/proc')\n" + case
    environment = {**os.environ, "PYTHONPATH": bare_python_path()}
    subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, cwd=tmp_path, check=True, timeout=120)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("platform", ["linux", "bare"])
def test_what_the_command_writes_into_the_source_folder_is_no_code(tmp_path, stream, platform):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "main.py").write_text("def run(mini_batch): ...")
    code = """
import sys
from longshore_cli.source import digest_job_code
from longshore_protocol.job import Input, Job, MiniBatchSize, Output
size, output = MiniBatchSize("files", 1), Output("summary_only", "/out")
job = Job("s", "1", "/run", (Input("i", ("/in",)),), size, output, "code", "main.py")
assert list(digest_job_code(job, [])) == ["main.py"], used_code(job, [])
"""
    environment = dict(os.environ)
    if platform == "bare":
        environment["PYTHONPATH"] = bare_python_path()
    with (tmp_path / "code" / "log.txt").open("wb") as log:
        log.write(b"before")
        subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=tmp_path, check=True, timeout=60, **{stream: log}
        )


def test_the_tests_that_need_linux_are_listed_with_their_reasons():
    listed = re.findall(
        r"^\| `(test_\w+)` \| (.+) \|$", (ROOT / "docs/contributing/tests.md").read_text(), re.MULTILINE
    )
    pattern = re.compile(r'@pytest\.mark\.linux\("(.+)"\)\n(?:@.+\n)*def (test_\w+)')
    marked = [
        found for path in sorted((ROOT / "tests").rglob("test_*.py")) for found in pattern.findall(path.read_text())
    ]
    assert sorted((name, reason.replace("`", "")) for name, reason in listed) == sorted(
        (name, reason) for reason, name in marked
    )
