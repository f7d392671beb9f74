"""A real Kubernetes for the tests of a session: the checkout's own that is up, else one that is made and ended here.

Where none can be made, every test that needs it is skipped, in words that nobody overlooks; under CI it fails.
One cluster, one operator, one set of images: each test has a namespace of its own. Several processes of pytest-xdist
may share them: what is made once, one of them makes, and files that are marked `alone` run while no other file does.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest
from charts import RELEASE, Release
from kube import Kubectl, eventually
from localcluster import cluster as local
from localcluster import install, machine
from localcluster.places import CHECKOUT, places
from localcluster.processes import Problem, run
from squares import Pipelines
from steps import HALF, Steps
from tidying import tidied

_SHARED = "LONGSHORE_TEST_SHARED"  # names the folder that the processes of a session share


def pytest_configure(config):
    """Make the folder that the processes of this session share; at its end, end the cluster that one of them made."""
    if hasattr(config, "workerinput"):
        if _SHARED not in os.environ:
            raise pytest.UsageError("to run cluster tests in several processes, name tests/cluster as an argument")
        return
    os.environ[_SHARED] = tempfile.mkdtemp(prefix="longshore-cluster-tests-")
    config.add_cleanup(_clear)


def _clear():
    if _shared("made").exists():
        local.down(places())
    shutil.rmtree(os.environ.pop(_SHARED))


def pytest_collection_modifyitems(items):
    """Put what must be alone last: until then, no process waits for another one."""
    items.sort(key=lambda each: each.get_closest_marker("alone") is not None)


def _shared(name):
    return Path(os.environ[_SHARED], name)


@contextmanager
def _locked(name, how=fcntl.LOCK_EX):
    """Hold a lock that the processes of this session share."""
    with _shared(f"{name}.lock").open("w") as file:
        fcntl.flock(file, how)
        yield


def _once(name, make):
    """Return the text of what `make` returns, which only the first process that asks calls."""
    with _locked(name):
        if not _shared(name).exists():
            _shared(name).write_text(str(make()))
        return _shared(name).read_text()


@pytest.fixture(scope="session")
def place(pytestconfig):
    """Return the places of a cluster with a node."""
    place = places()
    with _locked("cluster"):
        if not local.takes_images(place):
            _make(place, pytestconfig)
        _shared("release").write_text(local.running(place).release)
    return place


def _make(place, config):
    if _shared("left-out").exists():
        _leave_out(_shared("left-out").read_text())
    if os.geteuid() or not machine.is_debian():
        _leave_out("no cluster is up, and only root on Debian can make one")
    _shared("made").touch()
    capture = config.pluginmanager.getplugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled():  # it may install and build for minutes, and says so
            local.up(place, with_node=True)
    except (Problem, OSError) as problem:
        _leave_out(f"no cluster is up, and none can be made: {problem}")


@pytest.fixture(scope="module", autouse=True)
def _turn(request, place):  # noqa: ARG001, the cluster is made before anybody's turn
    """Let a file that is marked `alone` run while no other one does; it stops or disturbs what all share."""
    alone = request.node.get_closest_marker("alone")
    with _locked("turn", fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
        yield


@pytest.fixture(scope="session")
def kubectl(place):
    with tidied(Kubectl(place.kubeconfig)):
        yield Kubectl(place.kubeconfig)


@pytest.fixture(scope="session")
def images(place):
    """Have our image, of the code as it is, and the user's in the cluster; return the archive of ours."""

    def build():
        _image("--base")
        ours = _image()
        assert local.takes_images(place), "or they were not loaded"
        return ours

    return Path(_once("image", build))


@pytest.fixture(scope="session")
def tables_image(place):
    """Have an image with pandas and pyarrow in the cluster, and return its name."""
    return _image_of(place, "tables")


@pytest.fixture(scope="session")
def later_version(images):  # noqa: ARG001, it is built upon ours
    """Have an image of a later version of Longshore in the cluster, and return its tag."""
    dockerfile = CHECKOUT / "tests" / "data" / "images" / "later" / "Dockerfile"
    _once("later", lambda: _image("--file", dockerfile, "--tag", "localhost/longshore:later"))
    return "later"


@pytest.fixture(scope="session")
def servers_image(place):
    """Have an image for an object store and a database in the cluster, and return its name."""
    return _image_of(place, "servers")


def _image_of(place, folder):
    """Have an image of tests/data/images in the cluster, and return its name; each content is built once."""
    dockerfile = CHECKOUT / "tests" / "data" / "images" / folder / "Dockerfile"
    name = f"localhost/longshore-test-{folder}:{hashlib.sha256(dockerfile.read_bytes()).hexdigest()[:12]}"
    of_the_cluster = ("ctr", "--address", place.containerd, "--namespace", "k8s.io", "images", "list", "--quiet")
    with _locked(folder):
        if not run(*of_the_cluster, f"name=={name}"):
            _image("--file", dockerfile, "--tag", name, "--keep")
    return name


def _image(*arguments):
    """Build an image, or have the base image, and load it; return the archive that holds it."""
    command = [CHECKOUT / "deploy" / "local" / "cluster", "image", *arguments]
    environment = {**os.environ, "PYTHON": sys.executable}
    built = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert built.returncode == 0, built.stderr[-2000:]
    return Path(built.stdout.split()[-1])


@pytest.fixture(scope="session")
def installed(place, images):
    """Have Longshore in the cluster, by its chart, for all namespaces."""
    _once("installed", lambda: install.install(place, images, host_paths=True))


@pytest.fixture(scope="session")
def crds(kubectl, installed):  # noqa: ARG001, the chart brings them
    """Return the names of our custom resource definitions, which are served."""
    names = [f"{file.stem}.longshore.dev" for file in sorted((CHECKOUT / "crds").iterdir())]
    for each in names:
        eventually(lambda each=each: kubectl.try_("get", each).returncode == 0)  # established, and served
    return names


@pytest.fixture
def namespace(kubectl, crds):  # noqa: ARG001, a fixture cannot ask for another but as an argument
    """Kubectl in a namespace of the test's own, removed afterwards."""
    with _new_namespace(kubectl) as made:
        yield made


@pytest.fixture(scope="module")
def shared_namespace(kubectl, crds):  # noqa: ARG001, a fixture cannot ask for another but as an argument
    """Kubectl in a namespace that the tests of a module share, removed after the last of them."""
    with _new_namespace(kubectl) as made:
        yield made


@contextmanager
def _new_namespace(kubectl):
    name = f"test-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    yield kubectl.in_namespace(name)
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def operator(place, installed):  # noqa: ARG001, it must be there
    """Have the operator run, whatever the test before did to it."""
    install.start(place)


@pytest.fixture
def unattended(place, namespace):
    """Kubectl in a namespace that no operator looks after: statuses are the test's."""
    install.stop(place)
    return namespace


@pytest.fixture
def release(unattended):
    release = Release(unattended)
    with release.config:
        yield release
        release.config.uninstall(RELEASE, ignore_not_found=True, wait="watcher", timeout=120)


@pytest.fixture
def steps(operator, namespace, tmp_path):  # noqa: ARG001, the operator must run
    return Steps(namespace, tmp_path / "data")


def _leave_out(why):
    if os.environ.get("CI") == "true":
        pytest.fail(f"{why}; under CI the tests on a cluster are not optional", pytrace=False)
    _shared("left-out").write_text(why)
    pytest.skip(why)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter):
    """Report it last, after the list of what was skipped."""
    result = yield
    if _shared("release").exists():
        terminalreporter.write_line(f"on a cluster: Kubernetes {_shared('release').read_text()}")
    if _shared("left-out").exists():
        terminalreporter.section("NOT TESTED ON A CLUSTER", sep="!", red=True, bold=True)
        terminalreporter.write_line(_shared("left-out").read_text())
    return result


@pytest.fixture
def halfway(steps):
    """A step of which half is done and the rest waits to be let on."""
    steps.submit(limit=HALF)
    steps.until_done(HALF)
    return steps


@pytest.fixture
def pipelines(operator, namespace, tmp_path):  # noqa: ARG001, the operator must run
    return Pipelines(namespace, tmp_path / "data")
