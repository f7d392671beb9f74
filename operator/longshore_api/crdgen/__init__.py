"""Custom resource definitions, generated from the models: `python -m longshore_api.crdgen` writes the files of crds/.

Only `__main__` writes files and imports yaml; the rest is pure. Descriptions and limits of fields are in the models.
This package adds what no model has: names of the resources, columns, and rules between fields in CEL.
"""

from longshore_api.crdgen.definitions import definitions

__all__ = ["definitions"]
