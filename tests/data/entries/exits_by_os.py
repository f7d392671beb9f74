"""Ends its process in mid-run, past every handler."""

import os


def run(mini_batch):
    os._exit(3)
