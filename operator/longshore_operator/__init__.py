"""The operator: custom resources in, pods and statuses out.

    handlers -> work queue -> reconcile: observe -> plan (pure) -> apply -> status, once -> events

kopf is known to `handlers`, `watches` and `__main__` only, the Kubernetes client to `kube` (calls) and `build` (models)
only. `plan` and `build` are pure. Everything is level-triggered: a reconcile reads all there is and needs no memory of
what was before, so an operator that is killed at any point and started again comes to the same result.
"""
