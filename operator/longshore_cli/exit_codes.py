"""Exit codes of the `longshore` command. The documentation site shows what stands below each."""

SUCCEEDED = 0
"""The run succeeded, or the command did what it was asked for."""
FAILED = 1
"""The run failed: its last lines and its status name the [reason](reasons.md)."""
BAD_INPUT = 2
"""Arguments or manifests are wrong; nothing was started. Each problem is on stderr with its field and its remedy."""
SUCCEEDED_WITH_FAILURES = 3
"""The run succeeded, but more than `failedItemsWarningPercent` of its items failed and you gave none of the thresholds
`errorThreshold`, `allowedFailedCount` and `allowedFailedPercent`."""
INTERRUPTED = 130
"""The command was interrupted, as by Ctrl-C. `--resume` continues the run."""
