"""Ends its process in mid-run with the exit status of success."""

import os


def run(mini_batch):
    os._exit(0)
