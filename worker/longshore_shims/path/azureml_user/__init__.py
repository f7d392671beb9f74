"""Longshore's shim for the package that Azure ML installs next to an entry script."""
