"""Second step: train the models that are to be compared."""

import argparse
import os

import joblib
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

parser = argparse.ArgumentParser()
parser.add_argument("--prepped_data", required=True)
parser.add_argument("--training_results", required=True)
parser.add_argument("--regularisation", type=float, default=1.0)
options = parser.parse_args()

MODELS = {
    "logistic-regression": LogisticRegression(C=1 / options.regularisation, max_iter=1000),
    "neighbours": KNeighborsClassifier(n_neighbors=5),
    "tree": DecisionTreeClassifier(max_depth=3, random_state=0),
}

table = pd.read_csv(os.path.join(options.prepped_data, "train.csv"))
for name, model in MODELS.items():
    trained = make_pipeline(StandardScaler(), model).fit(table.drop(columns="species"), table["species"])
    joblib.dump(trained, os.path.join(options.training_results, f"{name}.joblib"))
    print(f"{name} is trained on {len(table)} rows")
