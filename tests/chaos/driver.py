"""Carries out one scenario on a real run, and compares what came of it with the oracle."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self
from unittest import mock

import commands
import fire
import pytest
import scenarios
from faulty_proxy import Proxy, faulty_proxy
from s3_server import BUCKET, Server, s3_server
from scenarios import Event, Scenario

from longshore_coordinator.ledger import Ledger
from longshore_protocol.wire import Completion
from longshore_storage.store import open_store

STORAGE_SECONDS = 60  # without anything that gets through, until a run gives up
PATIENCE = 240.0  # seconds until a run that does not end is taken for one that hangs
RESUMES = 12  # at most, of one run
RESUMABLE = ("StorageError", "InputError", "Interrupted", "Superseded")
_INJECT = Path(__file__).parent / "inject"
_LONGEST = 2000  # characters of what is wrong
_LATER = 999_999  # an epoch after all others: its replay shows what the whole ledger holds


@dataclass
class Outcome:
    """What a scenario came to."""

    scenario: Scenario
    done: Counter[str] = field(default_factory=Counter)  # events, resumes and rows
    seconds: float = 0.0
    fault: str = ""  # what is wrong; "" when all is as it must be

    def __str__(self) -> str:
        """Say it in a line."""
        done = ", ".join(f"{count} x {what}" for what, count in sorted(self.done.items()))
        verdict = f"WRONG: {self.fault}" if self.fault else "ok"
        return f"seed {self.scenario.seed}: {self.scenario}: {verdict} in {self.seconds:.0f} s ({done})"


class Faults:
    """What is broken now, and until when."""

    def __init__(self, control: Path) -> None:
        self.proxy: Proxy | None = None
        self._control = control  # of the injecting file system, see inject/
        self._broken: dict[str, Any] = {}
        self._ends: list[tuple[float, Callable[[], None]]] = []  # by monotonic time
        self._write()

    def tick(self) -> None:
        """End what is over by now."""
        now = time.monotonic()
        for end in [each for each in self._ends if each[0] <= now]:
            self._ends.remove(end)
            end[1]()

    def later(self, seconds: float, end: Callable[[], None]) -> None:
        """Call `end` in so many seconds."""
        self._ends.append((time.monotonic() + seconds, end))

    def begin(self, event: Event) -> None:
        """Break what an event breaks."""
        if event.what == scenarios.CLOCK:
            self._broken["clock"] = self._broken.get("clock", 0.0) + event.amount
        elif event.what == scenarios.OUTAGE:
            assert self.proxy is not None, "only what is in a store can have an outage"
            self.proxy.is_down = True
            self.later(event.seconds, self._end_outage)
        else:
            name, share = _INJECTED[event.what]
            self._broken[name] = event.amount if share is None else {"errno": event.amount, "share": share}
            self.later(event.seconds, partial(self._mend, name))
        self._write()

    def _end_outage(self) -> None:
        assert self.proxy is not None, "it began"
        self.proxy.is_down = False

    def _mend(self, name: str) -> None:
        self._broken.pop(name, None)
        self._write()

    def _write(self) -> None:
        unfinished = self._control.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(self._broken))
        unfinished.replace(self._control)


# Names in the control file, and the share of calls that fail.
_INJECTED = {
    scenarios.FULL_DISK: ("write", 1.0),
    scenarios.FAILING_WRITES: ("write", 0.5),
    scenarios.FAILING_READS: ("read", 0.5),
    scenarios.SLOW_LISTING: ("list", None),
}


class Chaos:
    """One scenario in a folder. Use in a `with`: at its end nothing of it runs any more."""

    def __init__(self, scenario: Scenario, folder: Path, *, server: Server | None = None) -> None:
        """Take an empty folder, and a store that speaks S3 if one runs already: a process can have but one."""
        self._server = server
        self.outcome = Outcome(scenario)
        self._scenario = scenario
        self._bench = commands.Longshore(folder)
        self._calls = folder / "calls.txt"
        self._faults = Faults(folder / "control.json")
        self._servers = ExitStack()
        self._command: Any = None
        self._others: list[Any] = []  # commands that run beside

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bench.kill_all()
        self._servers.close()

    def run(self) -> Outcome:
        """Carry the scenario out; return what came of it."""
        began = time.monotonic()
        try:
            self._prepare()
            self._command = self._bench.start()
            for event in self._scenario.events:
                self._wait_for(event)
                self._happen(event)
                self.outcome.done[event.what] += 1
            self._compare(self._to_the_end())
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001  (whatever it is, it is this run's fault)
            self.outcome.fault = " ".join(str(error).split())[:_LONGEST] or type(error).__name__
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    # --- before ----------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        bench, chosen = self._bench, self._scenario
        (bench.folder / "t").mkdir()
        bench.variables |= {
            "TMPDIR": str(bench.folder / "t"),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(_INJECT), os.environ.get("PYTHONPATH")])),
            "CHAOS_CONTROL": str(bench.folder / "control.json"),
            "CHAOS_RUN": str(bench.run_dir),
            "CHAOS_DATA": str(bench.folder / "data"),
        }
        data = self._upload() if chosen.store == scenarios.S3 else "data"
        if chosen.store != scenarios.S3:
            for name, content in scenarios.files_of(chosen).items():
                bench.write(f"data/{name}", content)
        bench.write("code/score.py", scenarios.script_of(chosen, calls=self._calls))
        spec = {"miniBatchSize": None, **scenarios.spec_of(chosen, data=data)}
        bench.manifest(
            bench.step("score.py", source={"uri": "code"}, storageTimeoutSeconds=STORAGE_SECONDS, **spec),
        )

    def _upload(self) -> str:
        """Put the data into a store behind a proxy that spoils some requests; return its URL."""
        server = self._server or self._servers.enter_context(s3_server())
        data = f"s3://{BUCKET}/chaos-{self._scenario.seed}"
        with mock.patch.dict(os.environ, server.variables):
            store = open_store(data, skip_instance_cache=True)  # that of an earlier run had another server
            for name, content in scenarios.files_of(self._scenario).items():
                store.put(name, content)
        proxy = self._servers.enter_context(faulty_proxy(server.root, share=0.03, seed=self._scenario.seed))
        self._faults.proxy = proxy
        self._bench.variables |= server.led_to(proxy.url)
        return data

    # --- meanwhile -------------------------------------------------------------------------------------------------

    def _number_of_calls(self) -> int:
        return self._calls.stat().st_size // len(b"begin\n") if self._calls.exists() else 0

    def _wait_for(self, event: Event) -> None:
        """Wait until so many calls have begun, or the run is over."""
        give_up = time.monotonic() + PATIENCE
        while self._number_of_calls() < event.calls and self._command.is_running():
            assert time.monotonic() < give_up, f"the run hangs: {self._status()}"
            self._tick()

    def _tick(self) -> None:
        self._faults.tick()
        time.sleep(0.01)

    def _happen(self, event: Event) -> None:
        if event.what == scenarios.KILL:
            self._kill(event)
        elif event.what == scenarios.STOP:
            self._stop(event)
        elif event.what == scenarios.DOUBLE_RESUME:
            resume = ("--resume", str(self._bench.run_dir))
            self._others += [self._command, self._bench.start(*resume)]
            self._command = self._bench.start(*resume)
        elif event.what == scenarios.INTERRUPT:
            with suppress(ProcessLookupError):
                os.killpg(self._command.pid, signal.SIGINT)
            self._resume_after(self._finished(self._command))
        else:
            self._faults.begin(event)

    def _kill(self, event: Event) -> None:
        if event.victim != scenarios.COMMAND:
            victim = self._victim(event)
            if victim is not None:
                fire.send(victim, signal.SIGKILL)
            return
        with suppress(ProcessLookupError):
            self._command.signal(signal.SIGKILL)
        self._resume_after(self._finished(self._command))

    def _stop(self, event: Event) -> None:
        victim = fire.find(self._command.pid) if event.victim == scenarios.COMMAND else self._victim(event)
        if victim is not None and fire.send(victim, signal.SIGSTOP):
            self._faults.later(event.seconds, partial(fire.send, victim, signal.SIGCONT))

    def _victim(self, event: Event) -> Any:
        found = fire.processes(event.victim, self._command, self._bench.processes())
        return found[int(event.pick * len(found))] if found else None

    # --- after -----------------------------------------------------------------------------------------------------

    def _finished(self, command: Any) -> Any:
        """Wait for the end of a command, and end each fault that is over by then."""
        give_up = time.monotonic() + PATIENCE
        while command.is_running():
            assert time.monotonic() < give_up, f"the run hangs: {self._status()}"
            self._tick()
        return command.wait()

    def _status(self) -> str:
        path = self._bench.run_dir / "status.json"
        return path.read_text() if path.exists() else "it has no status"

    def _resume_after(self, ended: Any) -> None:
        """Go on with a run that ended before its time."""
        if ended.code == 0:
            return
        if (self._bench.run_dir / "state" / "run.json").exists():
            self._command = self._bench.start("--resume", str(self._bench.run_dir))
        else:  # it was killed before anything was recorded
            shutil.rmtree(self._bench.run_dir, ignore_errors=True)
            self._command = self._bench.start()

    def _to_the_end(self) -> Any:
        for _ in range(RESUMES):
            ended = self._finished(self._command)
            for other in self._others:
                assert "Traceback" not in self._finished(other).stderr
            self._others = []
            assert "Traceback" not in ended.stderr, ended.stderr
            if ended.code == 0:
                return ended
            if ended.stdout:
                assert ended.reason in RESUMABLE, f"{ended.reason}: {ended.succeeded['message']}"
            self.outcome.done["resume"] += 1
            self._resume_after(ended)
        raise AssertionError(f"it did not succeed in {RESUMES} resumes: {self._status()}")

    def _compare(self, ended: Any) -> None:
        chosen, run_dir = self._scenario, self._bench.run_dir
        [output] = (run_dir / "out").iterdir()
        rows, expected = scenarios.read_output(chosen, output), scenarios.expected_rows(chosen)
        assert len(rows) == len(expected), f"{len(expected) - len(rows)} of {len(expected)} rows are missing"
        wrong = [f"{got} in the place of {wanted}" for got, wanted in zip(rows, expected, strict=True) if got != wanted]
        assert not wrong, f"{len(wrong)} rows are wrong: {wrong[0]}"
        failed = scenarios.failed_mini_batches(chosen)
        assert ended.mini_batches.get("failed", 0) == failed, f"{ended.mini_batches}, and {failed} must fail"
        assert len(ended.failed) == failed, f"failed.jsonl has {len(ended.failed)} lines, and {failed} must fail"
        times = Counter(completion.mini_batch for completion in self._committed())
        assert set(times.values()) == {1}, "a mini-batch is in the ledger twice"
        assert len(times) == ended.mini_batches["succeeded"], "the counts are not the ledger's"
        self._bench.nothing_is_left_running()
        self.outcome.done["row"] += len(rows)

    def _committed(self) -> list[Completion]:
        records = Ledger(open_store(str(self._bench.run_dir)), _LATER).records()
        return [Completion(*raw) for record in records if "done" in record for raw in record["done"]["mini_batches"]]
