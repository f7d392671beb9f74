"""kopf's sessions: lists go to the store as a whole, and a watch that fails makes the operator unready."""

import asyncio

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
    """An API server whose answers a test chooses: a status code, or a list."""

    def __init__(self):
        self.answers = {}
        self.store = Store()
        self.all_listed = []
        self.watches = Watches(KINDS, (), lambda *_: None, self.store.replace)
        self.watches.when_listed = lambda: self.all_listed.append(True)

    async def answer(self, request):
        found = self.answers[request.path]
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


def test_what_a_list_lacks_has_vanished_though_no_event_says_so(served):
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


def test_a_watch_that_reaches_nobody_does_not_run(served):
    both = [get(each, {}, watch=True, served=served) for each in (PODS, DATASETS)]
    assert served.run(*both) is True

    async def reach_nobody(http, _):
        with pytest.raises(OSError, match="Cannot connect"):
            await http.get(f"http://127.0.0.1:1{PODS}?watch=true")
        return served.watches.run

    assert served.run(reach_nobody) is False
