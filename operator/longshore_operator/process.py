"""The operator's process: threads and watches, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import resource
import signal
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import kopf

from longshore_operator import logs
from longshore_operator.cluster.api import ApiError, ApiKube, client_from_environment
from longshore_operator.cluster.poller import Poller
from longshore_operator.controllers import reconciler
from longshore_operator.endpoints import serving
from longshore_operator.manifests import names
from longshore_operator.metrics import MeteredKube, Metrics
from longshore_operator.reconcile.leadership import Candidate, Election, Terms
from longshore_operator.reconcile.work_queue import WorkQueue
from longshore_operator.settings import InvalidSettings, Settings
from longshore_operator.watch.cached import WATCHED, CachedKube
from longshore_operator.watch.handlers import registry
from longshore_operator.watch.sessions import Watches
from longshore_operator.watch.store import Change, Key, Store
from longshore_operator.watch.wake import keys_of, terms_of

_OTHERS = 2  # threads that call the API server: leader election, and the watches for lists
# Threads mostly wait for the API server: at 200 status writes a second these are enough while it answers within 160 ms.
_THREADS = 32

_log = logging.getLogger("longshore.operator")


def main() -> int:
    """Run the operator; return 1 if a setting is invalid or it cannot continue, else 0."""
    options = _options()
    logs.configure(level=options.log_level, form=options.log_format)
    try:
        settings = Settings.from_environment(os.environ)
    except InvalidSettings as error:
        _log.critical("%s", error)
        return 1
    metrics = Metrics()
    client = client_from_environment(connections=_THREADS + _OTHERS)
    election: Election | None = None  # None: there is no other operator, and this one leads

    def leads() -> bool:
        return election is None or election.leads

    metrics.leads(leads)
    server = ApiKube(client, metrics.api_request, may_write=leads)
    store = Store(terms_of=terms_of)
    watches = Watches(WATCHED, options.namespace, metrics.api_request, store.replace, store.has_written)
    kube = CachedKube(server, store, in_sync=lambda: watches.run, namespaces=options.namespace)
    poller = Poller(lambda namespace, step: queue.add((names.STEP_KIND, namespace, step)))
    reconcile = reconciler(MeteredKube(kube, metrics), poller, settings).reconcile

    def work(key: Key) -> float | None:
        with metrics.reconcile(key[0]) as ended:
            again = reconcile(*key)
            ended(again)
        return again

    queue: WorkQueue[Key] = WorkQueue(work, expected=(ApiError, OSError), about=_about, taken=metrics.queue_lateness)
    lead = _connect(store, kube, queue, watches, leads=leads)
    metrics.queue_depth(queue.__len__)
    metrics.coordinators(poller.states)
    if options.lease is not None:
        terms = Terms.of(options.lease_duration)
        leases = ApiKube(client, metrics.api_request, timeout=terms.renew_deadline / 2)
        namespace, name = options.lease
        candidate = Candidate(namespace, name, options.identity)
        stand_by = partial(_stand_by, queue, poller, metrics)
        election = Election(leases, candidate, started=lead, stopped=stand_by, terms=terms)
    handlers = registry(store, queue, watches, served=server.served)
    stopping = asyncio.Event()

    def ready() -> bool:
        return watches.run and not stopping.is_set()

    endpoints: AbstractContextManager[object] = nullcontext()
    try:
        if options.metrics_port:
            endpoints = serving(("0.0.0.0", options.metrics_port), metrics.registry, ready)  # noqa: S104  (a pod's)
        with endpoints, _working(queue, poller, election):
            asyncio.run(_watch(handlers, options, stopping))
    except Exception:  # noqa: BLE001  (every error belongs in the log)
        _log.critical("the operator cannot continue and exits", exc_info=True)
        return 1
    return 0


def _connect(
    store: Store, kube: CachedKube, queue: WorkQueue[Key], watches: Watches, *, leads: Callable[[], bool]
) -> Callable[[], None]:
    """Connect the store to the queue, which runs once this operator leads and has listed all objects.

    Return the function to call when this operator begins to lead.
    """
    queue.pause()

    def changed(change: Change) -> None:
        kube.note(change)
        for key in keys_of(change, store):
            queue.add(key)

    def proceed() -> None:
        if leads() and watches.have_listed:
            queue.resume()

    def lead() -> None:
        kube.expect_changes_of_others()
        proceed()

    store.notify = changed
    watches.when_listed = proceed
    return lead


def _allow_connections() -> None:
    """Raise the limit of open files to its maximum, because each coordinator has a connection."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _stand_by(queue: WorkQueue[Key], poller: Poller, metrics: Metrics) -> None:
    queue.pause()
    poller.forget_all()
    metrics.forget_all()


@contextmanager
def _working(queue: WorkQueue[Key], poller: Poller, election: Election | None) -> Iterator[None]:
    """Run the threads that reconcile, poll coordinators and take part in leader election."""
    _allow_connections()
    poller.start()
    queue.start(_THREADS)
    if election is not None:
        election.start()
    try:
        yield
    finally:
        queue.stop()  # waits for running reconciles: seconds, because each call has a time limit
        poller.stop()
        if election is not None:
            election.stop()


async def _watch(handlers: kopf.OperatorRegistry, options: argparse.Namespace, stopping: asyncio.Event) -> None:
    """Run kopf's watches until SIGTERM or SIGINT, which set `stopping`."""
    started = asyncio.Event()
    operator = asyncio.create_task(
        kopf.operator(
            registry=handlers,
            identity=names.OPERATOR,  # type: ignore[arg-type]  # a str; kopf's own guess needs the user to have a name
            standalone=True,
            namespaces=options.namespace,
            clusterwide=not options.namespace,
            liveness_endpoint=options.liveness,
            ready_flag=started,
            stop_flag=stopping,
        )
    )
    operator.add_done_callback(lambda _: started.set())
    await started.wait()
    if not operator.done():
        _log.info("watching %s", ", ".join(options.namespace) or "all namespaces")
    for number in (signal.SIGTERM, signal.SIGINT):  # kopf's own until now; a second one does no harm to ours
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        await operator
        _log.info("stopped")
    except asyncio.CancelledError:  # SIGTERM came before it had begun
        _log.info("stopped before it began")


def _about(key: Key) -> AbstractContextManager[None]:
    kind, namespace, name = key
    return logs.about(kind=kind, namespace=namespace, name=name)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="longshore_operator", description=__doc__)
    parser.add_argument(
        "--namespace", action="append", default=[], help="namespace to watch; repeatable; all namespaces if not given"
    )
    parser.add_argument("--liveness", help="URL of the liveness probe, such as http://0.0.0.0:8080/healthz")
    parser.add_argument("--metrics-port", type=int, default=0, help="port of /metrics and /readyz; 0 disables both")
    parser.add_argument(
        "--lease", type=_lease, help="NAMESPACE/NAME of the Lease for leader election; no election if not given"
    )
    parser.add_argument(
        "--lease-duration",
        type=_duration,
        default=10.0,
        help="seconds until a silent leader is replaced, 2 to 60; 10 if not given",
    )
    parser.add_argument(
        "--identity",
        default=f"{socket.gethostname()}_{uuid.uuid4()}",
        help="holder of the Lease; host name and a random id if not given",
    )
    parser.add_argument("--log-format", default="text", choices=["json", "text"])
    parser.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING"])
    return parser.parse_args()


def _duration(text: str) -> float:
    if not text.isdigit() or not 2 <= int(text) <= 60:
        raise argparse.ArgumentTypeError(f"is {text!r}: must be a whole number of seconds from 2 to 60")
    return float(text)


def _lease(text: str) -> tuple[str, str]:
    namespace, _, name = text.partition("/")
    if not namespace or not name or "/" in name:
        raise argparse.ArgumentTypeError(f"is {text!r}: must be NAMESPACE/NAME")
    return namespace, name
