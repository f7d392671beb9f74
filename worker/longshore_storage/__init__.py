"""Objects in folders, over fsspec: the only way Longshore touches data.

Asks nothing of a store that object stores do not give: whole objects are written at once, created only if absent,
read by range, listed by prefix and deleted. Nothing is renamed, nothing appended. Knows nothing of jobs or leases.
"""
