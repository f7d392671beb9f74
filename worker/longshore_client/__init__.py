"""The client of a coordinator's HTTP API, which agents and the operator share."""
