"""The network, as it is trained and as it scores: of 8 x 8 shades to ten digits."""

from torch import nn


class Digits(nn.Sequential):
    """Takes a batch of images, (N, 1, 8, 8) floats from 0 to 1; returns ten scores for each, (N, 10)."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 16, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(),
            nn.Linear(32 * 4 * 4, 10),
        )
