"""The page of the operator's metrics, read off a registry in which each of them has a value."""

from __future__ import annotations

from contextlib import suppress

from docsite.markdown import code, notice, table
from longshore_operator.manifests import names
from longshore_operator.metrics import Metrics

_INTRODUCTION = """# Metrics

What you can plot and alert on: the operator serves these at `/metrics` of port 9090, for Prometheus.
[Monitor Longshore](../how-to/monitor.md) has a dashboard and alerts that use them. Of the labels, `kind` is a kind
of resource, and only ComputeClusters are named, so that the number of series is bounded. Prometheus adds `_bucket`,
`_sum` and `_count` to the name of a histogram. It also serves the usual `process_` metrics of Python's client.

"""


def page() -> str:
    """Return the page's Markdown. Raises ValueError for a metric of which `used` makes no sample."""
    rows = []
    for family in used().registry.collect():
        if family.name.startswith("process_"):
            continue
        if not family.samples:
            raise ValueError(f"metric {family.name!r} has no sample; make one in used(), for its labels")
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = [each for each in family.samples[0].labels if each != "le"]
        rows.append((code(name), family.type, ", ".join(map(code, labels)), family.documentation))
    return (
        notice("operator/longshore_operator/metrics.py")
        + _INTRODUCTION
        + table(("Metric", "Type", "Labels", "Meaning"), sorted(rows))
    )


def used() -> Metrics:
    """Return metrics of an operator that has done a little of everything, so that each label has each of its values."""
    metrics = Metrics()
    metrics.api_request("get", names.STEP_KIND, "200")
    for again in (None, 1.0):
        with metrics.reconcile(names.STEP_KIND) as ended:
            ended(again)
    with suppress(RuntimeError), metrics.reconcile(names.STEP_KIND):
        raise RuntimeError
    metrics.coordinators(lambda: {"answering": 1, "silent": 0})
    metrics.cluster({"metadata": {"namespace": "score", "name": "cpu"}, "spec": {"maxNodes": 4}})
    return metrics
