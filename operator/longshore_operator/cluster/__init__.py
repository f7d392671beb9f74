"""Call over the network: the API server, and the coordinators of runs."""
