"""What holds for all tests: no example of hypothesis is failed for being slow, for a machine may be busy.

And the object stores and the database that several tiers use: started when the first test asks for one.
"""

import os
import signal
from unittest import mock

import object_stores
import platforms
import postgres_server
import pytest
import s3_server
from hypothesis import HealthCheck, settings

from longshore_host import orphans

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# Files of whole runs that take more than half a minute each. They begin first: one that began last would be a lone
# process while the other cores have nothing left to do.
_LONG = ("torch_digits", "under_fire", "stores_alike", "object_store", "pipelines", "chaos", "agent_memory",
         "failing_stores", "registration", "packages", "data_by_name", "azureml_shapes", "azureml_tutorials",
         "python_runs")  # fmt: skip
_PLATFORM = os.environ.pop("LONGSHORE_TEST_PLATFORM", "")
if _PLATFORM == platforms.BARE:  # for every process that a test starts
    os.environ["PYTHONPATH"] = platforms.bare_python_path()
elif _PLATFORM:
    raise pytest.UsageError(f'LONGSHORE_TEST_PLATFORM is "{_PLATFORM}"; "{platforms.BARE}" is the only value')


def pytest_collection_modifyitems(config, items):
    """Put the longest files first, in their order above; leave out, on a simulated platform, what needs Linux."""
    places = {f"tests/engine/test_{name}.py": place for place, name in enumerate(_LONG)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(_LONG)))
    if _PLATFORM:
        left_out = [each for each in items if each.get_closest_marker("linux")]
        items[:] = [each for each in items if each not in left_out]
        config.hook.pytest_deselected(items=left_out)


_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGCHLD)


@pytest.fixture(autouse=True)
def _signals_are_kept():
    """No test leaves other handlers of signals than it found: what later tests start would ignore what these ignore."""
    before = [signal.getsignal(each) for each in _SIGNALS]
    yield
    assert [signal.getsignal(each) for each in _SIGNALS] == before


@pytest.fixture
def restored_signals():
    """Restore the handlers of signals after a test of code that sets them until its process ends."""
    before = {each: signal.getsignal(each) for each in _SIGNALS}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.fixture(autouse=True)
def _children_are_kept(monkeypatch):
    """Code of a command that a test runs in this process kills no server that another test has started."""
    monkeypatch.setattr(orphans, "adopt", lambda: None)
    monkeypatch.setattr(orphans, "kill_adopted", lambda: None)


@pytest.fixture(scope="session")
def s3():
    """A store that speaks S3, which this process and those that it starts are led to."""
    with s3_server.s3_server() as server, mock.patch.dict(os.environ, server.variables):
        yield server


@pytest.fixture(scope="session")
def gcs():
    """A store that speaks Google's protocol, which this process and those that it starts are led to."""
    with object_stores.gcs_server() as server, mock.patch.dict(os.environ, server.variables):
        yield server


@pytest.fixture(scope="session")
def azure_servers():
    """The emulator of Azure's protocol, and the next one where it has crashed."""
    with object_stores.azure_servers() as servers:
        yield servers


@pytest.fixture(scope="module")
def azure(azure_servers):
    """A store that speaks Azure's protocol, which this process and those that it starts are led to."""
    server = azure_servers.running()
    with mock.patch.dict(os.environ, server.variables):
        yield server


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server, whose user and password this process and those that it starts have."""
    with postgres_server.postgres_server() as server, mock.patch.dict(os.environ, server.variables):
        yield server
