"""`python -m longshore_agent.survey REQUEST`: copy sources and compute digests of inputs before a run begins.

REQUEST is a file with a SurveyRequest. The packed SurveyResult is written to the file --last-words, by default to
stdout. On failure, one sentence that names the source or input and the cause is written instead; the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import posixpath
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from longshore_agent.fetch_source import SourceError
from longshore_agent.source_copies import TooLargeError, copy_source
from longshore_agent.survey_message import ResultTooLargeError, survey_message
from longshore_protocol.survey import SourceFound, SourceToCopy, SurveyRequest, SurveyResult
from longshore_protocol.termination import cut, leave
from longshore_storage.contents import contents_of
from longshore_storage.errors import ShownError, StorageError
from longshore_storage.store import open_store


class SurveyError(ShownError):
    """A source or input cannot be read; the message is one sentence that names it and the cause."""


def survey(request: SurveyRequest) -> SurveyResult:
    """Carry out a request; return digests and contents. Copies of an earlier try are replaced. Raises SurveyError."""
    sources = tuple(_copy(each) for each in request.sources)
    every = {tuple(each) for inputs in request.contents.values() for each in inputs.values()}
    found = {locations: asdict(contents_of(locations, by=request.by)) for locations in every}
    contents: dict[str, dict[str, str]] = {}
    held: dict[str, dict[str, dict[str, Any]]] = {}
    for step, inputs in request.contents.items():
        contents[step] = {name: found[tuple(each)]["digest"] for name, each in inputs.items()}
        held[step] = {name: _without_digest(found[tuple(each)]) for name, each in inputs.items()}
    return SurveyResult(sources, contents, held)


def _copy(source: SourceToCopy) -> SourceFound:
    # The source may contain the store of runs: leave that out.
    runs = posixpath.dirname(posixpath.dirname(posixpath.dirname(source.target)))
    with _survey_errors(f'The source "{source.uri}" cannot be copied to "{source.target}"'):
        try:
            open_store(posixpath.dirname(posixpath.dirname(source.target))).mark()  # the folder of the PipelineRun
            found = copy_source(source.uri, source.target, without=runs)
        except SourceError as error:
            raise SurveyError(str(error)) from error
        except TooLargeError as error:
            raise SurveyError(f'The source "{source.uri}" {error}.') from error
        return SourceFound(found.files, found.git)


def _without_digest(found: dict[str, Any]) -> dict[str, Any]:
    return {key: each for key, each in found.items() if key != "digest" and each}


@contextmanager
def _survey_errors(what: str) -> Iterator[None]:
    """Raise any error inside as a SurveyError whose message begins with `what`."""
    try:
        yield
    except SurveyError:
        raise
    except Exception as error:  # each store's library raises its own
        raise SurveyError(f"{what}: {' '.join(_cause(error).split()).rstrip('.')}.") from error


def _cause(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) if isinstance(error, OSError | StorageError) else f"{type(error).__name__}: {error}"


def main() -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="longshore_agent.survey", description=__doc__)
    parser.add_argument("request")
    parser.add_argument("--last-words", help="the container's termination log")
    options = parser.parse_args()
    # The kernel drops signals without a handler for the first process of a container. There is nothing to clean up.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
    if "LONGSHORE_UMASK" in os.environ:
        os.umask(int(os.environ["LONGSHORE_UMASK"], 8))
    with open(options.request, encoding="utf-8") as file:
        request = SurveyRequest.from_json(file.read())
    try:
        words, code = survey_message(survey(request)), 0
    except (SurveyError, ResultTooLargeError) as error:
        words, code = cut(str(error)), 1
        sys.stderr.write(f"longshore-survey: {error}\n")
    if options.last_words is None:
        sys.stdout.write(f"{words}\n")
    leave(options.last_words, words)
    return code


if __name__ == "__main__":
    sys.exit(main())
