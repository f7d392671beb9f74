"""Watch the API server: kopf's events become keys of a queue, and objects of a store."""
