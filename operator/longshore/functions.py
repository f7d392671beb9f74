"""Functions instead of scripts: of a module, by its code; of a notebook or the main script, by their values."""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from longshore.data import FileDataset, Input, TabularDataset
from longshore.resource import InvalidArgument
from longshore.resources import Environment
from longshore.steps import ParallelRunStep
from longshore.workspace import Workspace
from longshore_protocol.packages import require

if TYPE_CHECKING:
    from longshore.runs import Run

Function = Callable[..., Any]
_ENTRY = "longshore_functions.py"
_PICKLE = "functions.pickle"
_INPUT = "input"
_PYTHON = sys.version_info[:2]  # functions that are pickled by value are of this minor version
_NAMES = ("run", "init", "shutdown")

_BY_NAME = '''"""Made by longshore.parallel_run."""

from {module} import {functions}
'''
_BY_VALUE = '''"""Made by longshore.parallel_run."""

import pickle
import sys
from pathlib import Path

if sys.version_info[:2] != {version}:
    raise RuntimeError(
        "the functions were pickled by Python {dotted}, and this step runs Python %d.%d: use an Environment with the "
        "same version, or put the functions into a module" % sys.version_info[:2]
    )
functions = pickle.loads((Path(__file__).parent / "{pickle}").read_bytes())
'''


def parallel_run(
    run: Function,
    inputs: str | PurePath | Sequence[str | PurePath] | FileDataset | TabularDataset,
    *,
    init: Function | None = None,
    shutdown: Function | None = None,
    name: str | None = None,
    output: str | None = "results",
    workspace: Workspace | None = None,
    **settings: Any,
) -> Run:
    """Run a function on mini-batches of files or rows, in parallel processes; return the run at once.

    Functions of a module are copied with the modules beside it. Those of a notebook or of the main script, and nested
    ones, are pickled, which needs cloudpickle: pip install 'longshore[functions]'.

    Args:
        run: Called with each mini-batch, a list of paths or a DataFrame; returns a list or a DataFrame.
        inputs: Files, folders or globs; or a dataset.
        init: Called once in each process, before `run`, to load a model into a global variable.
        shutdown: Called once in each process, at the end.
        name: Name of the step; that of `run` if not given.
        output: Name of the output; None if `run` writes its results itself.
        workspace: Where to run; the local workspace of the current folder if not given.
        settings: Further arguments of ParallelRunStep, such as mini_batch_size and node_count.

    Raises:
        InvalidArgument: An argument breaks a rule, or the Environment's Python cannot read pickled functions.
        ImportError: cloudpickle is needed and not installed.

    Example:
        run = longshore.parallel_run(score, "images/*.png", init=load_model, mini_batch_size=20, node_count=4)
        run.wait().outputs["results"].to_pandas()
    """
    functions = {name: each for name, each in zip(_NAMES, (run, init, shutdown), strict=True) if each is not None}
    source = _write_source(functions, settings.get("environment"))
    data = inputs if isinstance(inputs, FileDataset | TabularDataset) else FileDataset(_paths(inputs))
    step = ParallelRunStep(
        name or _step_name(run),
        _ENTRY,
        inputs=[Input(_INPUT, data)],
        output=output,
        source=source,
        **settings,
    )
    return (workspace or Workspace.local()).submit(step)


def _paths(given: str | PurePath | Sequence[str | PurePath]) -> Any:
    return given if isinstance(given, str | PurePath) else list(given)


def _step_name(run: Function) -> str:
    name = re.sub("[^a-z0-9]+", "-", getattr(run, "__name__", "").lower()).strip("-")
    return name if re.fullmatch("[a-z][-a-z0-9]{1,49}[a-z0-9]", name) else "parallel-run"


def _write_source(functions: dict[str, Function], environment: Any) -> str:
    """Write the source folder of the step, named after its content; return its path."""
    module = _module_of(functions)
    files = _pickled(functions, environment) if module is None else {_ENTRY: _imports(functions, module)}
    copied = None if module is None else _folder_of(module)
    digest = hashlib.blake2b(digest_size=16)
    for name, data in sorted(files.items()):
        digest.update(f"{name} {len(data)} {copied} ".encode() + data)
    folder = os.path.join(os.getcwd(), ".longshore", "functions", digest.hexdigest())
    if copied is not None:
        from longshore_agent.source_copies import copy_source

        shutil.rmtree(folder, ignore_errors=True)
        copy_source(copied, folder)
    os.makedirs(folder, exist_ok=True)
    for name, data in files.items():
        Path(folder, name).write_bytes(data)
    return folder


def _module_of(functions: dict[str, Function]) -> str | None:
    """Return the module that all functions can be imported from; None if there is none."""
    modules = {each.__module__ for each in functions.values()}
    names = [each.__qualname__ for each in functions.values()]
    module = next(iter(modules))
    is_importable = len(modules) == 1 and module != "__main__" and all(each.isidentifier() for each in names)
    return module if is_importable and getattr(sys.modules.get(module), "__file__", None) else None


def _imports(functions: dict[str, Function], module: str) -> bytes:
    names = ", ".join(f"{each.__qualname__} as {name}" for name, each in functions.items())
    return _BY_NAME.format(module=module, functions=names).encode()


def _folder_of(module: str) -> str | None:
    """Return the folder that a module's top-level package is in; None for an installed one, which steps import too."""
    top = sys.modules[module.split(".", maxsplit=1)[0]]
    file = inspect.getsourcefile(top) or ""
    folder = os.path.dirname(file)
    folder = os.path.dirname(folder) if os.path.basename(file) == "__init__.py" else folder
    return None if {"site-packages", "dist-packages"} & set(Path(folder).parts) else folder


def _pickled(functions: dict[str, Function], environment: Any) -> dict[str, bytes]:
    require("cloudpickle", extra="functions", subject="parallel_run() of functions that are in no module")
    import cloudpickle

    _check_python(environment)
    text = _BY_VALUE.format(version=_PYTHON, dotted="{}.{}".format(*_PYTHON), pickle=_PICKLE)
    lines = "".join(f'{name} = functions["{name}"]\n' for name in functions)
    return {_ENTRY: (text + lines).encode(), _PICKLE: cloudpickle.dumps(functions)}


def _check_python(environment: Any) -> None:
    """Raise InvalidArgument if the interpreter that an Environment names has another version of Python."""
    python = environment.python if isinstance(environment, Environment) else None
    if not isinstance(python, str | PurePath):
        return
    code = "import sys; print(*sys.version_info[:2])"
    ended = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    found = tuple(map(int, ended.stdout.split()))
    if ended.returncode == 0 and found != _PYTHON:
        rule = (
            "the functions are pickled by Python {}.{}, which Python {}.{} of the environment cannot read; use the "
            "same version, or put the functions into a module"
        ).format(*_PYTHON, *found)
        raise InvalidArgument("parallel_run()", [f"environment {environment.name!r}: {rule}"])
