"""A store in memory with the files of Models and Datasets, and the catalogue that names them."""

import fsspec

from longshore_protocol.catalogue import Asset

STORE = "memory://named"
ASSETS = (
    Asset("Model", "digits", 1, "digits-1", (("bucket", "models/1/old.bin"),)),
    Asset("Model", "digits", 2, "digits-2", (("bucket", "models/2"),), "Digits.", {"stage": "test"}, {"rows": "5"}),
    Asset("Model", "iris", 1, "iris", (("folder", "iris.bin"),), tags={"stage": "live"}),
    Asset("Model", "secret", 1, "secret", (("hidden", "m.bin"),)),
    Asset("Model", "strewn", 1, "strewn", (("", "s3://elsewhere/m.bin"),)),
    Asset("Model", "up", 1, "up", (("bucket", "../m.bin"),)),
    Asset("Dataset", "words", 3, "words", (("bucket", "words"),), "Words.", {"language": "en"}),
    Asset("Dataset", "table", 1, "table", (("bucket", "t/*.csv"),), tabular={"format": "csv", "separator": ";"}),
    Asset("Dataset", "local", 1, "local", (("folder", "in/*.txt"),)),
    Asset("Dataset", "private", 1, "private", (("hidden", "x"),)),
    Asset("Dataset", "query", 1, "query", (("bucket", ""),), tabular={"format": "sql", "query": "SELECT 1"}),
    Asset("Dataset", "gone", 1, "gone", (("bucket", "nothing/here"),)),
)
FILES = {
    "models/1/old.bin": "old",
    "models/2/a.bin": "new a",
    "models/2/sub/b.bin": "new b",
    "words/en.txt": "one\ntwo\n",
    "words/deep/de.txt": "eins\n",
    "t/1.csv": "a;b\n1;2\n",
    "t/2.csv": "a;b\n3;4\n",
}


def memory():
    return fsspec.filesystem("memory")


def fill():
    """Replace everything in the store by FILES."""
    memory().store.clear()
    for name, text in FILES.items():
        memory().pipe_file(f"/named/{name}", text.encode())
