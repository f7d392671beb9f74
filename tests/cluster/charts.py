"""A release of the chart in a namespace of the test's own."""

from pathlib import Path

import helm_python as helm

ROOT = Path(__file__).parents[2]
RELEASE = "longshore"
OPERATOR = "app.kubernetes.io/name=longshore-operator"
IMAGE = {"repository": "localhost/longshore", "tag": "dev", "pullPolicy": "Never"}


class Release:
    """A release that watches its own namespace and makes nothing that other namespaces share."""

    def __init__(self, kubectl):
        self.kubectl = kubectl
        self.values = {
            "image": IMAGE,
            "crds": {"install": False},
            "rbac": {"namespaced": [kubectl.namespace]},
            "placeholder": {"priorityClass": {"name": f"{kubectl.namespace}-placeholder"}},
            "lowPriority": {"priorityClass": {"name": f"{kubectl.namespace}-lowpriority"}},
        }
        self.config = helm.Config(kubeconfig_path=kubectl.kubeconfig, namespace=kubectl.namespace)

    def apply(self, **values):
        """Install or upgrade, and wait until the operator is ready."""
        act = self.config.upgrade if self.config.list(name_filter=RELEASE) else self.config.install
        with helm.Chart.load(ROOT / "charts" / "longshore") as chart:
            return act(chart, RELEASE, {**self.values, **values}, wait="watcher", timeout=120)

    def pods(self):
        return self.kubectl.get("pods", f"--selector={OPERATOR}")
