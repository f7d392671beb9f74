"""Entry script of the ParallelRunStep: reads handwritten digits from image files, on a GPU where it was given one."""

import os

import numpy as np
import torch
from network import Digits
from PIL import Image


def init():
    """Load the network, once in each process, onto the device that the process was given.

    CUDA_VISIBLE_DEVICES says which GPU that is, and torch heeds it. Where several processes have the same one, there is
    nothing to be done: each takes of its memory what it needs.
    """
    global device, network
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)  # the step has a process for each core: more threads would only stand in line
    network = Digits()
    file = os.path.join(os.environ["AZUREML_MODEL_DIR"], "digits.pt")
    network.load_state_dict(torch.load(file, map_location=device, weights_only=True))
    network.to(device).eval()
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
    print(f"scoring on {device} with {torch.get_num_threads()} thread, CUDA_VISIBLE_DEVICES is {given}")


@torch.inference_mode()
def run(mini_batch):
    """Take a list of image paths; return one "name: digit" for each. A mini-batch goes through the network at once."""
    images = []
    for path in mini_batch:
        with Image.open(path) as image:
            images.append(np.asarray(image, dtype=np.float32) / 255)
    scores = network(torch.from_numpy(np.stack(images)).unsqueeze(1).to(device))
    digits = scores.argmax(dim=1).tolist()
    return [f"{os.path.basename(path)}: {digit}" for path, digit in zip(mini_batch, digits, strict=True)]
