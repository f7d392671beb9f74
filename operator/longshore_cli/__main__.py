"""`longshore`: the command line."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from longshore import __version__
from longshore_cli.exit_codes import BAD_INPUT, FAILED, INTERRUPTED
from longshore_cli.terminal import ErrorLog, complain
from longshore_protocol.importing import importing


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code (`exit_codes`)."""
    options = make_parser().parse_args(arguments)
    if sys.platform == "win32":  # no fork, no Unix sockets, no process groups to kill
        complain("Longshore does not run on Windows itself; install and run it in WSL (Windows Subsystem for Linux)")
        return BAD_INPUT
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr is: no name of a file ends the command
    errors, root = ErrorLog(), logging.getLogger()
    root.addHandler(errors)
    try:
        return _carry_out(options)
    except KeyboardInterrupt:  # before anything was started; from then on the run decides how to end
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        logging.getLogger("longshore.cli").exception("an error of Longshore itself")
        complain(f"an error of Longshore itself: {type(error).__name__}: {error}")
        return FAILED
    finally:
        root.removeHandler(errors)
        if errors.path:
            complain(f"warnings and errors, with their tracebacks, are in {errors.path}")


def _carry_out(options: argparse.Namespace) -> int:
    if options.command == "import":
        with importing():
            from longshore_cli.import_command import import_command

        return import_command(options)
    with importing():
        from longshore_cli.run_command import run_command  # late, both: --help needs none of it

    return run_command(options)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line, of which the reference of the command line is generated."""
    parser = argparse.ArgumentParser(prog="longshore", description="Parallel batch scoring with two functions.")
    parser.add_argument("--version", action="version", version=f"longshore {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run a ParallelRunStep, a ScriptStep or a Pipeline on this machine",
        description="Run the ParallelRunStep, ScriptStep or Pipeline of some manifests on this machine. "
        "Exit code 0: succeeded, 1: failed, 2: bad input, 130: interrupted; --resume continues.",
    )
    run.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="YAML files, or folders of them")
    run.add_argument(
        "-p",
        dest="parameters",
        action="append",
        default=[],
        type=_assignment,
        metavar="NAME=VALUE",
        help="value of $(parameters.NAME); may be given several times",
    )
    where = run.add_mutually_exclusive_group()
    where.add_argument("--run-dir", metavar="DIR", help="new folder for the run, or a URL (default: longshore-runs/…)")
    where.add_argument("--resume", metavar="DIR", help="go on with the run in DIR; redo nothing committed")
    where.add_argument(
        "--retry-failed",
        metavar="DIR",
        help="run the failed mini-batches of the run in DIR again, also after it has succeeded",
    )
    run.add_argument(
        "--accept-changed-code",
        action="store_true",
        help="with --resume and --retry-failed: go on though code or settings changed since",
    )
    run.add_argument("--pipeline", metavar="NAME", help="the Pipeline or PipelineRun to run, where there are several")
    run.add_argument(
        "--regenerate-outputs", "--no-reuse", action="store_true", help="run every step of a pipeline; reuse nothing"
    )
    run.add_argument(
        "--content-fingerprint",
        choices=("none", "stamps", "digests"),
        help="what of a pipeline's input files and models must be unchanged for reuse: their paths alone, sizes and "
        "times (default), or what is in them",
    )
    run.add_argument(
        "--continue-on-step-failure",
        action="store_true",
        help="when a step of a pipeline fails, still run what does not depend on it",
    )
    run.add_argument("--sample", type=_positive, metavar="N", help="run the first N mini-batches only")
    run.add_argument("--explain", action="store_true", help="print what would be done, and do nothing")
    run.add_argument("--json", action="store_true", help="print the final status as JSON, and nothing else, on stdout")
    run.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    _add_import(commands)
    return parser


def _add_import(commands: Any) -> None:
    parser = commands.add_parser(
        "import",
        help="make manifests of another system's YAML",
        description="Make manifests of another system's YAML, and tell what could not be carried over.",
    )
    systems = parser.add_subparsers(dest="system", required=True, metavar="SYSTEM")
    azureml = systems.add_parser(
        "azureml",
        help="of Azure ML's parallel jobs, pipeline jobs and ParallelRunConfigs",
        description="Make manifests of a parallel job or a pipeline job of Azure ML v2, or of a ParallelRunConfig of "
        "v1 as save_to_yaml() writes it. What was not carried over, or guessed, is told on stderr. "
        "Exit code 0: done, 2: bad input.",
    )
    azureml.add_argument("file", type=Path, metavar="FILE", help="YAML file; other files that it names are read, too")
    azureml.add_argument(
        "--output", type=Path, metavar="FOLDER", help="write one file per document there (default: all to stdout)"
    )


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of mini-batches, 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
