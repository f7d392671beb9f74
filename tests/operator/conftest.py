"""Two steps that compete for the nodes of a ComputeCluster, for the tests of each folder's subject."""

import pytest
from rivals import Rivals


@pytest.fixture
def rivals():
    return Rivals()
