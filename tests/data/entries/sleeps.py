"""Takes the seconds that --seconds says for each mini-batch."""

import argparse
import os
import time

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--seconds", type=float, default=1.0)
SECONDS = parser.parse_known_args()[0].seconds


def run(mini_batch):
    time.sleep(SECONDS)
    return [os.path.basename(path) for path in mini_batch]
