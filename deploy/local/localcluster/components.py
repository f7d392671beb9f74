"""Command lines and configuration of the components. Pure: what it returns, `cluster` writes."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from localcluster import audit
from localcluster.pki import API_PORT, NODE
from localcluster.places import Places
from localcluster.releases import Release, kubelet_flags, kubelet_settings
from localcluster.sandbox import Network, cgroup_name

PAUSE_IMAGE = "localhost/pause:1"
_ETCD = "http://127.0.0.1:2379"
Commands = dict[str, list[str]]


@dataclass(frozen=True)
class Setting:
    """All that command lines are made of."""

    place: Places
    network: Network
    binaries: Path
    release: Release

    @property
    def runtime(self) -> str:
        """The URL of the container runtime."""
        return f"unix://{self.place.containerd}"


def control_plane(on: Setting) -> Commands:
    """Return the command of each component that a cluster without a node has, in the order of starting."""
    return {
        "etcd": [
            "etcd",
            f"--data-dir={on.place.state}/etcd",
            "--unsafe-no-fsync",
            f"--listen-client-urls={_ETCD}",
            f"--advertise-client-urls={_ETCD}",
        ],
        # A fifth of its CPU time goes to garbage collection, and here it shares two cores with everything else.
        "apiserver": ["env", "GOGC=400", f"{on.binaries}/kube-apiserver", *_apiserver(on)],
        "controller-manager": [f"{on.binaries}/kube-controller-manager", *_controller_manager(on)],
        "scheduler": [f"{on.binaries}/kube-scheduler", *_as_client(on, "scheduler")],
    }


def node(on: Setting) -> Commands:
    """Return the commands of what makes pods real, in the order of starting."""
    state = on.place.state
    return {
        "containerd": ["containerd", f"--config={state}/containerd.toml"],
        "kubelet": [
            f"{on.binaries}/kubelet",
            f"--config={state}/kubelet.yaml",
            f"--kubeconfig={on.place.kubeconfig_of('node')}",
            f"--hostname-override={NODE}",
            f"--node-ip={on.network.node}",
            *kubelet_flags(on.release, on.runtime),
        ],
        "kube-proxy": [f"{on.binaries}/kube-proxy", f"--config={state}/proxy.yaml"],
        "names": [
            "env",
            f"PYTHONPATH={Path(__file__).parents[1]}",
            sys.executable,
            "-m",
            "localcluster.names",
            str(state),
            str(on.network.number),
        ],
    }


def _apiserver(on: Setting) -> list[str]:
    pki, network = on.place.pki, on.network
    return [
        f"--etcd-servers={_ETCD}",
        f"--secure-port={API_PORT}",
        f"--advertise-address={network.node}",
        f"--service-cluster-ip-range={network.services}",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--service-account-key-file={pki}/accounts.pub",
        f"--service-account-signing-key-file={pki}/accounts.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--kubelet-client-certificate={pki}/admin.crt",
        f"--kubelet-client-key={pki}/admin.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--audit-policy-file={on.place.state}/audit-policy.yaml",
        f"--audit-log-path={on.place.audit}",
        "--audit-log-maxsize=100",
    ]


def _controller_manager(on: Setting) -> list[str]:
    pki = on.place.pki
    return [
        *_as_client(on, "controller-manager"),
        f"--service-account-private-key-file={pki}/accounts.key",
        f"--root-ca-file={pki}/ca.crt",
        "--use-service-account-credentials=true",
        "--pvclaimbinder-sync-period=1s",  # 15 s else, for a claim that was there before its volume
    ]


def _as_client(on: Setting, user: str) -> list[str]:
    kubeconfig = on.place.kubeconfig_of(user)
    asks = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    return [*(f"--{each}={kubeconfig}" for each in asks), "--bind-address=127.0.0.1", "--leader-elect=false"]


def files(on: Setting) -> dict[str, str]:
    """Return the text of each configuration file, by its path below the state folder."""
    return {
        "audit-policy.yaml": json.dumps(audit.POLICY, indent=1),
        "containerd.toml": _containerd(on),
        "kubelet.yaml": json.dumps(_kubelet(on), indent=1),
        "proxy.yaml": json.dumps(_proxy(on), indent=1),
        "cni/10-kube.conflist": json.dumps(_pod_network(on), indent=1),
        "resolv.conf": f"nameserver {on.network.node}\n",
    }


def _containerd(on: Setting) -> str:
    state = on.place.state
    # restrict_oom_score_adj: a machine that is a container itself may not be allowed to lower the score
    return f"""\
version = 2
root = "{state}/containerd"
state = "/run/containerd"
[grpc]
address = "{on.place.containerd}"
[plugins."io.containerd.internal.v1.opt"]
path = "{state}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{state}/cni"
"""


def _kubelet(on: Setting) -> dict[str, object]:
    pki = on.place.pki
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "x509": {"clientCAFile": f"{pki}/ca.crt"},
            "webhook": {"enabled": True},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{pki}/node.crt",
        "tlsPrivateKeyFile": f"{pki}/node.key",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup_name(on.place),
        "failSwapOn": False,
        "clusterDomain": "cluster.local",
        "clusterDNS": [on.network.node],
        "resolvConf": f"{on.place.state}/resolv.conf",
        "maxPods": 200,
        # a developer's disk is often fuller than a node's may be
        "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "5s",
        "nodeLeaseDurationSeconds": 20,
        **kubelet_settings(on.release, on.runtime),
    }


def _proxy(on: Setting) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(on.place.kubeconfig_of("proxy"))},
        "clusterCIDR": on.network.pods,
        "hostnameOverride": NODE,
        "mode": "iptables",
        "iptables": {"masqueradeAll": True},  # else answers between pods pass it by where bridges are not filtered
        "conntrack": {"maxPerCore": 0},  # the machine's own setting stays
    }


def _pod_network(on: Setting) -> dict[str, object]:
    addresses = {"type": "host-local", "ranges": [[{"subnet": on.network.pods, "gateway": on.network.node}]]}
    bridge = {
        "type": "bridge",
        "bridge": "kube0",
        "isGateway": True,
        "isDefaultGateway": True,
        "hairpinMode": True,
        "ipam": addresses,
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "kube", "plugins": [bridge, ports]}
