"""What to do next: pure decisions on what was observed. No clock, no calls; time is passed in.

What could not be read is never taken for absent: a failed read ends the reconcile before anything is decided, and a
coordinator that does not answer is `Unreachable`, which is no reason to delete anything.
"""
