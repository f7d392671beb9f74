"""Build the objects that the operator creates."""
