"""Raises while it is imported."""

import a_package_that_nobody_installed


def run(mini_batch):
    return a_package_that_nobody_installed.score(mini_batch)
