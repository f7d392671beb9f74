"""`python -m longshore_operator`: the operator, until SIGTERM."""

from __future__ import annotations

import argparse
import logging
import os
import sys

import kopf

from longshore_operator.coordinator_client import HttpCoordinators
from longshore_operator.handlers import Key, registry
from longshore_operator.kube import ApiKube, client_from_environment
from longshore_operator.reconcile import Reconciler
from longshore_operator.settings import Settings
from longshore_operator.work_queue import WorkQueue

_THREADS = 4


def main() -> int:
    """Run the operator; 1 when it is not told what it must know."""
    options = _options()
    logging.basicConfig(level=options.log_level, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = Settings.from_environment(os.environ)
    except KeyError as error:
        print(f"longshore-operator: {error.args[0]} is missing: the image of coordinators and agents", file=sys.stderr)
        return 1
    reconciler = Reconciler(ApiKube(client_from_environment()), HttpCoordinators(), settings)

    def work(key: Key) -> float | None:
        return reconciler.reconcile(*key)

    queue: WorkQueue[Key] = WorkQueue(work)
    kopf.run(
        registry=registry(queue, threads=_THREADS),
        standalone=True,
        namespaces=options.namespace,
        clusterwide=not options.namespace,
        liveness_endpoint=options.liveness,
    )
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="longshore_operator", description=__doc__)
    parser.add_argument("--namespace", action="append", default=[], help="a namespace to watch; all if not given")
    parser.add_argument("--liveness", help="URL to answer probes at, such as http://0.0.0.0:8080/healthz")
    parser.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING"])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
