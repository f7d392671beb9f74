"""Manifests of a run's objects: pure functions to the Kubernetes client's typed models, and the names of things.

No clock, no randomness, no calls: the same run gives the same manifests, whoever asks, whenever.
"""
