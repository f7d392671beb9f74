"""The `longshore` command. May import every other package; only `python -m longshore` imports it.

`longshore run` is the same coordinator, agents and hosts that run in pods, started as processes of this machine.
Nothing heavy is imported before it is needed: a short run should take no longer than its processes take to start.
"""
