"""Pipelines: check them, and keep their history limits."""
