"""Train the network, and lay out the digits that it is to score: `python train.py`.

scikit-learn ships 1,797 digits of 8 x 8 pixels. The first 1,000 train the network; the rest, which it never sees,
become one PNG file each. Everything lands in data/ beside this file; running it again writes the same again.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import torch
from network import Digits
from PIL import Image
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

TRAINED_ON, EPOCHS, BATCH = 1000, 40, 50
DATA = Path(__file__).resolve().parent / "data"


def main() -> None:
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir()
    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # 17 shades of ink to the 256 of a PNG
    train(pixels[:TRAINED_ON], digits.target[:TRAINED_ON])
    write(pixels, digits.target)


def train(pixels: np.ndarray, targets: np.ndarray) -> None:
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = torch.from_numpy(pixels / np.float32(255)).unsqueeze(1).to(device)
    truth = torch.from_numpy(targets).to(device)
    network = Digits().to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.002)
    for epoch in range(EPOCHS):
        total = 0.0
        for batch in torch.randperm(len(images), device=device).split(BATCH):
            shift = torch.randint(-1, 2, (2,)).tolist()  # by a pixel at most: nobody writes in the same place twice
            shifted = torch.roll(images[batch], shift, dims=(2, 3))
            loss = cross_entropy(network(shifted), truth[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}: loss {total / len(images):.4f}")
    model = DATA / "model"
    model.mkdir()
    torch.save(network.state_dict(), model / "digits.pt")
    print(f"a network trained on {len(images)} digits in {model}")


def write(pixels: np.ndarray, targets: np.ndarray) -> None:
    images = DATA / "images"
    images.mkdir()
    with (DATA / "labels.csv").open("w", newline="") as file:
        labels = csv.writer(file)
        labels.writerow(["image", "digit"])
        for number in range(TRAINED_ON, len(pixels)):
            name = f"{number:04d}.png"
            Image.fromarray(pixels[number]).save(images / name)
            labels.writerow([name, targets[number]])
    print(f"{len(pixels) - TRAINED_ON} other digits in {images}")


if __name__ == "__main__":
    main()
