"""The `longshore` command. May import every other package; only `python -m longshore` imports this one.

`longshore run` starts the coordinator, agents and hosts that run in pods as processes of this machine.
Heavy modules are imported late, so that a short run takes no longer than its processes take to start.
"""
