"""The EntryScript of azureml_user: one object, its folders, and its logger, in a step and outside of one."""

import copy
import logging
import os
import pickle

import pytest

from longshore_run.context import PROCESS, VARIABLE, Context
from longshore_shims.entry_script import NAME, EntryScript


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """No EntryScript was asked for yet, and no step is around."""
    logger = logging.getLogger(NAME)
    monkeypatch.setattr(EntryScript, "_only", None)
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", True)
    for name in (VARIABLE, PROCESS, "AZUREML_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    yield
    for each in logger.handlers:
        each.close()


@pytest.fixture
def step(tmp_path, monkeypatch):
    """A step that this process is the process003 of."""
    context = Context(str(tmp_path / "logs"), worker="worker-1", outputs={"out": str(tmp_path / "out")})
    (tmp_path / "work").mkdir()
    monkeypatch.setenv(VARIABLE, context.write(str(tmp_path / "work")))
    monkeypatch.setenv(PROCESS, "process003")
    return tmp_path


def test_in_a_step_it_knows_the_steps_folders(step):
    script = EntryScript()
    assert script.agent_name == "process003"
    assert script.log_dir == str(step / "logs/user/entry_script_log")
    assert script.output_dir == str(step / "out")
    assert script.working_dir == str(step / "work")
    assert all(map(os.path.isdir, (script.log_dir, script.output_dir, script.working_dir)))


def test_its_logger_writes_to_the_processs_own_file(step, capsys):
    script = EntryScript()
    script.logger.debug("too quiet")
    script.logger.info("scored %d", 7)
    assert isinstance(script.logger, logging.Logger)
    assert script.logger.name == "ParallelRunStep"
    text = (step / "logs/user/entry_script_log/worker-1/process003.log.txt").read_text()
    assert text.endswith("|scored 7\n")
    assert "too quiet" not in text
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("step")
def test_it_is_one_object_whatever_is_done_with_it():
    script = EntryScript()
    copies = (EntryScript(), pickle.loads(pickle.dumps(script)), copy.deepcopy(script))
    assert all(each is script for each in copies)
    assert len(script.logger.handlers) == 1


@pytest.mark.usefixtures("step")
def test_the_level_is_the_steps_or_the_one_that_was_given_last(monkeypatch):
    monkeypatch.setenv("AZUREML_LOG_LEVEL", "WARNING")
    assert EntryScript().logger.level == logging.WARNING
    assert EntryScript(logging_level="DEBUG").logger.level == logging.DEBUG
    assert EntryScript().logger.level == logging.DEBUG
    assert EntryScript(logging.ERROR).logger.level == logging.ERROR


def test_outside_of_a_step_it_logs_to_stderr_and_has_folders(capsys):
    script = EntryScript()
    script.logger.info("here")
    assert capsys.readouterr().err.endswith("|here\n")
    assert script.agent_name == "process000"
    assert script.working_dir == os.getcwd()
    assert os.path.isdir(script.output_dir)
    assert os.path.isdir(script.log_dir)
