"""Custom resource definitions, made from the models: `python -m longshore_api.crdgen` writes the files of crds/.

Pure but for `__main__`, which alone writes files and imports yaml. Everything said about a field is said in its model;
here is only what no model has: the resources' names, columns and the rules between fields in the API server's terms.
"""

from longshore_api.crdgen.definitions import definitions

__all__ = ["definitions"]
