"""`python -m longshore_operator`: the operator, until SIGTERM."""

from __future__ import annotations

import sys

from longshore_protocol.importing import importing
from longshore_protocol.packages import MissingPackageError, require

PACKAGES = (
    "pydantic",
    "aiohttp",
    "cryptography",
    "kubernetes",
    "prometheus_client",
    "kopf",
)  # those that others import come first
MISSING = 2  # exit code where one of them is missing; as for any other bad input of a command


def main() -> int:
    """Run the operator; return its exit code. Print a sentence for a missing package, and start nothing."""
    with importing():
        try:
            for package in PACKAGES:
                require(package, extra="operator", subject="The operator")
        except MissingPackageError as error:
            print(f"longshore_operator: {error}", file=sys.stderr)
            return MISSING
        from longshore_operator import process  # late: it imports all of them

    return process.main()


if __name__ == "__main__":
    sys.exit(main())
