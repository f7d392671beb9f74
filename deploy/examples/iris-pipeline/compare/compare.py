"""Third step: score each model on rows that none of them has seen, and keep the best."""

import argparse
import json
import os
import shutil

import joblib
import pandas as pd

from longshore import Run

parser = argparse.ArgumentParser()
parser.add_argument("--prepped_data", required=True)
parser.add_argument("--training_results", required=True)
parser.add_argument("--best", required=True)
options = parser.parse_args()

table = pd.read_csv(os.path.join(options.prepped_data, "test.csv"))
scores = {}
for file in sorted(os.listdir(options.training_results)):
    model = joblib.load(os.path.join(options.training_results, file))
    scores[file.removesuffix(".joblib")] = float(model.score(table.drop(columns="species"), table["species"]))

best = max(scores, key=lambda name: scores[name])
shutil.copy(os.path.join(options.training_results, f"{best}.joblib"), os.path.join(options.best, "model.joblib"))
with open(os.path.join(options.best, "scores.json"), "w") as file:
    json.dump({"best": best, "accuracy": scores}, file, indent=1)

run = Run.get_context()
for name, score in scores.items():
    run.log(name, round(score, 4))
run.log("best", best)
print(f"{best} is the best, with an accuracy of {scores[best]:.3f}")
