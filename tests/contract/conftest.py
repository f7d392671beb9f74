"""The newest server of custom resources, where it was built on this machine.

Nothing builds it unasked, as that takes minutes. Where it is missing, what needs it is skipped, in words that nobody
overlooks, under CI as well: on most machines Debian's archives are out of reach.
"""

import pytest
from crd_server import crd_server
from localcluster.crd_server import BUILD, built

_MISSING = "the newest server of custom resources was not built on this machine"


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A running server, which has no definition yet."""
    if not (programs := built()):
        pytest.skip(_MISSING)
    with crd_server(programs, tmp_path_factory.mktemp("crd-server")) as server:
        yield server


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter):
    """Report it last, after the list of what was skipped."""
    result = yield
    skipped = [each for each in terminalreporter.stats.get("skipped", []) if _MISSING in str(each.longrepr)]
    if skipped:
        terminalreporter.section("NOT CHECKED AGAINST A CURRENT API SERVER", sep="!", red=True, bold=True)
        terminalreporter.write_line(
            f"{len(skipped)} tests of crds/ and of manifests: {_MISSING}. On Debian, `{BUILD}` builds it (8 minutes of "
            "processor time, once a machine), and the tests use it from then on."
        )
    return result
