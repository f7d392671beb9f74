"""Lay out the example's data: real handwritten digits to score, and a small classifier trained on others.

scikit-learn ships 1,797 digits of 8 x 8 pixels. The first 500 train the classifier; the rest become one PNG file
each. Everything lands in data/ beside this file; running it again writes the same again.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import joblib
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.svm import SVC

TRAINED_ON = 500
DATA = Path(__file__).resolve().parent / "data"


def main() -> None:
    shutil.rmtree(DATA, ignore_errors=True)
    images, model = DATA / "images", DATA / "model" / "mnist" / "1"
    images.mkdir(parents=True)
    model.mkdir(parents=True)

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # 17 shades of ink to the 256 of a PNG
    flat = pixels.reshape(len(pixels), -1) / 255.0
    classifier = SVC(gamma="scale").fit(flat[:TRAINED_ON], digits.target[:TRAINED_ON])
    joblib.dump(classifier, model / "model.joblib")

    with (DATA / "labels.csv").open("w", newline="") as file:
        labels = csv.writer(file)
        labels.writerow(["image", "digit"])
        for number in range(TRAINED_ON, len(pixels)):
            name = f"{number:04d}.png"
            Image.fromarray(pixels[number]).save(images / name)
            labels.writerow([name, digits.target[number]])
    print(f"{len(pixels) - TRAINED_ON} images in {images}, a classifier trained on {TRAINED_ON} others in {model}")


if __name__ == "__main__":
    main()
