"""kopf's sessions: lists go to the store as a whole, and a watch that fails makes the operator unready."""

import asyncio
import json

import kopf
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from longshore_operator.watch.sessions import Watches
from longshore_operator.watch.store import Store

KINDS = ("Pod", "Dataset")
PODS, DATASETS = "/api/v1/pods", "/apis/longshore.dev/v1alpha1/datasets"


def listed(*names, version):
    items = [{"metadata": {"name": each, "namespace": "n", "uid": each, "resourceVersion": "1"}} for each in names]
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": str(version)}, "items": items}


class Served:
    """An API server whose answers a test chooses: a status code, a list, or the bytes of a watch in pieces."""

    def __init__(self):
        self.answers = {}
        self.store = Store()
        self.all_listed = []
        self.watches = Watches(KINDS, (), lambda *_: None, self.store.replace, self.store.has_written)
        self.watches.when_listed = lambda: self.all_listed.append(True)

    async def answer(self, request):
        found = self.answers[request.path]
        if isinstance(found, tuple):
            response = web.StreamResponse()
            await response.prepare(request)
            for piece in found:
                await response.write(piece)
            return response
        return web.Response(status=found) if isinstance(found, int) else web.json_response(found)

    def run(self, *steps):
        """Run steps, each with a session as kopf has it; return what the last one returns."""

        async def run():
            app = web.Application()
            app.router.add_get("/{path:.*}", self.answer)
            async with TestServer(app) as server:
                info = kopf.ConnectionInfo(server=str(server.make_url("")).rstrip("/"))
                session = self.watches.session(info)
                async with session.aiohttp_session as http:
                    for step in steps:
                        result = await step(http, session.server)
                return result

        return asyncio.run(run())


def get(path, answer, *, watch=False, served):
    async def step(http, server):
        served.answers[path] = answer
        async with http.get(server + path + ("?watch=true" if watch else "")) as response:
            if not watch and response.status == 200:
                await response.json()
        return served.watches.run

    return step


@pytest.fixture
def served():
    return Served()


def names_of(store):
    return [each["metadata"]["name"] for each in store.list("Pod", "n")]


def test_what_a_list_lacks_has_vanished_though_no_event_reports_it(served):
    served.run(get(PODS, listed("a", "b", version=5), served=served))
    assert names_of(served.store) == ["a", "b"]
    served.run(get(PODS, listed("b", version=9), served=served))
    assert names_of(served.store) == ["b"]
    assert served.store.read("Pod", "n", "b")["apiVersion"] == "v1"


def test_all_is_listed_when_each_kind_is(served):
    served.run(get(PODS, listed(version=5), served=served))
    assert (served.watches.have_listed, served.all_listed) == (False, [])
    served.run(get(DATASETS, listed(version=5), served=served), get(PODS, listed(version=6), served=served))
    assert (served.watches.have_listed, served.all_listed) == (True, [True])


def test_an_answer_about_something_else_is_no_list(served):
    served.run(get("/api/v1", {"resources": []}, served=served), get("/api/v1/secrets", {"items": []}, served=served))
    assert names_of(served.store) == []


@pytest.mark.parametrize(
    ("path", "code", "watch"),
    [(PODS, 403, True), (PODS, 500, False), (DATASETS, 410, True), (DATASETS, 429, False), (PODS, 503, True)],
)
def test_a_watch_that_fails_and_a_list_that_fails_count_until_the_watch_runs_again(served, path, code, watch):
    both = [get(each, {}, watch=True, served=served) for each in (PODS, DATASETS)]
    assert served.run(*both) is True
    assert served.run(*both, get(path, code, watch=watch, served=served)) is False
    assert served.run(get(path, {}, watch=True, served=served)) is True


def test_a_watch_that_reaches_no_process_does_not_run(served):
    both = [get(each, {}, watch=True, served=served) for each in (PODS, DATASETS)]
    assert served.run(*both) is True

    async def reach_nobody(http, _):
        with pytest.raises(OSError, match="Cannot connect"):
            await http.get(f"http://127.0.0.1:1{PODS}?watch=true")
        return served.watches.run

    assert served.run(reach_nobody) is False


# --- own writes ------------------------------------------------------------------------------------------------------


def pod(name, version, **more):
    metadata = {"name": name, "namespace": "n", "uid": name, "resourceVersion": str(version), **more}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


def line(kind, manifest):
    return json.dumps({"type": kind, "object": manifest}, separators=(",", ":")).encode() + b"\n"


def seen_by_kopf(served, pieces):
    """Return the objects of a watch's events that are left for kopf: type, name and resourceVersion of each."""

    async def watch(http, server):
        served.answers[PODS] = pieces
        async with http.get(f"{server}{PODS}?watch=true") as response:
            return b"".join([chunk async for chunk in response.content.iter_chunked(1024)])

    events = [json.loads(each) for each in served.run(watch).splitlines()]
    metadata = [each["object"]["metadata"] for each in events]
    return [(each["type"], of.get("name"), of["resourceVersion"]) for each, of in zip(events, metadata, strict=True)]


def in_pieces(text, size):
    return tuple(text[start : start + size] for start in range(0, len(text), size))


def without_bookmarks(events):
    return [each for each in events if each[0] != "BOOKMARK"]


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED"])
def test_an_event_of_an_own_write_that_was_answered_does_not_reach_kopf(served, kind):
    served.store.apply(pod("a", 5), own=True)
    events = (line(kind, pod("a", 5)), line(kind, pod("a", 6)))
    assert without_bookmarks(seen_by_kopf(served, events)) == [(kind, "a", "6")]


@pytest.mark.parametrize(
    ("kind", "manifest"),
    [
        ("MODIFIED", pod("a", 4)),
        ("DELETED", pod("a", 5)),
        ("BOOKMARK", pod("a", 5)),
        ("MODIFIED", pod("b", 7, annotations={"resourceVersion": "5"})),
        ("MODIFIED", pod("a", 5, annotations={"resourceVersion": "5"})),
    ],
    ids=["older", "a deletion", "a bookmark", "another's, which names the version", "one that names it twice"],
)
def test_every_other_event_reaches_kopf(served, kind, manifest):
    served.store.apply(pod("a", 5), own=True)
    metadata = manifest["metadata"]
    assert seen_by_kopf(served, (line(kind, manifest),)) == [(kind, metadata["name"], metadata["resourceVersion"])]


def test_a_version_of_another_owner_reaches_kopf_though_a_list_had_it(served):
    served.store.apply(pod("a", 5))
    assert seen_by_kopf(served, (line("MODIFIED", pod("a", 5)),)) == [("MODIFIED", "a", "5")]


@pytest.mark.parametrize("size", [1, 7, 64, 4096])
def test_events_are_whole_however_they_arrive(served, size):
    served.store.apply(pod("a", 5), own=True)
    text = line("ADDED", pod("b", 4)) + line("MODIFIED", pod("a", 5)) + line("MODIFIED", pod("b", 6, labels={"é": "x"}))
    text += line("BOOKMARK", pod("", 9)).rstrip(b"\n")  # the server may end anywhere
    seen = seen_by_kopf(served, in_pieces(text, size))
    assert [each for each in seen if each[1] is not None] == [
        ("ADDED", "b", "4"),
        ("MODIFIED", "b", "6"),
        ("BOOKMARK", "", "9"),
    ]


@pytest.mark.parametrize("size", [1, 7, 64, 4096])
@pytest.mark.parametrize("order", ["own", "own own", "other own", "own other", "other own own other own"])
def test_an_interrupted_watch_continues_from_its_latest_event_though_kopf_has_not_had_it(served, order, size):
    text = b""
    for version, whose in enumerate(order.split(), start=5):
        if whose == "own":
            served.store.apply(pod("a", version), own=True)
        text += line("MODIFIED", pod("a" if whose == "own" else "b", version))
    versions = [int(version) for _, _, version in seen_by_kopf(served, in_pieces(text, size))]
    assert versions[-1] == version
    assert versions == sorted(versions)
