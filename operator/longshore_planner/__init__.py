"""Planning of runs: documents and parameters in, resolved jobs and statuses out.

All functions are pure and receive the time as an argument. The one exception is `documents`, which reads files.
The local run and the operator call the same functions.
"""
