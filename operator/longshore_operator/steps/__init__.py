"""ParallelRunSteps: observe, decide, report the status."""
