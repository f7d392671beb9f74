"""Longshore's stand-in for the package that Azure ML lays beside an entry script."""
