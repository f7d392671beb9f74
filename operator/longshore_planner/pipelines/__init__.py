"""Pipelines: frozen runs, decisions about their steps, reuse of earlier runs, and statuses.

Pure, like the whole planner. The local run and the operator execute each `Decision` and record the outcomes; nothing in
this package starts, reads or writes anything.

    documents, parameters --freeze--> FrozenPipeline --decide(records, history, now)--> records, start, stop, verdict
                                                            ^                                |
                                                            `------- ended(record, outcome) <'
"""
