"""Does at once what this cluster's kubelet does once a minute: it lets go of pods of which nothing runs any more.

A kubelet of Kubernetes 1.20 keeps a pod that is being deleted listed until its sandbox is collected, with all that is
collected, each minute; those of today let go of it as soon as its containers have ended.
"""

import threading
from collections import Counter
from contextlib import contextmanager
from http.client import HTTPException

_PAUSE = 1.0  # seconds between looks
_LOOKS = 4  # in which nothing of a pod runs: it has had time to go by itself, and will not start any more


@contextmanager
def tidied(kubectl):
    """Have pods that have ended, and are being deleted, gone within a few seconds."""
    over = threading.Event()
    tidying = threading.Thread(target=_tidy, args=(kubectl, over), daemon=True)
    tidying.start()
    try:
        yield
    finally:
        over.set()
        tidying.join()


def _tidy(kubectl, over):
    seen = Counter()  # by pod: looks on end
    while not over.wait(_PAUSE):
        try:
            pods = kubectl.request("GET", "/api/v1/pods")["items"]
            seen = Counter({each: seen[each] + 1 for each in map(_key, filter(_has_ended, pods))})
            for namespace, name, uid in (each for each, looks in seen.items() if looks >= _LOOKS):
                options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
                kubectl.request("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}", options)
        except (OSError, HTTPException):  # gone by itself; or the API server is away, as tests have it
            continue


def _key(pod):
    return tuple(pod["metadata"][each] for each in ("namespace", "name", "uid"))


def _has_ended(pod):
    """Tell whether a pod is being deleted, and nothing of it runs, or ever will."""
    states = [each["state"] for each in pod["status"].get("containerStatuses", [])]
    return "deletionTimestamp" in pod["metadata"] and bool(states) and not any("running" in each for each in states)
