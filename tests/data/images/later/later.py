"""Add a field to dataclasses of the installed Longshore that one process writes and another one reads."""

import ast
import importlib.util
from pathlib import Path

NAMES = {"Job", "Snapshot", "MiniBatchCounts", "ClusterRun", "TaskRun"}
FIELD = '    of_a_later_version: str = "later"  # which this version does not know\n'

found = []
for package in ("longshore_protocol", "longshore_planner"):
    for file in sorted(Path(importlib.util.find_spec(package).origin).parent.rglob("*.py")):
        text = file.read_text()
        classes = [each for each in ast.parse(text).body if isinstance(each, ast.ClassDef) and each.name in NAMES]
        lines = text.splitlines(keepends=True)
        for each in reversed(classes):  # from the end: lines above keep their numbers
            last = [part for part in each.body if isinstance(part, ast.AnnAssign)][-1]
            lines.insert(last.end_lineno, FIELD)
        if classes:
            file.write_text("".join(lines))
        found += [each.name for each in classes]
if sorted(found) != sorted(NAMES):
    raise SystemExit(f"found {sorted(found)}, expected {sorted(NAMES)}")
