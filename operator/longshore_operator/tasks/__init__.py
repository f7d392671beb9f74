"""ScriptSteps and TransferSteps, one pod each: observe, decide, report the status."""
