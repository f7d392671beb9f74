"""Stand-ins for the parts of Azure ML's packages that scripts use inside a step: `azureml.core`, `azureml_user`.

They are found only where the real packages are not. In a step they are there by themselves; elsewhere, as in a test of
an entry script on a laptop, two lines put them on the path:

    import longshore_shims
    longshore_shims.install()

Standard library only, Python 3.7 and later, and of Longshore nothing but `longshore_run`; pandas is imported where a
table is asked for. Written from the public documentation of what scripts may call.

path/       the packages by their public names: thin modules, never on sys.path
start/      what a step's interpreters do when they start: `install()`
"""

from longshore_shims.finder import install

__all__ = ["install"]
