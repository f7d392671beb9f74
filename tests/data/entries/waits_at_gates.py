"""Prints the name of each file, and waits until the folder --gates holds one of that name, or one called `all`."""

import argparse
import os
import time

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--gates", required=True)
GATES = parser.parse_known_args()[0].gates


def run(mini_batch):
    names = [os.path.basename(path) for path in mini_batch]
    for name in names:
        print(name)
        while not {name, "all"} & set(os.listdir(GATES)):
            time.sleep(0.01)
    return names
