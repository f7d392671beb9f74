"""One job of 5,000 files, on this machine and in every kind of store, sound or not: the same bytes come out."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode adds no folder of tests by itself

from faulty_proxy import faulty_proxy
from object_stores import BUCKET

from longshore_storage.store import open_store

FILES = int(os.environ.get("LONGSHORE_TEST_FILES", "5000"))
SHARE = 0.05
SCHEMES = {"s3": "s3", "gcs": "gs", "azure": "abfs"}
NAMES = [f"{number % 10}/{number:05d}.txt" for number in range(FILES)]
SCRIPT = """
import hashlib
import os

def run(mini_batch):
    return [os.path.basename(path) + " " + hashlib.sha256(open(path, "rb").read()).hexdigest() for path in mini_batch]
"""


def content(number):
    return b"%05d\n" % number * (1 + number % 50)


def spec_of(longshore, place, output):
    return longshore.step(
        "script.py",
        source={"uri": "file:code"},
        inputs=[{"name": "files", "file": {"paths": [place]}}],
        output={"name": "out", **output},
        miniBatchSize=100,
        nodeCount=2,
        processCountPerNode=1,
        runMaxTry=1,
        allowedFailedCount=0,
    )


@pytest.fixture(scope="module")
def expected():
    """The output, computed without any of it."""
    import hashlib

    rows = {name: hashlib.sha256(content(number)).hexdigest() for number, name in enumerate(NAMES)}
    return "".join(f"{name[2:]} {rows[name]}\n" for name in sorted(NAMES)).encode()


@pytest.fixture(scope="module", params=SCHEMES)
def filled(request):
    """A store with the files, as (the server, the folder's URL)."""
    name, folder = request.param, uuid4().hex
    server = request.getfixturevalue(name)
    store = open_store(f"{SCHEMES[name]}://{BUCKET}/{folder}/data")
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(store.put, NAMES, map(content, range(FILES))))
    return server, f"{SCHEMES[name]}://{BUCKET}/{folder}"


def test_on_this_machine(longshore, expected):
    for number, name in enumerate(NAMES):
        longshore.write(f"data/{name}", content(number))
    longshore.write("code/script.py", SCRIPT)
    longshore.manifest(spec_of(longshore, "data/", {}))
    ended = longshore.run()
    assert ended.code == 0, ended.stderr
    assert ended.output == expected


@pytest.mark.parametrize("share", [0.0, SHARE], ids=["sound", "faulty"])
def test_in_a_store(longshore, filled, expected, share):
    server, folder = filled
    longshore.write("code/script.py", SCRIPT)
    longshore.manifest(spec_of(longshore, f"{folder}/data/", {}))
    run = f"{folder}/run-{share}"
    longshore.run_dir = run
    [(variable, value)] = [(key, each) for key, each in server.variables.items() if "http://" in each]
    endpoint = value[value.index("http://") :].partition(";")[0]
    target = "/".join(endpoint.split("/")[:3])
    with faulty_proxy(target, share=share, seed=7) as proxy:
        longshore.variables[variable] = value.replace(target, proxy.url)
        ended = longshore.run(patience=300)
    assert ended.code == 0, ended.stderr
    assert ended.mini_batches == dict.fromkeys(("total", "scheduled", "succeeded"), -(-FILES // 100))
    store = open_store(run)
    assert store.get(f"out/{ended.status['output']['file']}") == expected
    assert proxy.done[""] > FILES
    if share:
        assert all(proxy.done[fault] > 10 for fault in ("503", "503 later", "429 later", "cut")), proxy.done
    print(proxy.done)
