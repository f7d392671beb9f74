"""Messages between coordinator, agent and host: values and their encodings, without I/O.

Standard library only, Python 3.7 and later: this package is installed in the user's image together with
`longshore_host`.
"""
