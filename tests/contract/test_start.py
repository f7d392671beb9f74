"""What the processes of a run import before they work: a user waits for each module of it."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from longshore_protocol.importing import importing

_OPTIONAL = {"kopf", "kubernetes", "numpy", "pandas", "prometheus_client", "pyarrow", "rich", "sklearn", "sqlalchemy"}
_STORES = {"adlfs", "fsspec", "gcsfs", "s3fs"}
_ENGINE = {"aiohttp", "asyncio", "longshore_coordinator", "longshore_planner", "pydantic", "yaml"}
_PIPELINES = {"longshore_cli.pipeline_command", "longshore_planner.pipelines", "longshore_planner.cluster"}
_PARSE = "from longshore_cli.__main__ import make_parser; make_parser().parse_args({})"


@pytest.mark.parametrize(
    ("code", "unneeded"),
    [
        (_PARSE.format(["run", "step.yaml"]), _OPTIONAL | _STORES | _ENGINE),
        (_PARSE.format(["import", "azureml", "job.yml"]), _OPTIONAL | _STORES | _ENGINE),
        ("import longshore_cli.run_command", _OPTIONAL | _STORES | _PIPELINES | {"aiohttp"}),
        ("import longshore_cli.run_command, longshore_cli.local_run", _OPTIONAL | _STORES | _PIPELINES),
        ("import longshore_coordinator.__main__", _OPTIONAL | _STORES | {"pydantic", "yaml"}),
        ("import longshore_agent.__main__", _OPTIONAL | _STORES | {"aiohttp", "pydantic", "yaml"}),
        ("import longshore_agent.agent", _OPTIONAL | _STORES | {"aiohttp.web", "pydantic", "yaml"}),
        ("import longshore_agent.task", _OPTIONAL | _STORES | {"aiohttp", "pydantic", "yaml"}),
        ("import longshore_host.__main__", _OPTIONAL | _STORES | _ENGINE | {"hashlib"}),
        ("import longshore_host.child", _OPTIONAL | _STORES | _ENGINE | {"hashlib"}),
    ],
)
def test_a_process_imports_nothing_that_only_some_runs_need(code: str, unneeded: set[str]):
    ended = subprocess.run(
        [sys.executable, "-c", f"import sys; before = {{*sys.modules}}; {code}; print(*sys.modules.keys() - before)"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert unneeded & set(ended.stdout.split()) == set()


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("collects", [True, False])
def test_what_is_imported_is_exempt_from_garbage_collection(*, known: bool, collects: bool, monkeypatch):
    monkeypatch.setattr(gc, "isenabled", lambda: collects)
    calls = []
    for name in ("disable", "enable", "freeze"):
        monkeypatch.setattr(gc, name, lambda name=name: calls.append(name))
    with importing():
        if not known:
            monkeypatch.setitem(sys.modules, "imported_by_this_test", sys)
    assert calls == ["disable", *([] if known else ["freeze"]), *(["enable"] if collects else [])]


def test_garbage_collection_goes_on_after_an_import_that_fails():
    assert gc.isenabled()
    with pytest.raises(ImportError), importing():
        raise ImportError("no module")
    assert gc.isenabled()
