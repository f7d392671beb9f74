"""Translation of Azure ML's parsed YAML into Longshore's documents, with notes on everything that is not translated.

Pure: the caller passes a function that reads files. Unknown fields, and values that Longshore refuses, are noted and
left out; only a file that is neither a job nor a config raises an error.
"""

from longshore_planner.azureml.check import check
from longshore_planner.azureml.notes import Remarked, plain
from longshore_planner.azureml.translate import Translation, UnsupportedDocument, translate

__all__ = ["Remarked", "Translation", "UnsupportedDocument", "check", "plain", "translate"]
