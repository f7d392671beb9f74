"""What the ends of paths say."""

import re
from datetime import datetime

import pytest

from longshore_protocol.partition_format import PartitionFormat


@pytest.mark.parametrize(
    ("form", "path", "values"),
    [
        (
            "{user}/{season}/{genres}.wav",
            "/data/amy/winter/rock.wav",
            {"user": "amy", "season": "winter", "genres": "rock"},
        ),
        (
            "{user}/{season}/{genres}.wav",
            "gs://b/amy/winter/a.b.wav",
            {"user": "amy", "season": "winter", "genres": "a.b"},
        ),
        ("{user}/{season}/{genres}.wav", "winter/rock.wav", None),
        ("{user}/{season}/{genres}.wav", "/data/amy/winter/rock.mp3", None),
        ("/year={year}/*.csv", "/rows/year=2026/part-1.csv", {"year": "2026"}),
        ("year={year}/*.csv", "/rows/myyear=2026/part-1.csv", None),
        ("year={year}/*.csv", "/rows/year=2026/deeper/part-1.csv", None),
        ("{a}_{b}.csv", "x_y_z.csv", {"a": "x", "b": "y_z"}),
        ("{d:yyyy/MM/dd}/x.json", "a/2026/02/28/x.json", {"d": datetime(2026, 2, 28)}),
        ("{d:yyyy/MM/dd}/x.json", "a/2026/02/30/x.json", None),
        ("{d:yyyy-MM-dd_HHmmss}.json", "2026-11-25_220359.json", {"d": datetime(2026, 11, 25, 22, 3, 59)}),
        ("{d:yyyy}/{k}.json", "2026/é.json", {"d": datetime(2026, 1, 1), "k": "é"}),
        ("a+b/{k}", "a+b/1", {"k": "1"}),
        ("a+b/{k}", "aab/1", None),
    ],
)
def test_a_format_reads_the_end_of_a_path(form, path, values):
    assert PartitionFormat(form).read(path) == values


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("/rows/year=2024/country=a%2Fb/part-0.csv", {"year": "2024", "country": "a/b"}),
        ("s3://b/rows/k=__HIVE_DEFAULT_PARTITION__/x.parquet", {"k": None}),
        ("s3://b/run=3/rows/k=/x.csv", {"k": ""}),
        ("http://h/rows/a%20b=a%252Fb/x.csv", {"a b": "a/b"}),
        ("/rows/k%3D1=a=b%/_v=%C3%A9/x.csv", {"k=1": "a=b%", "_v": "é"}),
        ("/rows/k=1/deeper/x.csv", None),
        ("/rows/x=1.csv", None),
        ("/rows/=1/x.csv", None),
        ("/rows/k=1/k=2/x.csv", None),
        ("/rows/k=%FF/x.csv", None),
    ],
)
def test_hive_folders_are_read_right_above_the_file(path, values):
    found = PartitionFormat("hive").read(path)
    assert found == values
    assert list(found or ()) == list(values or ())


@pytest.mark.parametrize(
    ("form", "rule"),
    [
        ("plain.csv", "must have a placeholder, such as {user}"),
        ("{a}/{a}.csv", "must not use the name 'a' twice"),
        ("{}/a", "must have a name in each pair of braces"),
        ("{a}/{b", "must have a closing brace for each that opens, and none inside another"),
        ("{a{b}}", "must have a closing brace for each that opens, and none inside another"),
        (
            "{d:MM/dd}",
            "must have yyyy, and each of MM, dd, HH, mm and ss at most once, in a time such as {day:yyyy/MM/dd}",
        ),
        (
            "{d:yyyy/yyyy}",
            "must have yyyy, and each of MM, dd, HH, mm and ss at most once, in a time such as {day:yyyy/MM/dd}",
        ),
    ],
)
def test_what_is_no_format_is_reported_by_its_rule(form, rule):
    with pytest.raises(ValueError, match=f"^{re.escape(rule)}$"):
        PartitionFormat(form)
