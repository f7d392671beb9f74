"""Azure's machine sizes: their names, and what fits on them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore_planner.cluster import vm_sizes
from longshore_planner.cluster.vm_sizes import VmSize, find, nearest, requests

ALL = sorted(vm_sizes._sizes().values(), key=lambda size: size.name)


@pytest.mark.parametrize(
    ("name", "cores", "memory", "gpus"),
    [  # one or two of each series, from Azure's pages once more
        ("Standard_A1_v2", 1, 2, 0),
        ("Standard_A4m_v2", 4, 32, 0),
        ("Standard_D1_v2", 1, 3.5, 0),
        ("Standard_D13_v2", 8, 56, 0),
        ("Standard_DS3_v2", 4, 14, 0),
        ("Standard_DS12_v2", 4, 28, 0),
        ("Standard_DS15_v2", 20, 140, 0),
        ("Standard_D2_v3", 2, 8, 0),
        ("Standard_D48s_v3", 48, 192, 0),
        ("Standard_D64s_v4", 64, 256, 0),
        ("Standard_D96as_v4", 96, 384, 0),
        ("Standard_D4s_v5", 4, 16, 0),
        ("Standard_E20_v3", 20, 160, 0),
        ("Standard_E64s_v3", 64, 432, 0),
        ("Standard_E64_v4", 64, 504, 0),
        ("Standard_E96s_v5", 96, 672, 0),
        ("Standard_F16", 16, 32, 0),
        ("Standard_F2s", 2, 4, 0),
        ("Standard_F72s_v2", 72, 144, 0),
        ("Standard_NC6", 6, 56, 1),
        ("Standard_NC24rs_v2", 24, 448, 4),
        ("Standard_NC12s_v3", 12, 224, 2),
        ("Standard_NC16as_T4_v3", 16, 110, 1),
        ("Standard_NC64as_T4_v3", 64, 440, 4),
        ("Standard_NC48ads_A100_v4", 48, 440, 2),
        ("Standard_ND96asr_v4", 96, 900, 8),
        ("Standard_ND96amsr_A100_v4", 96, 1900, 8),
        ("Standard_NV12", 12, 112, 2),
    ],
)
def test_a_size_is_what_azure_states(name, cores, memory, gpus):
    assert find(name) == VmSize(name, cores, memory, gpus)


@pytest.mark.parametrize("name", ["STANDARD_DS3_V2", "standard-ds3-v2", "DS3_v2", " Standard_DS3_v2 "])
def test_a_size_is_found_however_its_name_is_spelt(name):
    assert find(name).name == "Standard_DS3_v2"


@pytest.mark.parametrize("name", ["", "Standard_", "Standard_D3_v3", "Basic_A1", "D1_v2s", "standard_standard_F2"])
def test_what_is_no_size_is_not_found(name):
    assert find(name) is None


def test_a_mistyped_name_is_answered_with_what_it_resembles():
    assert nearest("Standard_D3s_v3")[0] in {"Standard_D32s_v3", "Standard_D2s_v3", "Standard_D8s_v3"}
    assert "Standard_NC6s_v3" in nearest("NC6_v3")
    assert len(nearest("D4_v6")) == 3
    assert nearest("c5.xlarge") == []


@pytest.mark.parametrize(
    ("cores", "reserved"), [(1, 60), (2, 100), (4, 140), (8, 180), (16, 260), (32, 420), (64, 740)]
)
def test_cpu_is_reserved_as_the_table_of_aks_states(cores, reserved):
    assert vm_sizes._cpu_reserved(cores) == reserved


@pytest.mark.parametrize(
    ("gib", "expected"),
    [
        (7, 1024 + 0.2 * 3072 + 750),  # the example of the documentation: 34 %
        (16, 4096 + 100),  # 25 %, as since 1.29, is more
        (32, 5050e6 / 2**20 + 100),
        (256, 0.25 * 4096 + 0.2 * 4096 + 0.1 * 8192 + 0.06 * 112 * 1024 + 0.02 * 128 * 1024 + 750),
    ],
)
def test_memory_is_reserved_by_the_rule_that_keeps_more(gib, expected):
    assert vm_sizes._memory_reserved(gib) == pytest.approx(expected)


def test_what_is_asked_for_fits_where_it_was_measured():
    # AKS 1.24, 2 cores and 4 GiB: 1900m and 2157Mi for pods, of which 715Mi are taken by what runs everywhere.
    asked = requests(find("Standard_F2s_v2"))
    assert asked == {"cpu": "1450m", "memory": "1326Mi"}
    assert 1326 + 64 <= 2157 - 715


@pytest.mark.parametrize(("name", "asked"), [("D4s_v3", {"cpu": "3410m", "memory": "10946Mi"})])
def test_what_is_left_of_a_common_size(name, asked):
    assert requests(find(name)) == asked


@pytest.mark.parametrize("size", ALL, ids=lambda size: size.name)
def test_a_pod_has_a_fair_part_of_its_machine_and_never_all(size):
    asked = requests(size)
    cpu, memory = int(asked["cpu"].removesuffix("m")), int(asked["memory"].removesuffix("Mi"))
    assert cpu % 10 == 0
    assert 0.25 * 1000 * size.cores <= cpu < 1000 * size.cores - 100
    assert 0.25 * 1024 * size.memory_gib <= memory < 1024 * size.memory_gib - 100


@pytest.mark.parametrize("size", ALL, ids=lambda size: size.name)
def test_every_size_is_named_as_azure_names_them(size):
    assert re.fullmatch(r"Standard_[A-Z]{1,2}[0-9]+[a-z]*(_(T4|A100))?(_v[2-5])?", size.name)
    assert find(size.name) == size


@given(st.floats(1, 200), st.floats(1, 3000))
def test_a_larger_machine_never_leaves_less(cores, gib):
    smaller = requests(VmSize("smaller", cores, gib, 0))
    larger = requests(VmSize("larger", cores + 1, gib + 1, 0))
    assert int(smaller["cpu"][:-1]) <= int(larger["cpu"][:-1])
    assert int(smaller["memory"][:-2]) <= int(larger["memory"][:-2])
