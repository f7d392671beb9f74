"""Images of digits, and a classifier for them: the mean image of each digit."""

import os
import sys

import numpy as np
from PIL import Image, ImageDraw

COPIES = 2  # of each digit, shifted by a pixel


def image(digit, shift):
    picture = Image.new("L", (28, 28))
    ImageDraw.Draw(picture).text((10 + shift, 8), str(digit), fill=255)
    return picture


def write_images(folder):
    os.makedirs(folder, exist_ok=True)
    for digit in range(10):
        for copy in range(COPIES):
            image(digit, copy).save(os.path.join(folder, f"{digit + 10 * copy}.png"))


def write_model(folder):
    os.makedirs(folder, exist_ok=True)
    means = [np.mean([np.array(image(digit, copy)) for copy in range(COPIES)], axis=0) for digit in range(10)]
    np.save(os.path.join(folder, "means.npy"), np.array(means).reshape(10, 784))


if __name__ == "__main__":
    write_images(sys.argv[1])
