"""`python -m longshore_api.crdgen FOLDER...` writes the definition of each kind into a file of each folder."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from longshore_api.crdgen.definitions import definitions

HEADER = "# Generated from operator/longshore_api by `make crds`: change the models, never this file.\n"


class _Dumper(yaml.SafeDumper):
    """YAML writer that indents lists below their key and repeats equal parts, because aliases are hard to read."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: object) -> bool:
        return True


def texts() -> dict[str, str]:
    """Return the text of each file by its name."""
    return {
        f"{plural}.yaml": HEADER + yaml.dump(each, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
        for plural, each in definitions().items()
    }


def main() -> None:
    """Write the files. Files of removed kinds stay; the test that compares crds/ with the models names them."""
    for folder in map(Path, sys.argv[1:]):
        for name, text in texts().items():
            (folder / name).write_text(text)
            print(folder / name)


if __name__ == "__main__":
    main()
