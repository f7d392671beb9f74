"""PipelineRuns: freeze what is to run, decide, create the resources of steps."""
