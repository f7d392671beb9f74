"""What sibling_import imports; no entry script."""

import os


def name(path):
    return os.path.basename(path)
