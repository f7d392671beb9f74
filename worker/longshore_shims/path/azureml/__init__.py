"""Longshore's shim for the parts of `azureml` that scripts use inside a step."""
