"""Hosts the user's entry script, in the user's interpreter and image.

Standard library only, Python 3.7 and later; pandas, numpy and pyarrow are imported only where a table needs them. The
host spawns, watches and kills one child per process slot; each child runs the script and talks to the agent itself.
No credential ever enters this package: host and children know a unix socket, nothing else.
"""
