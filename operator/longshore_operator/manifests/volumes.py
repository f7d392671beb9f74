"""The volumes of Datastores in pods, and what each container sees of them.

Containers of ours mount a volume as a whole, and keep below the Datastores' folders themselves (LONGSHORE_VOLUMES). The
user's container sees Datastores that the step reads, read-only, and of the run's own folder the outputs and logs: never
the run's state, and no other run's in the same Datastore, over which an empty folder is mounted.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from kubernetes.client import (
    V1EmptyDirVolumeSource,
    V1HostPathVolumeSource,
    V1PersistentVolumeClaimVolumeSource,
    V1Volume,
    V1VolumeMount,
)

from longshore_planner.cluster.pod_requirements import RUNS, PodRequirements, Volume

_HIDDEN = "hidden"  # the volume with the empty folders
_HIDDEN_SIZE = "1Mi"
_MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True)
class DataAccess:
    """What a pod does with data on volumes; all locations are paths in pods, or URLs, which concern no volume."""

    provision: PodRequirements
    writes: tuple[str, ...] = ()  # folders that containers of ours write to
    script_reads: tuple[str, ...] = ()  # files, folders and globs that the script reads
    script_writes: tuple[str, ...] = ()  # folders that the script writes to

    def volumes(self) -> list[V1Volume]:
        """Return the volumes of the data; those without writes keep their owner and modes."""
        found = [
            V1Volume(
                name=f"data-{index}",
                persistent_volume_claim=_claim(each.claim, read_only=not self._writes_to(each)) if each.claim else None,
                host_path=V1HostPathVolumeSource(path=each.host_path, type="Directory") if each.host_path else None,
            )
            for index, each in enumerate(self.provision.volumes)
        ]
        if any(mount.name == _HIDDEN for mount in self.script_mounts()):
            found.append(V1Volume(name=_HIDDEN, empty_dir=V1EmptyDirVolumeSource(size_limit=_HIDDEN_SIZE)))
        return found

    def mounts(self, *, of: str | None = None, read_only: bool = False) -> list[V1VolumeMount]:
        """Return where a container of ours sees them: all, or the one that a location `of` them is on."""
        return [
            V1VolumeMount(
                name=f"data-{index}",
                mount_path=each.mount_path,
                read_only=True if read_only or not self._writes_to(each) else None,
            )
            for index, each in enumerate(self.provision.volumes)
            if of is None or each is self._volume_of(of)
        ]

    def boundary(self, *others: str) -> str:
        """Return LONGSHORE_VOLUMES of a container of ours; `others` are more folders that scripts write to."""
        volumes = (each.mount_path for each in self.provision.volumes)
        return ":".join(dict.fromkeys((*volumes, *self._roots(), *others)))

    def script_mounts(self) -> list[V1VolumeMount]:
        """Return the mounts of the user's container; outer mounts precede the ones nested in them."""
        found: dict[str, V1VolumeMount] = {}
        own = [each for each in self.script_writes if self._volume_of(each) is not None]
        hidden = {f"{root}/{RUNS}" for each in own if (root := self._root_of(each)) is not None}
        for read in self.script_reads:
            place = _literal(read)
            if any(_is_below(place, each) for each in hidden):
                if not any(_is_below(each, place) for each in (*hidden, *own)):  # another run's output, and no more
                    found[place] = self._mount(place, read_only=True)
            elif (root := self._root_of(read)) is not None:
                found[root] = self._mount(root, read_only=True)
        for each in hidden:
            if any(_is_below(each, outer) for outer in found):
                found[each] = V1VolumeMount(name=_HIDDEN, mount_path=each)
        found |= {each: self._mount(each) for each in own}
        return [found[each] for each in sorted(found)]

    def made_for_script(self) -> list[str]:
        """Return the folders that must be there before the user's container starts: made by us, they are ours."""
        return [each for each in self.script_writes if self._volume_of(each) is not None]

    def needed_by_script(self) -> list[str]:
        """Return what must be there already, since a kubelet would make it otherwise: an empty folder of root's."""
        return [each.mount_path for each in self.script_mounts() if each.read_only and each.sub_path]

    def _roots(self) -> tuple[str, ...]:
        # A run that was frozen before there were folders has its volumes as a whole.
        return self.provision.folders or tuple(each.mount_path for each in self.provision.volumes)

    def _root_of(self, place: str) -> str | None:
        """Return the innermost folder of a Datastore that a place is in."""
        return max((each for each in self._roots() if _is_below(place, each)), key=len, default=None)

    def _volume_of(self, place: str) -> Volume | None:
        found = (each for each in self.provision.volumes if _is_below(place, each.mount_path))
        return max(found, key=lambda each: len(each.mount_path), default=None)

    def _writes_to(self, volume: Volume) -> bool:
        return any(self._volume_of(each) is volume for each in self.writes)

    def _mount(self, place: str, *, read_only: bool = False) -> V1VolumeMount:
        volume = self._volume_of(place)
        assert volume is not None, "a place on a volume"
        return V1VolumeMount(
            name=f"data-{self.provision.volumes.index(volume)}",
            mount_path=place,
            sub_path=place.removeprefix(volume.mount_path).strip("/") or None,
            read_only=True if read_only else None,
        )


def _literal(path: str) -> str:
    """Return a file or folder; of a glob the folder that it begins in."""
    magic = _MAGIC.search(path)
    return path.rstrip("/") if magic is None else posixpath.dirname(path[: magic.start()])


def _claim(name: str, *, read_only: bool) -> V1PersistentVolumeClaimVolumeSource:
    return V1PersistentVolumeClaimVolumeSource(claim_name=name, read_only=True if read_only else None)


def _is_below(place: str, folder: str) -> bool:
    """Return whether a location is a folder, or below it."""
    return place == folder or place.startswith(folder.rstrip("/") + "/")
