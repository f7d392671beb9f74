"""Steps that ask for the nodes of one ComputeCluster at the same time."""

import threading

import pytest

from longshore_operator.reconcile.locks import Reservations


class Pods:
    """Pods that become known when their creation is answered, as in a store."""

    def __init__(self, max_nodes):
        self.max_nodes = max_nodes
        self.known = 0
        self.reservations = Reservations()
        self.lock = threading.Lock()

    def occupy(self, wanted, *, compute="cpu", created=lambda: None):
        with self.reservations.reserve(
            "n", compute, wanted=wanted, free=lambda: self.max_nodes - self.known
        ) as granted:
            for _ in range(granted):
                created()
                with self.lock:
                    self.known += 1
        return granted


def during(pods, work):
    """Do something while the creation of a first pod has not been answered."""
    found = []
    pods.occupy(1, created=lambda: found.append(work()))
    return found[0]


def test_a_creation_that_takes_long_delays_no_other_step():
    pods = Pods(max_nodes=4)
    assert during(pods, lambda: pods.occupy(2)) == 2
    assert pods.known == 3


def test_a_node_whose_pod_is_being_created_is_not_granted_again():
    pods = Pods(max_nodes=1)
    assert during(pods, lambda: pods.occupy(1)) == 0


def test_the_rest_of_the_nodes_is_granted():
    pods = Pods(max_nodes=2)
    assert during(pods, lambda: pods.occupy(5)) == 1


def test_another_compute_cluster_is_not_concerned():
    pods = Pods(max_nodes=1)
    assert during(pods, lambda: pods.occupy(1, compute="gpu")) == 1


def test_what_could_not_be_created_is_free_again():
    pods = Pods(max_nodes=1)

    def refuse():
        raise RuntimeError("quota")

    with pytest.raises(RuntimeError, match="quota"):
        pods.occupy(1, created=refuse)
    assert pods.occupy(1) == 1


def test_no_node_is_granted_where_more_are_taken_than_there_are():
    pods = Pods(max_nodes=2)
    pods.known = 3
    assert pods.occupy(1) == 0


def test_threads_never_occupy_more_nodes_than_there_are():
    pods, start = Pods(max_nodes=7), threading.Barrier(12)
    threads = [threading.Thread(target=lambda: (start.wait(), pods.occupy(1))) for _ in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert 1 <= pods.known <= 7
    pods.occupy(12)
    assert pods.known == 7
