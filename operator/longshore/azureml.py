"""The switch for Azure ML's names: `azureml.core`, `azureml.pipeline` and others, on top of Longshore.

In a script, two lines before the first import of azureml:

    import longshore.azureml

    longshore.azureml.install()

In a notebook, `%load_ext longshore.azureml`. For a script or notebook as it is, `longshore azureml FILE`.
"""

from __future__ import annotations

from typing import Any

from longshore_azureml import install, is_installed, uninstall

__all__ = ["install", "is_installed", "load_ipython_extension", "uninstall", "unload_ipython_extension"]


def load_ipython_extension(_ipython: Any) -> None:
    """Install the names; IPython calls this for `%load_ext longshore.azureml`."""
    install()


def unload_ipython_extension(_ipython: Any) -> None:
    """Remove the names; IPython calls this for `%unload_ext longshore.azureml`."""
    uninstall()
