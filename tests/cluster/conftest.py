"""A real Kubernetes for the tests of a session: the checkout's own that is up, else one that is made and ended here.

Where none can be made, every test that needs it is skipped, in words that nobody overlooks; under CI it fails.
One cluster, one operator, one set of images: each test has a namespace of its own.
"""

import hashlib
import os
import subprocess
import sys
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
from steps import Steps
from tidying import tidied

_left_out, _releases = [], []  # why no cluster was there; what Kubernetes was


@pytest.fixture(scope="session")
def place(pytestconfig):
    """Return the places of a cluster with a node."""
    place = places()
    if local.takes_images(place):
        _releases.append(local.running(place).release)
        yield place
        return
    if os.geteuid() or not machine.is_debian():
        _leave_out("no cluster is up, and only root on Debian can make one")
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled():  # it may install and build for minutes, and says so
            local.up(place, with_node=True)
    except (Problem, OSError) as problem:
        _leave_out(f"no cluster is up, and none can be made: {problem}")
    try:
        _releases.append(local.running(place).release)
        yield place
    finally:
        local.down(place)


@pytest.fixture(scope="session")
def kubectl(place):
    with tidied(Kubectl(place.kubeconfig)):
        yield Kubectl(place.kubeconfig)


@pytest.fixture(scope="session")
def images(place):
    """Have our image, of the code as it is, and the user's in the cluster; return the archive of ours."""
    _image("--base")
    ours = _image()
    assert local.takes_images(place), "or they were not loaded"
    return ours


@pytest.fixture(scope="session")
def tables_image(place):
    """Have an image with pandas and pyarrow in the cluster, and return its name."""
    return _image_of(place, "tables")


@pytest.fixture(scope="session")
def later_version(images):  # noqa: ARG001, it is built upon ours
    """Have an image of a later version of Longshore in the cluster, and return its tag."""
    _image(
        "--file", CHECKOUT / "tests" / "data" / "images" / "later" / "Dockerfile", "--tag", "localhost/longshore:later"
    )
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
    install.install(place, images, host_paths=True)


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
    _left_out.append(why)
    pytest.skip(why)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter):
    """Report it last, after the list of what was skipped."""
    result = yield
    for release in _releases:
        terminalreporter.write_line(f"on a cluster: Kubernetes {release}")
    for why in sorted(set(_left_out)):
        terminalreporter.section("NOT TESTED ON A CLUSTER", sep="!", red=True, bold=True)
        terminalreporter.write_line(why)
    return result
