"""Log lines: one object each, about something, and nothing that others' clients would give away."""

import asyncio
import http.server
import json
import logging
import warnings
from datetime import datetime, timedelta
from types import SimpleNamespace

import aiohttp
import kopf
import pytest
from kopf._cogs.clients import api, errors
from served import serving

from longshore_operator import logs


@pytest.fixture
def written(capsys):
    """What is logged, as a callable that returns its lines; logging is as it was afterwards."""
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    levels = {name: logging.getLogger(name).level for name in logs._FOREIGN}
    yield lambda: capsys.readouterr().err.splitlines()  # noqa: PLW0108
    logging.captureWarnings(False)
    root.handlers[:] = before[1]
    root.setLevel(before[0])
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_a_line_is_one_object_with_time_level_and_message(written):
    logs.configure(level="INFO", form="json")
    logging.getLogger("longshore.operator").info("two\nlines of %s", "text")
    (line,) = map(json.loads, written())
    assert datetime.fromisoformat(line.pop("time")).utcoffset() == timedelta(0)
    assert line == {"level": "info", "logger": "longshore.operator", "message": "two\nlines of text"}


def test_a_line_states_what_it_is_about_and_only_while_it_is(written):
    logs.configure(level="INFO", form="json")
    with logs.about(kind="ParallelRunStep", namespace="research", name="score"):
        logging.getLogger("longshore.operator").info("inside")
    logging.getLogger("longshore.operator").info("outside")
    inside, outside = map(json.loads, written())
    assert (inside["kind"], inside["namespace"], inside["name"]) == ("ParallelRunStep", "research", "score")
    assert not {"kind", "namespace", "name"} & outside.keys()


def test_the_object_that_kopf_names_is_named_the_same_way(written):
    logs.configure(level="INFO", form="json")
    reference = {"kind": "Pod", "namespace": "research", "name": "p", "uid": "u", "apiVersion": "v1"}
    logging.getLogger("kopf.objects").warning("slow", extra={"k8s_ref": reference})
    (line,) = map(json.loads, written())
    assert (line["kind"], line["namespace"], line["name"]) == ("Pod", "research", "p")
    assert "uid" not in line


def test_an_exception_stays_in_its_line(written):
    logs.configure(level="INFO", form="json")
    try:
        int("no")
    except ValueError:
        logging.getLogger("longshore.operator").exception("failed")
    (line,) = map(json.loads, written())
    assert line["exception"].endswith("ValueError: invalid literal for int() with base 10: 'no'")


def test_text_is_for_people(written):
    logs.configure(level="INFO", form="text")
    with logs.about(kind="ParallelRunStep", namespace="research", name="score"):
        logging.getLogger("longshore.operator").info("Create Pod score-worker-0")
    (line,) = written()
    assert line.endswith(" INFO research/score: Create Pod score-worker-0")


@pytest.mark.parametrize(
    "name", ["kubernetes.client.rest", "urllib3.connectionpool", "client", "kopf.objects", "aiohttp"]
)
def test_no_level_makes_the_clients_state_what_they_send(written, name):
    logs.configure(level="DEBUG", form="json")
    logging.getLogger("longshore.operator").debug("ours")
    logging.getLogger(name).debug("response body: a secret")
    logging.getLogger(name).info("response body: a secret")
    assert [json.loads(each)["message"] for each in written()] == ["ours"]


def test_a_warning_of_python_is_a_line_like_others(written):
    logs.configure(level="INFO", form="json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    (line,) = map(json.loads, written())
    assert line["level"] == "warning"
    assert "DeprecationWarning: old" in line["message"]


@pytest.mark.parametrize("status", [403, 429, 500, 503, None], ids=str)  # None: the connection is closed
def test_a_call_of_kopfs_that_is_retried_is_a_warning_and_one_that_is_given_up_an_error(written, status):
    class Failing(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if status:
                self.send_error(status, "storage is (re)initializing")

        def log_message(self, *_):
            """Print nothing: standard error is looked at."""

    async def call(url):
        settings = kopf.OperatorSettings()
        settings.networking.error_backoffs = (0.0, 0.0)
        async with aiohttp.ClientSession() as session:
            context = SimpleNamespace(session=session, server=url)
            await api.request(
                "get", "/apis", settings=settings, context=context, logger=logging.getLogger("kopf._cogs")
            )

    logs.configure(level="INFO", form="json")
    with serving(Failing) as server, pytest.raises((errors.APIError, aiohttp.ClientError)):
        asyncio.run(call(server.url))
    lines = list(map(json.loads, written()))
    assert [each["level"] for each in lines] == ["warning", "warning", "error"]
    assert all(server.url in each["message"] for each in lines)


def test_an_error_of_others_stays_one(written):
    logs.configure(level="INFO", form="json")
    for name, message in (("kopf.objects", "Handler failed"), ("longshore.operator", "Request attempt #1; will retry")):
        logging.getLogger(name).error(message)
    assert [json.loads(each)["level"] for each in written()] == ["error", "error"]
