"""Small values in arguments: pipeline parameters, outputs of steps, locations in a Datastore."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from longshore.data import Datastore, FileDataset, TabularDataset

ParameterType = Literal["string", "integer", "number", "boolean", "dataset", "datapath"]


@dataclass(frozen=True)
class Parameter:
    """A value that each run may pass to a Pipeline; use it as the value of any argument of a step.

    Example:
        size = Parameter("batch_size", 5)
        score = ParallelRunStep("score", "score.py", inputs=images, output="scores", mini_batch_size=size)
        ws.submit(Pipeline("nightly", [score]), parameters={"batch_size": 20})

    `str(parameter)` is its reference, `$(parameters.NAME)`, so f-strings can contain it, too.

    Args:
        name: Name of the parameter.
        default: Value if the run passes none; without one, every run must pass a value.
        type: Type of its values; derived from `default` if not given. `datapath` is a URL, or a path in a Datastore.
        description: Free text.
    """

    name: str
    default: str | float | bool | FileDataset | TabularDataset | DataPath | Mapping[str, Any] | None = None
    _: KW_ONLY
    type: ParameterType | None = None
    description: str | None = None

    def __str__(self) -> str:
        return f"$(parameters.{self.name})"


@dataclass(frozen=True)
class DataPath:
    """A file or folder in a store.

    Args:
        path: A full URL, or a path in the Datastore.
        datastore: The Datastore or its name; the default one if not given.
    """

    path: str | PurePath | Parameter
    datastore: str | Datastore | Parameter | None = None


@dataclass(frozen=True)
class Output:
    """A folder that a step writes, and its format. A plain name does where the defaults fit.

    In the arguments of the same step, `str(output)` is the path of the folder, `$(outputs.NAME)`. Other steps read it
    as `step.outputs["NAME"]`.

    Args:
        name: Name of the folder.
        datastore: The Datastore that holds it, or its name; the default one if not given.
        path: Folder below the Datastore, which may contain {run-id} and {output-name};
            longshore/{run-id}/{output-name} if not given.
        format: Format of the rows of a ParallelRunStep: text, csv, tsv, jsonl or parquet.
        header: Whether the columns' names are the first line (text, csv, tsv).
        separator: Character between fields (text, csv, tsv).
        mode: How a ScriptStep writes the folder: mount, in place, or upload, after its success.
        overwrite: Whether a ScriptStep may replace existing files.
        register_on_complete: Name of the Dataset that the folder becomes once the step has succeeded, or a mapping with
            kind, name, description and tags.
    """

    name: str
    _: KW_ONLY
    datastore: str | Datastore | Parameter | None = None
    path: str | Parameter | None = None
    format: Literal["text", "csv", "tsv", "jsonl", "parquet"] | Parameter | None = None
    header: bool | str | Parameter | None = None
    separator: str | Parameter | None = None
    mode: Literal["mount", "upload"] | Parameter | None = None
    overwrite: bool | str | Parameter | None = None
    register_on_complete: str | Mapping[str, Any] | None = None

    def __str__(self) -> str:
        return f"$(outputs.{self.name})"


@dataclass(frozen=True)
class StepOutput:
    """An output of one step as the input of another: `step.outputs["NAME"]`.

    Args:
        step: Name of the step that writes it.
        name: Name of the output.
    """

    step: str
    name: str

    def __str__(self) -> str:
        return f"$(steps.{self.step}.outputs.{self.name})"


class Outputs(Mapping[str, StepOutput]):
    """The outputs of a step by name. `declared` are they with their settings."""

    def __init__(self, step: str, declared: Sequence[Output | Mapping[str, Any]]) -> None:
        self.declared = tuple(declared)
        names = [str(each.name if isinstance(each, Output) else each.get("name")) for each in declared]
        self._outputs = {name: StepOutput(step, name) for name in names}

    def __getitem__(self, name: str) -> StepOutput:
        if name not in self._outputs:
            known = ", ".join(self._outputs) or "none"
            raise KeyError(f"the step has no output {name!r}; its outputs are: {known}")
        return self._outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return repr(list(self.declared))


class _Named(Protocol):
    @property
    def name(self) -> str: ...


GivenOutputs = Sequence[str | Output | Mapping[str, Any]] | Outputs


class OutputsField:
    """A field of a dataclass that is set to names or `Output`s and read as `Outputs`."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, step: _Named | None, owner: type) -> Outputs:
        declared = () if step is None else getattr(step, self._name)  # of the class: the default
        return Outputs("" if step is None else step.name, declared)

    def __set__(self, step: _Named, value: GivenOutputs) -> None:
        given = value.declared if isinstance(value, Outputs) else value
        declared = tuple(Output(each) if isinstance(each, str) else each for each in given)
        object.__setattr__(step, self._name, declared)  # the dataclass is frozen
