"""Shims for the parts of packages that scripts use inside a step: `azureml.core`, `azureml_user`, `longshore`.

They are imported only if the real packages are not installed. Steps install them automatically. Elsewhere, for example
in a test of an entry script on a laptop, two lines do:

    import longshore_shims
    longshore_shims.install()

Standard library only, Python 3.7 and later; the only other package of Longshore is `longshore_run`. pandas is imported
when a script requests a table. Written from the public documentation of Azure ML.

path/       the packages under their public names: thin modules, never on sys.path
start/      the sitecustomize module of a step's interpreters, which calls `install()`
"""

from longshore_shims.finder import install

__all__ = ["install"]
