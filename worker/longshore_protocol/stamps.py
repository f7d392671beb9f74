"""Stamps: short texts that identify the version of a file in a plan, stored in each piece of a slice.

    local files    SIZE MTIME, and INODE@VOLUME where the file system keeps inode numbers
    in a store     SIZE and the ETag, digest or modification time from the store

SIZE is in bytes, MTIME in nanoseconds. VOLUME identifies one mounted file system of one running kernel: inode numbers
differ between nodes, mounts and restored backups, so they are compared within one volume only.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from datetime import datetime, timezone
from functools import lru_cache
from typing import Dict

# File systems with stable inode numbers. Those of FUSE and SMB may change at any time.
_KEEP_INODES = frozenset({"ext2", "ext3", "ext4", "xfs", "zfs", "f2fs", "tmpfs", "nfs", "nfs4", "ceph", "lustre"})
_INODE = re.compile(r" \d+@[0-9a-f]{12}\Z")
_LOCAL = re.compile(r"(\d+) (\d+)( \d+@[0-9a-f]{12})?")


def of_status(status: os.stat_result) -> str:
    """Return the stamp of a local file."""
    stamp = "{} {}".format(status.st_size, status.st_mtime_ns)
    volume = _volume(status.st_dev)
    return "{} {}@{}".format(stamp, status.st_ino, volume) if volume else stamp


def lasting(stamp: str) -> str:
    """Return a stamp without its inode: the part that is equal on every machine and after a restart."""
    return _INODE.sub("", stamp)


def is_same(planned: str, found: str) -> bool:
    """Return whether two stamps identify the same version of a file."""
    if planned.rpartition("@")[2] == found.rpartition("@")[2]:  # on the same volume, or in a store
        return planned == found
    return lasting(planned) == lasting(found)


def difference(planned: str, found: str) -> str:
    """Describe the difference of two stamps; return a clause such as "it had 4 bytes and has 3"."""
    size, _, version = planned.partition(" ")
    size_now, _, version_now = found.partition(" ")
    if size != size_now:
        return "it had {} bytes and has {}".format(size, size_now)
    modified, modified_now = modified_at(planned), modified_at(found)
    if modified and modified_now:
        if modified == modified_now:
            return "another file of the same size and time took its place"
        return "it was last modified at {} and is now of {}".format(modified, modified_now)
    return "its version was {} and is {}".format(version, version_now)


def modified_at(stamp: str) -> str:
    """Return the modification time of a local file in UTC, or "" for a file in a store."""
    local = _LOCAL.fullmatch(stamp)
    if local is None:
        return ""
    seconds, fraction = divmod(int(local.group(2)), 10**9)
    try:
        at = datetime.fromtimestamp(seconds, timezone.utc)
    except (OverflowError, OSError, ValueError):
        return "{}.{:09d}".format(seconds, fraction)
    return "{:%Y-%m-%d %H:%M:%S}.{:09d} UTC".format(at, fraction)


@lru_cache(maxsize=256)
def _volume(device: int) -> str:
    """Return an id of a device's volume (12 hexadecimal digits), or "" if its inode numbers are not stable."""
    if _file_systems().get("{}:{}".format(os.major(device), os.minor(device))) not in _KEEP_INODES:
        return ""
    name = "{} {}".format(_kernel(), device)
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def _file_systems() -> Dict[str, str]:
    """Return the type of each mounted file system by its device (MAJOR:MINOR); empty without /proc."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            lines = [line.split() for line in file]
    except OSError:
        return {}
    return {fields[2]: fields[fields.index("-") + 1] for fields in lines if "-" in fields[6:]}


def _kernel() -> str:
    """Return a text that is unique for each boot of each machine."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return platform.node()
