"""Claims of a namespace on folders of the node."""


def claim(kubectl, name, folder):
    """Create a claim, and the volume that it is bound to: a folder of the node. Return the volume's name."""
    modes, volume = ["ReadWriteMany"], f"{kubectl.namespace}-{name}"
    of_both = {"accessModes": modes, "storageClassName": ""}
    capacity, asked = {"capacity": {"storage": "1Gi"}}, {"resources": {"requests": {"storage": "1Gi"}}}
    for kind, called, spec in (
        ("PersistentVolume", volume, {**of_both, **capacity, "hostPath": {"path": str(folder)}}),
        ("PersistentVolumeClaim", name, {**of_both, **asked, "volumeName": volume}),
    ):
        manifest = {"apiVersion": "v1", "kind": kind, "metadata": {"name": called}, "spec": spec}
        kubectl("apply", "--filename=-", stdin=manifest)
    return volume
