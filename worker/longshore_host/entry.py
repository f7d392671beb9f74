"""The entry script: its environment, its import, and its functions.

The contract is Azure ML's: `init()` once per process (optional), `run(mini_batch)` or `run(mini_batch, context)` once
per delivery, `shutdown()` once at an orderly end (optional). An asynchronous script, which works on many mini-batches
at once, has an `async def run`, or Azure ML's undocumented pair of `enqueue(mini_batch, context)` and
`get_finished_batch_result()` in the place of run().
"""

from __future__ import annotations

import enum
import functools
import importlib.util
import inspect
import logging
import os
import sys
import traceback
from types import ModuleType
from typing import Any, Callable, Dict, Iterable, List, MutableMapping, Optional, Sequence, Tuple

from longshore_host import cuda
from longshore_protocol import errors
from longshore_protocol.messages import HostSpec, InputSpec

TRACEBACK_LINES = 20  # last lines of the user's traceback in status and reports; the log has all lines
NO_TEXT = "(an exception without text: its __str__ raises)"
LINE_CHARACTERS = 500  # per line: the text of an exception may have megabytes
MODEL_DIR = "AZUREML_MODEL_DIR"


class EntryScriptError(Exception):
    """The entry script cannot be used; the message has the reason."""

    def __init__(self, message: str, *, category: str = errors.USER_ERROR, trace: str = "") -> None:
        super().__init__(message)
        self.category = category
        self.trace = trace


class MiniBatchContext:
    """The second argument of a two-argument run().

    `minibatch_index` (str) is unique over all inputs and the same at every retry; `partition_key_value` (dict) is empty
    without partition keys; `dataset` is the input restricted to this mini-batch. Longshore adds `input_name` (str),
    `attempt` (int, from 1), `items_total` (int) and `deadline` (float), the Unix time until which run() may take.
    """

    def __init__(self, *, mini_batch: int, attempt: int, given: InputSpec, items: Any, deadline: float) -> None:
        self.minibatch_index = str(mini_batch)
        self.partition_key_value: Dict[str, Any] = {}
        self.input_name = given.name
        self.attempt = attempt
        self.items_total = len(items)
        self.deadline = deadline
        self._places = given.paths
        self._is_table = given.tabular is not None
        self._items = items

    @property
    def dataset(self) -> Any:
        """The files or rows of this mini-batch, with the methods of an Azure ML dataset."""
        from longshore_shims.mini_batch import dataset_of  # late: few scripts use it

        return dataset_of(self.input_name, self._places, self._items, is_table=self._is_table)


class Shape(enum.Enum):
    """How a script receives mini-batches."""

    IN_ORDER = "run() returns the result"
    COROUTINES = "run() is a coroutine function"
    QUEUE = "enqueue() takes mini-batches, get_finished_batch_result() returns results"


class EntryScript:
    """The user's module, imported."""

    def __init__(self, module: ModuleType, path: str, arguments: Sequence[str] = ()) -> None:
        script = os.path.basename(path)
        run, enqueue = getattr(module, "run", None), getattr(module, "enqueue", None)
        finished = getattr(module, "get_finished_batch_result", None)
        # An argument selects one for scripts that have both.
        if callable(enqueue) and callable(finished) and (not callable(run) or _wants_async(arguments)):
            self.shape = Shape.QUEUE
            self.finished: Callable[[], Any] = finished
            run = enqueue
        elif not callable(run):
            raise EntryScriptError("{} defines no function run(mini_batch)".format(script))
        elif _is(inspect.isgeneratorfunction, run) or _is(inspect.isasyncgenfunction, run):
            raise EntryScriptError(
                "run() in {} is a generator (it uses yield): it must return a list or a DataFrame".format(script),
                category=errors.WRONG_RETURN,
            )
        else:
            self.shape = Shape.COROUTINES if _is(inspect.iscoroutinefunction, run) else Shape.IN_ORDER
        self.run: Callable[..., Any] = run
        self.takes_context = _takes_context(run, "enqueue()" if self.shape is Shape.QUEUE else "run()")
        self.init: Optional[Callable[[], Any]] = getattr(module, "init", None)
        self.shutdown: Optional[Callable[[], Any]] = getattr(module, "shutdown", None)
        self.loop: Any = None  # asyncio's, of coroutines
        for name, function in (("init", self.init), ("shutdown", self.shutdown)):
            if self.shape is not Shape.COROUTINES and _is(inspect.iscoroutinefunction, function):
                raise EntryScriptError("{}() in {} is a coroutine function, and run() is none".format(name, script))

    def call(self, function: Callable[[], Any]) -> None:
        """Call init() or shutdown(), and await it if it is a coroutine function."""
        result = function()
        if self.loop is not None and inspect.isawaitable(result):
            self.loop.run_until_complete(result)


def load(spec: HostSpec) -> EntryScript:
    """Import the entry script and call its init(); return it.

    Raises EntryScriptError, with the user's traceback, for any error in the script.
    """
    path = os.path.join(spec.source, spec.entry_script)
    sys.argv = [path, *spec.arguments]
    sys.path.insert(0, os.path.dirname(path))
    if spec.source not in sys.path:
        sys.path.insert(1, spec.source)
    try:
        script = EntryScript(import_script(path), path, spec.arguments)
    except EntryScriptError:
        raise
    except BaseException as error:
        raise _describe("importing {} failed".format(os.path.basename(path)), error) from error
    if script.shape is Shape.COROUTINES:
        import asyncio  # late: other scripts need it not

        script.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(script.loop)
    if script.init is not None:
        try:
            script.call(script.init)
        except BaseException as error:
            raise _describe("init() failed", error) from error
    return script


def set_up_logging(level: str) -> None:
    """Send the root logger's records to the process's stdout file, as Azure ML's driver does."""
    logging.basicConfig(
        stream=sys.stdout,
        level=getattr(logging, level),
        format="%(asctime)s|%(levelname)s|%(name)s|%(message)s",
    )


def link_models(
    models: Iterable[Tuple[str, int, str]], environment: MutableMapping[str, str], *, folder: str = "."
) -> None:
    """Link models (name, version, path) into a working directory as azureml-models/<name>/<version>. Raises OSError.

    If AZUREML_MODEL_DIR is a model of one file, it is changed to that folder, which has nothing else.
    """
    for name, version, path in models:
        versions = os.path.join(folder, "azureml-models", name)
        os.makedirs(versions, exist_ok=True)
        link = os.path.join(versions, str(version))
        if os.path.isdir(path):
            os.symlink(path, link)
        else:
            os.makedirs(link, exist_ok=True)
            os.symlink(path, os.path.join(link, os.path.basename(path)))
            if environment.get(MODEL_DIR) == path:
                environment[MODEL_DIR] = os.path.abspath(link)


def short_traceback(error: BaseException) -> str:
    """Return the last lines of the user's traceback."""
    return "\n".join(line[:LINE_CHARACTERS] for line in full_traceback(error).split("\n")[-TRACEBACK_LINES:])


def full_traceback(error: BaseException) -> str:
    """Return the user's traceback, without the frames of this package."""
    trace = error.__traceback__
    while trace is not None and os.path.dirname(trace.tb_frame.f_code.co_filename) == os.path.dirname(__file__):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip("\n")


def one_line(error: BaseException) -> str:
    """Return the exception as "ValueError: the message" on one line; for a full GPU, with the remedy."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001  (the script's own exception classes may fail even here)
        text = NO_TEXT
    line = "{}: {}".format(type(error).__name__, text[:LINE_CHARACTERS]) if text else type(error).__name__
    return "{} ({})".format(line, cuda.WHAT_TO_DO) if cuda.is_out_of_memory(error) else line


def category_of(error: BaseException, items: List[Any]) -> str:
    """Return the error category of an exception of init() or run(); `items` are the files of the mini-batch."""
    if isinstance(error, MemoryError):
        return errors.OUT_OF_MEMORY
    if cuda.is_out_of_memory(error):
        return errors.CUDA_OUT_OF_MEMORY
    if isinstance(error, OSError) and error.filename is not None and error.filename in items:
        return errors.SYSTEM if errors.is_transient(error) else errors.DATA_ERROR
    return errors.USER_ERROR


def _describe(what: str, error: BaseException) -> EntryScriptError:
    message = "{}: {}".format(what, one_line(error))
    return EntryScriptError(message, category=category_of(error, []), trace=short_traceback(error))


def import_script(path: str) -> ModuleType:
    """Import an entry script; return its module. Raises EntryScriptError if it does not exist, and its own errors."""
    stem = os.path.splitext(path)[0]
    # Under its own name, objects of its classes can be pickled. That is impossible if another module has the name (a
    # script called json.py), or a package beside it, which `import` prefers.
    is_taken = os.path.basename(stem) in sys.modules or os.path.isfile(os.path.join(stem, "__init__.py"))
    name = "entry_script_" * is_taken + os.path.basename(stem)
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None or not os.path.isfile(path):
        raise EntryScriptError("there is no Python file {}".format(path))
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module


def _wants_async(arguments: Sequence[str]) -> bool:
    """Return whether Azure ML's flag is among the arguments, without a value or with one that means true."""
    flag, given = "--amlbi_async_mode", ""
    for place, argument in enumerate(arguments):
        name, assigned, value = argument.partition("=")
        if name == flag:
            after = arguments[place + 1] if place + 1 < len(arguments) else "--"
            given = value if assigned else "true" if after.startswith("--") else after
    return given.lower() in ("true", "1", "yes", "on")


def _is(kind: Callable[[Any], bool], function: Any) -> bool:
    """Return whether a function is of a kind of `inspect`: itself, below a partial, or as __call__ of an object."""
    while isinstance(function, functools.partial):
        function = function.func
    return kind(function) or kind(getattr(type(function), "__call__", None))  # noqa: B004  (its kind is checked)


def _takes_context(run: Callable[..., Any], name: str) -> bool:
    try:
        parameters = inspect.signature(run).parameters.values()
    except (TypeError, ValueError):  # a builtin, or a function of an extension module
        return False
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    required = [each for each in positional if each.default is each.empty]
    if len(required) > 2 or (not positional and not any(each.kind == each.VAR_POSITIONAL for each in parameters)):
        raise EntryScriptError(
            "{} takes {} arguments: it must take (mini_batch) or (mini_batch, context)".format(name, len(positional))
        )
    return len(positional) > 1
