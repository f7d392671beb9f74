"""The coordinator: cuts inputs into mini-batches, leases them to agents and records what is done in the ledger.

It is the only writer of the ledger. It knows neither Kubernetes nor the custom resources: it receives a `Job` and
serves agents over HTTP. `leases`, `run`, `accounts`, `agents` and `verdict` do no I/O and take the time as an argument.
"""
