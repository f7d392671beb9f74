"""From Azure ML's YAML, parsed, to documents of ours, and notes on what could not be carried over.

Pure: no file is opened here; who calls gives a function that reads the files that the YAML names. Nothing that the YAML
says raises, but for what is no job or config at all: a field that is not known, or whose value Longshore refuses, is
noted and left out.
"""

from longshore_planner.azureml.check import check
from longshore_planner.azureml.notes import Remarked, plain
from longshore_planner.azureml.translate import Translation, UnsupportedDocument, translate

__all__ = ["Remarked", "Translation", "UnsupportedDocument", "check", "plain", "translate"]
