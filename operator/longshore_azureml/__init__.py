"""Azure ML's names for authoring, on top of Longshore: `azureml.core`, `azureml.pipeline` and others.

A script that builds and submits pipelines with Azure ML's SDK v1 runs unchanged:

    import longshore.azureml

    longshore.azureml.install()

From then on, imports of `azureml` get these modules (see `finder` and `catalogue`). Objects here collect what a script
describes; `building` turns a pipeline into objects of `longshore`, which run it. Written from the public documentation
of Azure ML. Scripts inside steps get `longshore_shims` instead.
"""

from longshore_azureml.finder import install, is_installed, uninstall

__all__ = ["install", "is_installed", "uninstall"]
