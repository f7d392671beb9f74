"""A real Kubernetes for the tests of a session: the checkout's own that is up, else one that is created and ended here.

Where none can be created, every test that needs it is skipped, with a section of its own in the summary; under CI it
fails. One cluster, one operator, one set of images: each test has a namespace of its own, and the processes of
pytest-xdist share them. Files that are marked `alone` stop or disturb what others share: one process runs them all, on
a second cluster, while the other processes run everything else on the first.
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
from functools import cache
from pathlib import Path

import pytest
from charts import RELEASE, Release
from kube import Kubectl, eventually
from localcluster import cluster as local
from localcluster import install, machine
from localcluster.places import CHECKOUT, Places, places
from localcluster.processes import Problem, run
from squares import Pipelines
from steps import HALF, Steps
from tidying import tidied
from xdist.scheduler import LoadFileScheduling

HERE = Path(__file__).parent
_SHARED = "LONGSHORE_TEST_SHARED"  # names the folder that the processes of a session share
_ALONE = "alone"
# What begins first: what one process works on for longest.
_LONG = (_ALONE, "stores_in_pods", "azureml_scripts", "pipeline_runs", "local_cluster")


def pytest_configure(config):
    """Create the folder that the processes of this session share; at its end, end the clusters that they created."""
    if hasattr(config, "workerinput"):
        if _SHARED not in os.environ:
            raise pytest.UsageError("to run cluster tests in several processes, name tests/cluster as an argument")
        return
    if config.getoption("dist", "no") not in ("no", "loadfile"):
        raise pytest.UsageError("to run cluster tests in several processes, add --dist loadfile --no-loadscope-reorder")
    os.environ[_SHARED] = tempfile.mkdtemp(prefix="longshore-cluster-tests-")
    config.add_cleanup(_clear)


def _clear():
    folder = Path(os.environ.pop(_SHARED))
    for each in folder.glob("created-*"):
        local.down(Places(Path(each.read_text())))
    shutil.rmtree(folder)


class _Scheduling(LoadFileScheduling):
    """A process works on a file at a time, and one process on all files that are marked `alone`."""

    def _split_scope(self, nodeid):
        return _group(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)  # unknown where pytest-xdist is off
def pytest_xdist_make_scheduler(config, log):
    return _Scheduling(config, log)


def pytest_collection_modifyitems(items):
    """Put what takes longest first."""
    order = {name: number for number, name in enumerate(_LONG)}
    items.sort(key=lambda each: order.get(_group(each.nodeid.partition("::")[0]), len(_LONG)))


@cache
def _group(file):
    """Return the unit of work that a file of tests, relative to the checkout, belongs to."""
    path = CHECKOUT / file
    alone = path.parent == HERE and "pytestmark = pytest.mark.alone" in path.read_text()
    return _ALONE if alone else path.stem.removeprefix("test_")


def _shared(name):
    return Path(os.environ[_SHARED], name)


@contextmanager
def _locked(name, how=fcntl.LOCK_EX):
    """Hold a lock that the processes of this session share."""
    with _shared(f"{name}.lock").open("w") as file:
        fcntl.flock(file, how)
        yield


def _once(place, name, make):
    """Return the text of what `make` returns, which only the first process that asks calls for a cluster."""
    file = _shared(f"{name}-{place.id}")
    with _locked(file.name):
        if not file.exists():
            file.write_text(str(make()))
        return file.read_text()


# The fixtures below are those of a module: the process that has run all files marked `alone` continues on the other
# cluster. What costs time is done once for each cluster.


@pytest.fixture(scope="module")
def place(request):
    """Return the places of a cluster with a node: the checkout's, or the one for files that are marked `alone`."""
    place = _place_of(request.node)
    with _locked("cluster"):  # both start one after the other: they choose free networks, and may install programs
        if not local.takes_images(place):
            _make(place, request.config)
        _shared("release").write_text(local.running(place).release)
    return place


def _place_of(module):
    first = places()
    if "PYTEST_XDIST_WORKER" in os.environ and module.get_closest_marker(_ALONE):
        return Places(first.state.with_name(f"{first.state.name}-alone"))
    return first


def _make(place, config):
    if _shared("left-out").exists():
        _leave_out(_shared("left-out").read_text())
    if os.geteuid() or not machine.is_debian():
        _leave_out("no cluster is up, and only root on Debian can make one")
    _shared(f"created-{place.id}").write_text(str(place.state))
    capture = config.pluginmanager.getplugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled():  # it may install and build for minutes, and says so
            local.up(place, with_node=True)
    except (Problem, OSError) as problem:
        _leave_out(f"no cluster is up, and none can be made: {problem}")


@pytest.fixture(scope="module")
def kubectl(place):
    with tidied(Kubectl(place.kubeconfig)):
        yield Kubectl(place.kubeconfig)


@pytest.fixture(scope="module")
def images(place):
    """Have our image, of the code as it is, and the user's in the cluster; return the archive of ours."""

    def build():
        _image(place, "--base")
        ours = _image(place)
        assert local.takes_images(place), "or they were not loaded"
        return ours

    return Path(_once(place, "image", build))


@pytest.fixture(scope="module")
def tables_image(place):
    """Have an image with pandas and pyarrow in the cluster, and return its name."""
    return _image_of(place, "tables")


@pytest.fixture(scope="module")
def later_version(place, images):  # noqa: ARG001, it is built upon ours
    """Have an image of a later version of Longshore in the cluster, and return its tag."""
    dockerfile = CHECKOUT / "tests" / "data" / "images" / "later" / "Dockerfile"
    _once(place, "later", lambda: _image(place, "--file", dockerfile, "--tag", "localhost/longshore:later"))
    return "later"


@pytest.fixture(scope="module")
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
            _image(place, "--file", dockerfile, "--tag", name, "--keep")
    return name


def _image(place, *arguments):
    """Build an image, or have the base image, and load it into a cluster; return the archive that holds it."""
    command = [CHECKOUT / "deploy" / "local" / "cluster", "image", *arguments]
    environment = {**os.environ, "PYTHON": sys.executable, "LONGSHORE_CLUSTER_STATE": str(place.state)}
    built = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert built.returncode == 0, built.stderr[-2000:]
    return Path(built.stdout.split()[-1])


@pytest.fixture(scope="module")
def installed(place, images):
    """Have Longshore in the cluster, by its chart, for all namespaces."""
    _once(place, "installed", lambda: install.install(place, images, host_paths=True))


@pytest.fixture(scope="module")
def crds(place, kubectl, installed):  # noqa: ARG001, the chart includes them
    """Return the names of our custom resource definitions, which are served."""
    names = [f"{file.stem}.longshore.dev" for file in sorted((CHECKOUT / "crds").iterdir())]

    def served():
        for each in names:
            eventually(lambda each=each: kubectl.try_("get", each).returncode == 0)  # established, and served

    _once(place, "crds", served)
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
