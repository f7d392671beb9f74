"""Entry script of the ParallelRunStep: reads handwritten digits from image files."""

import os

import joblib
import numpy as np
from PIL import Image


def init():
    """Load the model, once in each process."""
    global classifier
    classifier = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.joblib"))


def run(mini_batch):
    """Take a list of image paths; return one "name: digit" for each."""
    rows = []
    for path in mini_batch:
        with Image.open(path) as image:
            pixels = np.asarray(image).reshape(1, -1) / 255.0
        rows.append(f"{os.path.basename(path)}: {classifier.predict(pixels)[0]}")
    return rows
