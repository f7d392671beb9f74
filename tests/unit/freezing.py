"""Packages of an Environment, frozen from its fields."""

from typing import Any

import pytest
from manifests import resource

from longshore_api import parse
from longshore_api.errors import InvalidDocuments
from longshore_planner.catalogue import Document
from longshore_planner.packages.freeze import freeze_packages
from longshore_protocol.package_set import PackageSet


def frozen(**fields: Any) -> PackageSet:
    environment = parse(resource("Environment", "scikit", {"packages": fields}))
    found = freeze_packages(Document("env.yaml", "/", environment))  # type: ignore[arg-type]
    assert found is not None
    return found


def problems(**fields: Any) -> list[str]:
    with pytest.raises(InvalidDocuments) as caught:
        frozen(**fields)
    return [f"{each.path} {each.text}" for each in caught.value.problems]
