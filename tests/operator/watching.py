"""An operator before an API server in memory, whose watches deliver events as late as a test wants."""

import copy

from longshore_operator.controllers import reconciler
from longshore_operator.manifests import names
from longshore_operator.metrics import MeteredKube
from longshore_operator.watch.cached import SELECTED, WATCHED, CachedKube
from longshore_operator.watch.store import Store
from longshore_operator.watch.wake import RECONCILED, keys_of, terms_of

LAGS = (0, 1, 3, 10)  # events that watches are late


class FrozenDict(dict):
    """A dict that is never changed."""

    def _refuse(self, *_, **__):
        raise TypeError("an object of the store is changed")

    __setitem__ = __delitem__ = __ior__ = update = pop = popitem = setdefault = clear = _refuse

    def __deepcopy__(self, memo):
        return {key: copy.deepcopy(value, memo) for key, value in self.items()}


class FrozenList(list):
    """A list that is never changed."""

    def _refuse(self, *_, **__):
        raise TypeError("an object of the store is changed")

    __setitem__ = __delitem__ = __iadd__ = append = extend = insert = pop = remove = clear = sort = reverse = _refuse

    def __deepcopy__(self, memo):
        return [copy.deepcopy(each, memo) for each in self]


def frozen(value):
    """Return a copy that nothing can change."""
    if isinstance(value, dict):
        return FrozenDict({key: frozen(each) for key, each in value.items()})
    return FrozenList(map(frozen, value)) if isinstance(value, list) else value


def is_watched(manifest):
    labels = manifest["metadata"].get("labels", {})
    return manifest["kind"] in WATCHED and (
        manifest["kind"] not in SELECTED or labels.get(names.MANAGED_BY) == names.MANAGER
    )


class Operator:
    """A process of the operator: it lists everything, and then hears of each change `lag` events late.

    `woken` are the keys that changes have put into the work queue.
    """

    def __init__(self, server, coordinators, settings, *, lag=0, metrics=None, **clock):
        self.woken = set()
        self.store = Store(terms_of=terms_of)
        self.in_sync = True  # whether its watches run
        self.cached = CachedKube(server, self.store, in_sync=lambda: self.in_sync)
        kube = self.cached if metrics is None else MeteredKube(self.cached, metrics)
        self.reconciler = reconciler(kube, coordinators, settings, **clock)
        self.server, self.coordinators, self.lag = server, coordinators, lag
        server.note_changes()
        self.position = len(server.events)
        self.due = {}  # key -> when, of the simulated work queue
        self.reconciles = []
        for kind in WATCHED:
            found, version = server.list(kind, "", names.OURS if kind in SELECTED else "")
            self.store.replace(kind, "", found, version)
        self.store.notify = self._changed
        self.woken |= {key for key in server.objects if key[0] in WATCHED}

    def reconcile(self, kind, namespace, name):
        self.deliver()
        self.woken.discard((kind, namespace, name))
        return self.reconciler.reconcile(kind, namespace, name)

    def work(self, clock, kinds=RECONCILED):
        """Reconcile what changes have woken and what is due by now, and nothing else."""
        self.deliver()
        self.due |= dict.fromkeys(self.woken, clock)
        self.woken.clear()
        for key in sorted(key for key, when in self.due.items() if when <= clock and key[0] in kinds):
            del self.due[key]
            self.reconciles.append(key)
            after = self.reconciler.reconcile(*key)
            if after is not None:
                self.due[key] = min(self.due.get(key, clock + after), clock + after)

    def deliver(self):
        """Hear of all but the latest events, and of one at least: time passes."""
        self.server.note_changes()
        pending = len(self.server.events) - self.position
        self.hear(max(pending - self.lag, min(1, pending)))

    def hear(self, count):
        """Take in the next events."""
        for deleted, manifest in self.server.events[self.position : self.position + count]:
            self.store.apply(manifest, deleted=deleted)
        self.position += count

    def _changed(self, change):
        self.cached.note(change)
        self.woken |= keys_of(change, self.store)
