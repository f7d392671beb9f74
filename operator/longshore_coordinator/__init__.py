"""Cuts the inputs into mini-batches, leases them out, and writes down what is done.

The only writer of the ledger. Knows neither Kubernetes nor the custom resources: it is handed a `Job` and answers
agents over HTTP. `leases`, `run`, `accounts`, `agents` and `verdict` do no I/O: time is passed in.
"""
