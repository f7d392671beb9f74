"""Runs as readers see them: states, failures, logs and outputs, of run folders and of resources on a cluster.

`RunReader` is the interface; `local` reads a run folder on this machine. A run may have a million mini-batches: what
depends on their number is read in parts and yielded, never held.
"""
