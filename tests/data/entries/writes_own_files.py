"""Writes a file of its own for each item into the output folder."""

import os


def run(mini_batch):
    names = [os.path.basename(path) for path in mini_batch]
    for name in names:
        with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], f"{name}.seen"), "w") as file:
            file.write(name)
    return names
