"""Which GPUs each process of a worker sees."""

import pytest

from longshore_host.devices import device_of, visible_devices


def shares(processes, gpus, **environment):
    """What each process of a worker is told."""
    return [visible_devices(slot, processes=processes, gpus=gpus, environment=environment) for slot in range(processes)]


@pytest.mark.parametrize(
    ("processes", "gpus", "expected"),
    [
        (1, 1, ["0"]),
        (2, 1, ["0", "0"]),
        (2, 2, ["0", "1"]),
        (5, 2, ["0", "1", "0", "1", "0"]),
        (1, 4, ["0,1,2,3"]),
        (2, 4, ["0,2", "1,3"]),
        (2, 5, ["0,2,4", "1,3"]),
        (3, 4, ["0,3", "1", "2"]),
    ],
)
def test_processes_share_gpus_and_gpus_are_shared_out_among_processes(processes, gpus, expected):
    assert shares(processes, gpus) == expected


@pytest.mark.parametrize("environment", [{}, {"CUDA_VISIBLE_DEVICES": "1"}, {"NVIDIA_VISIBLE_DEVICES": "all"}])
def test_without_gpus_nothing_is_reported(environment):
    assert shares(2, 0, **environment) == [None, None]


def test_a_list_of_the_containers_own_is_what_is_shared_out():
    assert shares(3, 2, CUDA_VISIBLE_DEVICES="3, 5") == ["3", "5", "3"]
    assert shares(2, 4, CUDA_VISIBLE_DEVICES="GPU-a,GPU-b,GPU-c,GPU-d") == ["GPU-a,GPU-c", "GPU-b,GPU-d"]
    assert shares(2, 2, NVIDIA_VISIBLE_DEVICES="GPU-a,MIG-b") == ["GPU-a", "MIG-b"]
    assert shares(2, 2, CUDA_VISIBLE_DEVICES="1,0", NVIDIA_VISIBLE_DEVICES="GPU-a,GPU-b") == ["1", "0"]


def test_of_a_longer_list_only_so_many_are_used_and_a_shorter_one_is_shared_by_more():
    assert shares(2, 2, CUDA_VISIBLE_DEVICES="4,5,6,7") == ["4", "5"]
    assert shares(3, 4, CUDA_VISIBLE_DEVICES="4,5") == ["4", "5", "4"]


@pytest.mark.parametrize("given", ["all", "void", "none", "", "2,3", "/var/run/nvidia-container-devices"])
def test_devices_that_a_container_was_given_count_from_zero_in_it_unless_they_have_ids(given):
    assert shares(2, 2, NVIDIA_VISIBLE_DEVICES=given) == ["0", "1"]


@pytest.mark.parametrize("none", ["", " ", "-1"])
def test_a_container_that_hides_its_gpus_keeps_them_hidden(none):
    assert shares(2, 2, CUDA_VISIBLE_DEVICES=none) == [None, None]


@pytest.mark.parametrize(
    ("given", "device"),
    [("0", "gpu:0"), (" 1, 3", "gpu:1,3"), ("GPU-a", "gpu:GPU-a"), ("", "cpu"), ("-1", "cpu"), ("-1,0", "cpu")],
)
def test_a_process_states_what_it_was_given(given, device, tmp_path):
    assert device_of({"CUDA_VISIBLE_DEVICES": given}, files=str(tmp_path)) == device
    (tmp_path / "nvidia0").touch()
    assert device_of({"CUDA_VISIBLE_DEVICES": given}, files=str(tmp_path)) == device


def test_a_process_without_a_variable_has_what_there_is(tmp_path):
    (tmp_path / "nvidiactl").touch()
    assert device_of({}, files=str(tmp_path)) == "cpu"
    (tmp_path / "nvidia1").touch()
    assert device_of({}, files=str(tmp_path)) == "gpu"
