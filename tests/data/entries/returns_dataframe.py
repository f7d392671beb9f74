"""Returns a DataFrame: the name and the size of each file."""

import os

import pandas as pd


def run(mini_batch):
    return pd.DataFrame(
        {
            "name": [os.path.basename(path) for path in mini_batch],
            "size": [os.path.getsize(path) for path in mini_batch],
        }
    )
