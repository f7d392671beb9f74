"""Write the example's data: the 150 irises that scikit-learn ships, as data/iris.csv beside this file."""

from __future__ import annotations

import csv
from pathlib import Path

from sklearn.datasets import load_iris

DATA = Path(__file__).resolve().parent / "data"


def main() -> None:
    DATA.mkdir(exist_ok=True)
    irises = load_iris()
    columns = [name.removesuffix(" (cm)").replace(" ", "_") for name in irises.feature_names]
    with (DATA / "iris.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([*columns, "species"])
        for sizes, species in zip(irises.data, irises.target, strict=True):
            rows.writerow([*sizes, irises.target_names[species]])
    print(f"{len(irises.target)} irises in {DATA / 'iris.csv'}")


if __name__ == "__main__":
    main()
