"""Exit codes of the `longshore` command."""

SUCCEEDED = 0
FAILED = 1
BAD_INPUT = 2
SUCCEEDED_WITH_FAILURES = 3  # too many items failed, and nobody said how many may
INTERRUPTED = 130  # as a shell reports the end by Ctrl-C; the run can be resumed
