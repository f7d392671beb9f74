"""The agent of one worker: leases mini-batches, feeds the processes, writes their rows and reports results.

It speaks HTTP with the coordinator and frames with host and children. It holds the coordinator's token and the storage
credentials, which user processes never see. It runs no user code and imports neither pandas nor the coordinator.
"""
