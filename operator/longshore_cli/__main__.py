"""Entry point and argument parser of the `longshore` command."""

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
from longshore_cli.terminal import ErrorLog, print_error
from longshore_protocol.importing import importing


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code (see `exit_codes`)."""
    parser = make_parser()
    if not (sys.argv[1:] if arguments is None else arguments):
        parser.print_help(sys.stderr)
        return BAD_INPUT
    options = parser.parse_args(arguments)
    if sys.platform == "win32":  # no fork, no Unix sockets, no process groups to kill
        print_error("Longshore does not run on Windows; install and run it in WSL (Windows Subsystem for Linux)")
        return BAD_INPUT
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as on stderr: file names may not be UTF-8
    errors, root = ErrorLog(), logging.getLogger()
    root.addHandler(errors)
    try:
        return _carry_out(options)
    except KeyboardInterrupt:  # only before a run starts: a run handles SIGINT itself
        print_error("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of stdout, such as `head`, has exited
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        logging.getLogger("longshore.cli").exception("internal error")
        print_error(f"internal error: {type(error).__name__}: {error}; please report it as a bug")
        return FAILED
    finally:
        root.removeHandler(errors)
        if errors.path:
            print_error(f"warnings and errors were logged, with tracebacks, to {errors.path}")


def _carry_out(options: argparse.Namespace) -> int:
    if options.command == "import":
        with importing():
            from longshore_cli.import_command import import_command

        return import_command(options)
    if options.command == "azureml":
        from longshore_cli.azureml_command import azureml_command

        return azureml_command(options)
    with importing():
        from longshore_cli.run_command import run_command  # both imported late: --help needs neither

    return run_command(options)


def make_parser() -> argparse.ArgumentParser:
    """Return the argument parser, from which the CLI reference page is generated."""
    parser = argparse.ArgumentParser(prog="longshore", description="Parallel batch scoring with two functions.")
    parser.add_argument("--version", action="version", version=f"longshore {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run a ParallelRunStep, a ScriptStep or a Pipeline on this machine",
        description="Run the ParallelRunStep, ScriptStep or Pipeline that the manifests define on this machine. "
        "Exit code 0: succeeded; 1: failed; 2: bad input; 3: succeeded, but too many items failed; 130: interrupted, "
        "and --resume continues the run.",
    )
    run.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="YAML file or folder of YAML files")
    run.add_argument(
        "-p",
        dest="parameters",
        action="append",
        default=[],
        type=_assignment,
        metavar="NAME=VALUE",
        help="value of $(parameters.NAME); repeat the option to set several",
    )
    folder = run.add_mutually_exclusive_group()
    folder.add_argument(
        "--run-dir", metavar="DIR", help="new folder or URL for the run (default: a new folder in longshore-runs)"
    )
    folder.add_argument("--resume", metavar="DIR", help="resume the run in DIR; keep its committed mini-batches")
    folder.add_argument(
        "--retry-failed",
        metavar="DIR",
        help="retry the failed mini-batches of the run in DIR, even if the run succeeded",
    )
    run.add_argument(
        "--accept-changed-code",
        action="store_true",
        help="with --resume or --retry-failed: continue although code or settings have changed",
    )
    run.add_argument(
        "--pipeline", metavar="NAME", help="Pipeline or PipelineRun to run, if the manifests define several"
    )
    run.add_argument(
        "--regenerate-outputs",
        "--no-reuse",
        action="store_true",
        help="run every step of a pipeline; reuse no earlier output",
    )
    run.add_argument(
        "--content-fingerprint",
        choices=("none", "stamps", "digests"),
        help="what must be unchanged in a pipeline's input files and models for a step to be reused: none, their paths "
        "only; stamps, also sizes and modification times (default); digests, also their contents",
    )
    run.add_argument(
        "--continue-on-step-failure",
        action="store_true",
        help="when a step of a pipeline fails, still run the steps that do not depend on it",
    )
    run.add_argument("--sample", type=_positive, metavar="N", help="run only the first N mini-batches")
    run.add_argument("--explain", action="store_true", help="print the plan of the run without running it")
    run.add_argument("--json", action="store_true", help="print only the final status on stdout, as JSON")
    run.add_argument("-q", "--quiet", action="store_true", help="do not print progress")
    _add_import(commands)
    _add_azureml(commands)
    return parser


def _add_import(commands: Any) -> None:
    parser = commands.add_parser(
        "import",
        help="convert another system's YAML to manifests",
        description="Convert another system's YAML to manifests, and list on stderr the settings that need attention.",
    )
    systems = parser.add_subparsers(dest="system", required=True, metavar="SYSTEM")
    azureml = systems.add_parser(
        "azureml",
        help="convert Azure ML's parallel jobs, pipeline jobs and ParallelRunConfigs",
        description="Convert a parallel job or a pipeline job of Azure ML v2, or a ParallelRunConfig of v1 as "
        "save_to_yaml() writes it, to manifests. Settings that were not converted or were guessed are listed on "
        "stderr. Exit code 0: converted; 2: bad input.",
    )
    azureml.add_argument("file", type=Path, metavar="FILE", help="YAML file; files that it refers to are read as well")
    azureml.add_argument(
        "--output", type=Path, metavar="FOLDER", help="folder for one file per document (default: print all to stdout)"
    )


def _add_azureml(commands: Any) -> None:
    parser = commands.add_parser(
        "azureml",
        help="run a script or notebook for Azure ML's SDK v1",
        description="Run a Python script or notebook that builds and submits pipelines with Azure ML's SDK v1. Its "
        "imports of azureml get Longshore's packages, even if Azure ML's own are installed. Exit code 0: the script "
        "ended; 1: it raised an exception; 2: bad input.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="Python script (.py) or notebook (.ipynb)")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARG", help="arguments of the script")


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} must have the form NAME=VALUE")
    return name, value


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of mini-batches, 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
