"""Rules between fields, in CEL: the API server refuses what the models refuse.

Each rule repeats a check of its model, with the same message. The models keep their checks, because API servers before
1.25 prune CEL. A rule applies after defaults are filled in. The API server estimates a rule's cost from the lengths
that the schema allows, so rules search bounded lists and strings only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from longshore_api.data import (
    DATABASE,
    DATABASE_RULE,
    NO_HEADER,
    NO_SEPARATOR,
    OF_DATABASE,
    ONLY_CSV,
    ONLY_LINES,
    WITH_DICTS,
    WITH_SQL,
    WITHOUT_SQL,
    DatasetSpec,
    DatastoreSpec,
    TabularDataset,
)
from longshore_api.inputs import ScriptInput
from longshore_api.packages import INDEX_URL, INDEX_URL_RULE, NO_PACKAGES, Packages
from longshore_api.parallel_run_step import (
    SEPARATED,
    MiniBatch,
    ParallelRunStepSpec,
    Source,
    StepInput,
    StepOutput,
)
from longshore_api.pipeline import KINDS_OF_STEPS, PipelineRunSpec, PipelineStep
from longshore_api.resources import ComputeClusterSpec
from longshore_api.tasks import ScriptStepSpec


@dataclass(frozen=True)
class Rule:
    """A condition that an object must satisfy, and the message if it does not."""

    cel: str
    text: str  # the same as in the model
    field: str = ""  # field of the object, "" for the whole object

    @property
    def message(self) -> str:
        """The message; the API server prefixes the path of the object."""
        return f"{self.field} {self.text}".lstrip()


def _exactly_one(*fields: str) -> str:
    given = ", ".join(f"has(self.{each})" for each in fields)
    return f"[{given}].exists_one(given, given)"


def _is_below_a_folder(field: str) -> str:
    return f"!self.{field}.matches('^/|(^|/)[.][.](/|$)')"


def _matches(field: str, pattern: str) -> str:
    return _is_match(f"self.{field}", pattern)


def _is_match(value: str, pattern: str) -> str:
    return f"{value}.matches('{pattern}')".replace("\\", "\\\\")


def _left_out(field: str, is_left_out: str, *, unless: str, text: str) -> Rule:
    return Rule(f"{unless} || {is_left_out}", text, field=field)


_IS_CSV = "self.format == 'csv'"
_IS_SQL, _IS_FILES = "self.format == 'sql'", "self.format != 'sql'"
_HAS_NO_TYPES = "!has(self.columnTypes) || size(self.columnTypes) == 0"
_IS_FRAMES = "self.rowsAs == 'dataframe'"
_IS_SEPARATED = f"self.format in [{', '.join(map(repr, SEPARATED))}]"

RULES: Mapping[type[BaseModel], tuple[Rule, ...]] = {
    DatasetSpec: (Rule(_exactly_one("file", "tabular"), "must have exactly one of file and tabular"),),
    DatastoreSpec: (
        Rule(
            f"!{_matches('uri', f'^{OF_DATABASE}')} || {_matches('uri', f'^{DATABASE}$')}",
            f"is wrong: it {DATABASE_RULE}",
            field="uri",
        ),
    ),
    TabularDataset: (
        Rule("self.rowsAs != 'dicts' || self.format == 'jsonl'", ONLY_LINES, field="rowsAs"),
        _left_out("columnTypes", _HAS_NO_TYPES, unless=_IS_FRAMES, text=WITH_DICTS),
        _left_out("keepDefaultNa", "self.keepDefaultNa", unless=_IS_CSV, text=ONLY_CSV),
        _left_out("naValues", "!has(self.naValues) || size(self.naValues) == 0", unless=_IS_CSV, text=ONLY_CSV),
        _left_out("escapeCharacter", "!has(self.escapeCharacter)", unless=_IS_CSV, text=ONLY_CSV),
        Rule(
            "!has(self.escapeCharacter) || self.escapeCharacter != self.separator",
            NO_SEPARATOR,
            field="escapeCharacter",
        ),
        _left_out("onlyFirstFileHasHeader", "!self.onlyFirstFileHasHeader", unless=_IS_CSV, text=ONLY_CSV),
        Rule("!self.onlyFirstFileHasHeader || self.header", NO_HEADER, field="onlyFirstFileHasHeader"),
        _left_out("inferColumnTypes", "self.inferColumnTypes", unless=_IS_CSV, text=ONLY_CSV),
        Rule(f"{_IS_SQL} || has(self.paths)", "is missing: it is required", field="paths"),
        _left_out("query", "!has(self.query)", unless=_IS_SQL, text=WITHOUT_SQL),
        _left_out("splitBy", "!has(self.splitBy)", unless=_IS_SQL, text=WITHOUT_SQL),
        Rule(f"{_IS_FILES} || has(self.query)", "is missing: format sql needs one", field="query"),
        _left_out("paths", "!has(self.paths)", unless=_IS_FILES, text=WITH_SQL),
        _left_out("separator", "self.separator == ','", unless=_IS_FILES, text=WITH_SQL),
        _left_out("header", "self.header", unless=_IS_FILES, text=WITH_SQL),
        _left_out("encoding", "self.encoding == 'utf-8'", unless=_IS_FILES, text=WITH_SQL),
        _left_out("supportMultiLine", "!self.supportMultiLine", unless=_IS_FILES, text=WITH_SQL),
        _left_out("partitionFormat", "!has(self.partitionFormat)", unless=_IS_FILES, text=WITH_SQL),
        _left_out("pathColumn", "!has(self.pathColumn)", unless=_IS_FILES, text=WITH_SQL),
    ),
    StepInput: (
        Rule(_exactly_one("dataset", "file", "tabular"), "must have exactly one of dataset, file and tabular"),
    ),
    StepOutput: (
        Rule(
            "!(self.name in ['state', 'logs'])",
            "must be another name: state and logs hold the run's own files",
            field="name",
        ),
        Rule(f"!has(self.separator) || {_IS_SEPARATED}", "must be left out with format", field="separator"),
        Rule(f"!self.header || {_IS_SEPARATED}", "must be left out with format", field="header"),
    ),
    Source: (Rule(_exactly_one("uri", "configMap", "image"), "must have exactly one of uri, configMap and image"),),
    MiniBatch: (Rule(_exactly_one("files", "bytes", "rows"), "must have exactly one of files, bytes and rows"),),
    ParallelRunStepSpec: (
        *(
            Rule(f"!self.{name} || has(self.resumeFrom)", "must be left out without resumeFrom", field=name)
            for name in ("retryFailed", "acceptChangedCode")
        ),
        Rule(
            "!has(self.miniBatch) || !has(self.miniBatchSize)",
            "must be left out when miniBatchSize is given",
            field="miniBatch",
        ),
        *(
            Rule(
                f"!has(self.partitionKeys) || !{given}",
                "must be left out when partitionKeys is given",
                field=field,
            )
            for field, given in (
                ("miniBatchSize", "has(self.miniBatchSize)"),
                ("miniBatch", "has(self.miniBatch)"),
                ("coalesceSmallFiles", "self.coalesceSmallFiles"),
            )
        ),
        Rule(
            "self.outputAction != 'append_row' || has(self.output)",
            "is missing: outputAction append_row needs an output",
            field="output",
        ),
        Rule(
            f"self.entryScript.endsWith('.py') && {_is_below_a_folder('entryScript')}",
            "must be the path of a .py file below the source folder",
            field="entryScript",
        ),
        Rule(  # the list's key already makes the inputs' names unique among themselves
            "!has(self.output) || !self.inputs.exists(each, each.name == self.output.name)",
            "must have unique names",
            field="inputs",
        ),
        Rule(
            "!has(self.sideInputs) || !self.sideInputs.exists(side, self.inputs.exists(each, each.name == side.name)"
            " || (has(self.output) && self.output.name == side.name))",
            "must have unique names",
            field="sideInputs",
        ),
    ),
    ScriptInput: (Rule(_exactly_one("dataset", "file", "from"), "must have exactly one of dataset, file and from"),),
    ScriptStepSpec: (  # the lists' keys already make names of inputs, and of outputs, unique
        Rule(_is_below_a_folder("scriptName"), "must be a path below the source folder", field="scriptName"),
    ),
    PipelineStep: (Rule(_exactly_one(*KINDS_OF_STEPS), "must have exactly one of parallelRun, script and transfer"),),
    PipelineRunSpec: (
        Rule(
            _exactly_one("pipelineRef", "pipelineSpec", "retryOf"),
            "must have exactly one of pipelineRef, pipelineSpec and retryOf",
        ),
        Rule(  # only presence is checked: rules cannot read the contents of free-form objects
            "!has(self.retryOf) || !has(self.parameters)",
            "must be left out with retryOf: they are those of the run that is retried",
            field="parameters",
        ),
    ),
    Packages: (
        Rule(
            "(has(self.pip) && size(self.pip) > 0) || has(self.requirements) || has(self.conda) || has(self.python)",
            NO_PACKAGES,
        ),
        Rule(f"!has(self.indexUrl) || {_matches('indexUrl', f'^{INDEX_URL}$')}", INDEX_URL_RULE, field="indexUrl"),
        Rule(
            f"!has(self.extraIndexUrls) || self.extraIndexUrls.all(each, {_is_match('each', f'^{INDEX_URL}$')})",
            INDEX_URL_RULE,
            field="extraIndexUrls",
        ),
    ),
    ComputeClusterSpec: (
        Rule("int(self.minNodes) <= int(self.maxNodes)", "must not be above maxNodes", field="minNodes"),
        Rule("!has(self.vmSize) || !has(self.resources)", "must have only one of vmSize and resources"),
    ),
}
