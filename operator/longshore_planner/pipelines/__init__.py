"""Pipelines: what is to run, what may be reused and why not, what a run has come to.

Pure, as all of the planner is: values in, values out, time passed in. Whoever drives a pipeline (the local run, the
operator) does what `decide` says and tells what became of it; nothing in here starts, reads or writes anything.

    documents, parameters --freeze--> FrozenPipeline --decide(records, history, now)--> records, start, stop, verdict
                                                            ^                                |
                                                            `------- ended(record, outcome) <'
"""
