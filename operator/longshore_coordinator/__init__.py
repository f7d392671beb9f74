"""Cuts the inputs into mini-batches, leases them out, and writes down what is done.

The only writer of the ledger. Knows neither Kubernetes nor the custom resources: it is handed a `Job` and answers agents
over HTTP. `leases`, `verdict` and `progress` are pure: time is passed in.
"""
