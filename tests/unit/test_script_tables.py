"""Tabular Datasets as inputs of script steps: the script can read their rows."""

from __future__ import annotations

from typing import Any

import pytest
from pipelines import document, frozen, script

from longshore_planner.pipelines.frozen import FrozenStep

FILES = document("Dataset", "files", file={"paths": ["/rows/*.csv"]})


def read(dataset: Any) -> FrozenStep:
    inputs = [{"name": "rows", "dataset": dataset.name}]
    return frozen(script("train", inputs=inputs), documents=(dataset,)).step("train")


@pytest.mark.parametrize(
    "tabular",
    [
        {},
        {"separator": ";", "header": False},
        {"format": "parquet"},
        {"format": "jsonl", "encoding": "latin-1"},
        {"columnTypes": {"id": "string"}},
    ],
)
def test_the_format_of_a_tabular_dataset_reaches_the_script(tabular: dict[str, Any]):
    step = read(document("Dataset", "table", tabular={"paths": ["/rows"], **tabular}))
    (given,) = step.job["inputs"]
    known = {"format": "csv", "separator": ",", "header": True, "encoding": "utf-8", "column_types": {}}
    expected = {**known, **{{"columnTypes": "column_types"}.get(name, name): value for name, value in tabular.items()}}
    assert {name: given["tabular"][name] for name in known} == expected


def test_files_have_no_format():
    assert read(FILES).job["inputs"][0]["tabular"] is None


def test_another_format_is_another_fingerprint():
    steps = [read(document("Dataset", "t", tabular={"paths": ["/rows"], "separator": each})) for each in ",;"]
    assert steps[0].parts["inputs"] != steps[1].parts["inputs"]
