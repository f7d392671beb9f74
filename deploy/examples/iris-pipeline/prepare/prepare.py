"""First step: split the raw table into one to train on and one to test on."""

import argparse
import os

import pandas as pd
from sklearn.model_selection import train_test_split

from longshore import Run

parser = argparse.ArgumentParser()
parser.add_argument("--input", required=True)
parser.add_argument("--output", required=True)
parser.add_argument("--test_share", type=float, default=0.3)
options = parser.parse_args()

table = pd.read_csv(options.input).drop_duplicates()
train, test = train_test_split(table, test_size=options.test_share, random_state=0, stratify=table["species"])
train.to_csv(os.path.join(options.output, "train.csv"), index=False)
test.to_csv(os.path.join(options.output, "test.csv"), index=False)

run = Run.get_context()
run.log("train_rows", len(train))
run.log("test_rows", len(test))
print(f"{len(train)} rows to train on, {len(test)} to test on")
