"""Longshore's stand-in for what scripts use of Azure ML inside a step. Other parts of `azureml` are not there."""
