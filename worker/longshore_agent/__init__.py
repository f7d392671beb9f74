"""The agent of one worker: leases mini-batches, feeds the processes, writes their rows, reports.

Talks HTTP to the coordinator and frames to host and children; holds the lease token and the storage credentials, which
the user's processes never see. Runs no user code and imports neither pandas nor anything of the coordinator's.
"""
