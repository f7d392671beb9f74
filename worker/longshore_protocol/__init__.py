"""What coordinator, agent and host say to one another.

Standard library only, Python 3.7 and later: this package travels into the user's image beside `longshore_host`.
Nothing in here does I/O; it holds values and their encodings.
"""
