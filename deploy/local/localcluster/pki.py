"""Certificates and kubeconfigs of a cluster that lives for a day."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from localcluster.places import Places
from localcluster.processes import run
from localcluster.sandbox import Network

API_PORT = 6443
NODE = "node-1"
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "365")


@dataclass(frozen=True)
class Identity:
    """Whom a certificate names; the API server reads user and group from it."""

    file: str
    user: str
    group: str
    names: str = ""  # subjectAltName


def identities(network: Network) -> list[Identity]:
    """Return all that need a certificate."""
    api = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    api_names = ",".join(
        [*(f"IP:{each}" for each in (network.node, network.api_service, "127.0.0.1")), *(f"DNS:{each}" for each in api)]
    )
    return [
        Identity("apiserver", "kube-apiserver", "kubernetes", api_names),
        Identity("node", f"system:node:{NODE}", "system:nodes", f"IP:{network.node},DNS:{NODE}"),
        Identity("admin", "admin", "system:masters"),
        Identity("controller-manager", "system:kube-controller-manager", "system:kube-controller-manager"),
        Identity("scheduler", "system:kube-scheduler", "system:kube-scheduler"),
        Identity("proxy", "system:kube-proxy", "system:node-proxier"),
    ]


def write_pki(place: Places, network: Network) -> None:
    """Write the certificate authority, all certificates, the service accounts' key, and a kubeconfig for each user."""
    place.pki.mkdir(mode=0o700)
    authority = place.pki / "ca"
    run(
        "openssl",
        "req",
        "-x509",
        *_NEW_KEY,
        "-keyout",
        f"{authority}.key",
        "-out",
        f"{authority}.crt",
        "-subj",
        "/CN=kube-local",
    )
    run(
        "openssl",
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-out",
        place.pki / "accounts.key",
    )
    run("openssl", "pkey", "-in", place.pki / "accounts.key", "-pubout", "-out", place.pki / "accounts.pub")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda each: _write(place, network, each), identities(network)))


def _write(place: Places, network: Network, identity: Identity) -> None:
    file, authority = place.pki / identity.file, place.pki / "ca"
    uses = ["keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth,clientAuth", "basicConstraints=CA:FALSE"]
    names = [f"subjectAltName={identity.names}"] if identity.names else []
    extensions = [word for each in (*uses, *names) for word in ("-addext", each)]
    subject = ("-subj", f"/O={identity.group}/CN={identity.user}")
    signed = ("-CA", f"{authority}.crt", "-CAkey", f"{authority}.key")
    run(
        "openssl",
        "req",
        "-x509",
        *_NEW_KEY,
        *subject,
        *signed,
        *extensions,
        "-keyout",
        f"{file}.key",
        "-out",
        f"{file}.crt",
    )
    place.kubeconfig_of(identity.file).write_text(_kubeconfig(place, network, identity.file))


def _kubeconfig(place: Places, network: Network, user: str) -> str:
    server = f"https://{network.node}:{API_PORT}"
    credentials = {"client-certificate": f"{place.pki}/{user}.crt", "client-key": f"{place.pki}/{user}.key"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "local",
        "clusters": [{"name": "local", "cluster": {"server": server, "certificate-authority": f"{place.pki}/ca.crt"}}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": user, "namespace": "default"}}],
        "users": [{"name": user, "user": credentials}],
    }
    return json.dumps(config, indent=1)  # JSON is YAML
