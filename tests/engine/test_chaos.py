"""A few random runs under random faults, as `make chaos` does many: the output is that of a sequential run."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from driver import Chaos
from scenarios import FAILING_READS, FAILING_WRITES, FULL_DISK, SLOW_LISTING, Event, scenario


@pytest.mark.parametrize("seed", [2, 4, 6])  # rows, Parquet and files; in a store and here; all kinds of faults
def test_random_faults_cost_no_row(tmp_path, s3, seed):
    with Chaos(scenario(seed, scale=0.3), tmp_path, server=s3) as chaos:
        outcome = chaos.run()
    assert not outcome.fault, outcome
    assert outcome.done["row"]


class Command:
    """One that runs while anything is broken."""

    def __init__(self, control: Path) -> None:
        self._control = control

    def is_running(self) -> bool:
        return bool(json.loads(self._control.read_text()))

    def wait(self, **_: object) -> SimpleNamespace:
        assert not self.is_running(), "the driver waits for it and mends nothing meanwhile"
        return SimpleNamespace(code=0, stderr="")


@pytest.mark.parametrize("beside", [0, 1, 2])
@pytest.mark.parametrize("what", [FULL_DISK, FAILING_WRITES, FAILING_READS, SLOW_LISTING])
def test_a_fault_ends_in_time_whichever_command_is_waited_for(tmp_path, what, beside):
    control = tmp_path / "control.json"
    with Chaos(scenario(1), tmp_path) as chaos:
        chaos._faults.begin(Event(0, what, seconds=0.05, amount=28))
        chaos._command = SimpleNamespace(is_running=lambda: False, wait=lambda: SimpleNamespace(code=0, stderr=""))
        chaos._others = [Command(control) for _ in range(beside)]
        if not beside:
            chaos._command = Command(control)
        assert chaos._to_the_end().code == 0
