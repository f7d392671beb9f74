"""Watch the API server: lists and events fill the store, whose changes become keys of the queue."""
