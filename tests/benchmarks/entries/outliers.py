"""Scores every row of a table and returns those that stand out, about one in a hundred."""

import pandas as pd


def run(mini_batch):
    score = mini_batch["height"] * 0.5 + mini_batch["width"] * mini_batch["weight"]
    outliers = mini_batch[score > 2.75]
    return pd.DataFrame({"id": outliers["id"], "name": outliers["name"], "score": score[outliers.index].round(6)})
