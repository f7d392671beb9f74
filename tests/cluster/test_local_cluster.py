"""The local cluster: real pods that find each other, and nothing left of it, however it ends."""

import os
from pathlib import Path

import pytest
from localcluster import cluster, images, machine
from localcluster.places import Places, locked, read_record, write_record
from localcluster.processes import run
from localcluster.sandbox import cgroup_name

pytestmark = pytest.mark.usefixtures("kubectl")  # skipped where no cluster can be made


@pytest.fixture
def second(tmp_path):
    """The places of one more cluster, beside the one of the session; ended afterwards."""
    place = Places(tmp_path / "cluster")
    yield place
    cluster.down(place)


def left_of(place):
    """Return what a cluster left outside its folder."""
    links = run("ip", "-oneline", "link", "show")
    mounts = Path("/proc/mounts").read_text()
    cgroups = [str(each) for each in Path("/sys/fs/cgroup").glob(f"**/{cgroup_name(place).strip('/')}")]
    return [each for each in (f"kl-{place.id}", str(place.state)) if each in links or each in mounts] + cgroups


def node_of(kubectl):
    return kubectl.get("nodes")[0]["status"]["addresses"][0]["address"]


def test_two_clusters_run_side_by_side_and_one_ends_alone(kubectl, second):
    record = cluster.up(second, with_node=True)
    other = type(kubectl)(second.kubeconfig)
    assert node_of(other) == f"10.{record.network}.0.1"
    assert node_of(kubectl) != node_of(other)
    assert set(cluster.states(second).values()) == {"running"}
    assert cluster.up(second, with_node=True) == record  # once more changes nothing
    cluster.down(second)
    assert not record.keeper.is_alive()
    assert not second.state.exists()
    assert left_of(second) == []
    assert kubectl.get("nodes")


def test_a_killed_cluster_is_cleared_away_by_the_next(second):
    killed = cluster.up(second, with_node=False).keeper
    killed.kill()
    cluster.wait_until(lambda: not killed.is_alive(), "its end", seconds=60)
    with pytest.raises(cluster.Problem, match="no cluster is up"):
        cluster.states(second)
    record = cluster.up(second, with_node=False)
    assert record.keeper != killed
    assert set(cluster.states(second)) == {"etcd", "apiserver", "controller-manager", "scheduler"}


def test_a_recorded_process_id_that_now_belongs_to_another_is_left_alone(second):
    record = cluster.up(second, with_node=False)
    record.keeper.kill()
    mine = type(record.keeper)(os.getpid(), record.keeper.start, record.keeper.boot)
    write_record(second, type(record)(mine, record.network, with_node=False, ready=True))
    assert cluster.up(second, with_node=False).keeper != mine  # and this test still runs


def test_a_start_that_fails_leaves_nothing(second, monkeypatch):
    monkeypatch.setattr(cluster, "_start_components", broken)
    with pytest.raises(cluster.Problem, match="on purpose"):
        cluster.up(second, with_node=True)
    assert read_record(second) is None
    assert not second.state.exists()
    assert left_of(second) == []


def broken(*_, **__):
    raise cluster.Problem("on purpose")


def test_a_component_is_held_released_and_starts_again_when_it_ends(second):
    cluster.up(second, with_node=False)
    cluster.hold(second, "scheduler")
    assert cluster.states(second)["scheduler"] == "held"
    cluster.release(second, "scheduler")
    before = cluster.pid(second, "scheduler")
    os.kill(before, 9)
    cluster.wait_until(lambda: again(second, before), "the scheduler to start again", seconds=60)


def again(place, before):
    try:
        return cluster.pid(place, "scheduler") != before
    except cluster.Problem:
        return False


def test_a_cluster_without_a_node_is_not_taken_for_one_with(second):
    cluster.up(second, with_node=False)
    with pytest.raises(cluster.Problem, match="a cluster without a node is up"):
        cluster.up(second, with_node=True)


def test_only_root_makes_one(second, monkeypatch):
    monkeypatch.setattr(machine.os, "geteuid", lambda: 1000)
    with pytest.raises(cluster.Problem, match="only root"):
        cluster.up(second, with_node=False)
    assert not second.state.exists()


def test_what_a_killed_build_left_does_not_fail_the_next_one(tmp_path):
    name, buildah = "localhost/longshore:twice", ("buildah", "--root", images.store(), "--storage-driver", "overlay")
    dockerfile = tmp_path / "Dockerfile"
    with locked(images.store()):
        for build in ("one", "two"):
            dockerfile.write_text(f"FROM {images.BASE}\nLABEL build={build}\n")
            images.build(dockerfile, tmp_path, name).unlink()
            if build == "one":
                run(*buildah, "from", "--pull-never", name)
        assert run(*buildah, "containers", "--quiet").split() == []
        run(*buildah, "rmi", name)
