"""One job of many files, on this machine and in every kind of store, sound or not: the same bytes come out.

LONGSHORE_TEST_FILES says how many: the stores of these tests, and not Longshore, need minutes for 5,000.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from faulty_proxy import faulty_proxy
from s3_server import BUCKET

from longshore_storage.store import open_store

FILES = int(os.environ.get("LONGSHORE_TEST_FILES", "300"))
SHARE = 0.05
CLAIMS = 12
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
        miniBatchSize=20,
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
    with faulty_proxy(server.root, share=share, seed=7) as proxy:
        longshore.variables.update(server.led_to(proxy.url))
        ended = longshore.run(patience=300)
    assert ended.code == 0, ended.stderr
    assert ended.mini_batches == dict.fromkeys(("total", "scheduled", "succeeded"), -(-FILES // 20))
    store = open_store(run)
    assert store.get(f"out/{ended.status['output']['file']}") == expected
    assert proxy.done[""] > FILES
    if share:
        assert all(proxy.done[fault] > 1 for fault in ("503", "503 later", "429 later", "cut")), proxy.done


@pytest.mark.parametrize("name", SCHEMES)
def test_what_was_created_is_created_whatever_happens_to_the_answer(request, name, monkeypatch):
    running = request.getfixturevalue(name)
    with faulty_proxy(running.root, share=0.2, seed=137) as proxy, monkeypatch.context() as patch:
        for variable, value in running.led_to(proxy.url).items():
            patch.setenv(variable, value)
        store = open_store(f"{SCHEMES[name]}://bucket/{uuid4()}/run", skip_instance_cache=True)
        with ThreadPoolExecutor(CLAIMS) as threads:
            assert all(threads.map(lambda number: store.create(f"{number}", b"mine %d" % number), range(CLAIMS)))
            assert not any(threads.map(lambda number: store.create(f"{number}", b"yours %d" % number), range(CLAIMS)))
            assert list(threads.map(store.get, map(str, range(CLAIMS)))) == [
                b"mine %d" % number for number in range(CLAIMS)
            ]
    assert proxy.done["cut"] > 1
