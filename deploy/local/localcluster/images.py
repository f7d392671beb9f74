"""Images: built without a container engine, loaded into the cluster's containerd.

What is built here is kept apart from the images of the machine's user, in a store of its own that all checkouts share:
who builds and loads holds `store()` locked.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from localcluster.components import PAUSE_IMAGE
from localcluster.machine import IMAGES, have, is_debian, need_root
from localcluster.places import CHECKOUT, Places, cache
from localcluster.processes import Problem, run, show

BASE = "docker.io/library/python:3.11-slim"
PRODUCT = "localhost/longshore:dev"
_PAUSE = """\
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void reap(int number) { while (waitpid(-1, 0, WNOHANG) > 0) {} }
static void leave(int number) { _exit(0); }
int main(void) {
  signal(SIGCHLD, reap); signal(SIGTERM, leave); signal(SIGINT, leave);
  for (;;) pause();
}
"""


def store() -> Path:
    """Return the folder of the images that are built here."""
    return cache() / "images"


def load(place: Places, archive: Path) -> None:
    """Give the cluster the images of an archive, made by `docker save` or `buildah push`."""
    run("ctr", "--address", place.containerd, "--namespace", "k8s.io", "images", "import", archive)


def load_pause(place: Places) -> None:
    """Make and load the image that holds a pod's namespaces: one program that waits."""
    folder = place.state / "pause"
    folder.mkdir()
    program, layer, archive = folder / "pause", folder / "layer.tar", folder / "image.tar"
    run("gcc", "-static", "-Os", "-x", "c", "-", "-o", program, stdin=_PAUSE)
    with tarfile.open(layer, "w") as tar:
        tar.add(program, "pause")
    digest = hashlib.sha256(layer.read_bytes()).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/pause"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE_IMAGE], "Layers": ["layer.tar"]}]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with tarfile.open(archive, "w") as tar:
        for name in ("config.json", "manifest.json", "layer.tar"):
            tar.add(folder / name, name)
    _until_it_answers(place)
    load(place, archive)


def build(
    dockerfile: Path, context: Path, reference: str, *, replace: bool = True, arguments: Mapping[str, str] | None = None
) -> Path:
    """Build an image and return the archive that holds it; unless `replace`, reuse an existing image of that name.

    `arguments` are values for the ARGs of the Dockerfile. The caller holds the lock of `store()`.
    """
    need_root()
    have(IMAGES)
    if not replace and _has(reference):
        return archive_of(reference)
    base_image()
    run(*_buildah(), "rm", "--all")  # a killed build leaves a container whose image cannot be pruned
    # the host's network, and pip as it is set up here: a mirror, its certificate, a folder of wheels
    with tempfile.TemporaryDirectory() as folder:
        config, mounts = pip_settings(run(sys.executable, "-m", "pip", "config", "list"))
        pip = Path(folder, "pip.conf")
        pip.write_text(config)
        shared = [f"{pip}:/etc/pip.conf:ro", *(f"{each}:{each}:ro" for each in mounts if Path(each).exists())]
        volumes = [word for each in shared for word in ("--volume", each)]
        how = ["--layers", "--isolation", "chroot", "--network", "host", "--pull-never"]
        values = [word for name, value in (arguments or {}).items() for word in ("--build-arg", f"{name}={value}")]
        show([*_buildah(), "bud", *how, *volumes, *values, "--file", dockerfile, "--tag", reference, context])
    run(*_buildah(), "rmi", "--prune")  # what earlier builds of the name left
    return archive_of(reference)


def product_image() -> Path:
    """Build Longshore's own image and return the archive that holds it."""
    return build(CHECKOUT / "deploy" / "Dockerfile", CHECKOUT, PRODUCT, arguments=product_arguments())


def product_arguments() -> dict[str, str]:
    """Return the build arguments of Longshore's own image: version and commit; "-dirty" marks uncommitted changes."""
    text = (CHECKOUT / "operator" / "longshore" / "__init__.py").read_text()
    (version,) = re.findall('^__version__ = "(.*?)"', text, re.MULTILINE)
    try:
        revision = run(
            "git", "-C", CHECKOUT, "describe", "--always", "--exclude", "*", "--abbrev=40", "--dirty"
        ).strip()
    except Problem:  # the sources without their history
        revision = ""
    return {"VERSION": version, "REVISION": revision}


def base_archive() -> Path:
    """Return the archive that holds the base image."""
    need_root()
    have(IMAGES)
    base_image()
    return archive_of(BASE)


def archive_of(reference: str) -> Path:
    """Write an image of our store into an archive, and return that."""
    folder = cache() / "archives"
    folder.mkdir(parents=True, exist_ok=True)
    digest = run(*_buildah(), "inspect", "--type", "image", "--format", "{{.FromImageID}}", reference).strip()
    archive = folder / f"{re.sub('[^a-z0-9.]+', '-', reference)}-{digest[:12]}.tar"
    if not archive.exists():
        new = archive.with_suffix(".new")
        new.unlink(missing_ok=True)
        run(*_buildah(), "push", reference, f"docker-archive:{new}:{reference}")
        new.replace(archive)
    for old in folder.glob(f"{archive.stem.removesuffix(digest[:12])}*.tar"):
        if old != archive:
            old.unlink(missing_ok=True)
    return archive


def base_image() -> None:
    """Have the base image in our store: pulled, or where no registry answers, made of Debian's packages."""
    if _has(BASE):
        return
    try:
        run("timeout", "60", *_buildah(), "pull", "--quiet", BASE)
    except Problem:
        if not is_debian():
            raise
        _stand_in()


def _stand_in() -> None:
    """Make an image of the same name, with the same Python, of Debian's packages."""
    codename = dict(each.split("=", 1) for each in Path("/etc/os-release").read_text().split("\n") if "=" in each)
    release = shlex.split(codename["VERSION_CODENAME"])[0]
    sites = run("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(CREATED_BY)").splitlines()
    mirror = next(each.split()[0] for each in sites if each.split()[1:] == [release, "Packages"])
    packages = "python3,python3-pip,python3-venv,ca-certificates"
    with tempfile.TemporaryDirectory(dir=cache()) as folder:
        show(["debootstrap", "--variant=minbase", f"--include={packages}", release, folder, mirror])
        root = Path(folder)
        (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        for each in ((root / "var/cache/apt").rglob("*"), (root / "var/lib/apt/lists").rglob("*")):
            for file in filter(Path.is_file, each):
                file.unlink()
        container = run(*_buildah(), "from", "scratch").strip()
        run(*_buildah(), "add", "--quiet", container, folder, "/")
        run(*_buildah(), "config", "--cmd", "python3", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container)
        run(*_buildah(), "commit", "--quiet", "--rm", container, BASE)


def pip_settings(listed: str) -> tuple[str, list[str]]:
    """Return a pip.conf with the settings that `pip config list` printed, and the local paths in it."""
    settings: dict[str, str] = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if section in ("global", "install", ":env:"):  # listed in the order of precedence, lowest first
            settings[key] = " ".join(shlex.split(value))
    text = "".join(f"{key} = {value}\n" for key, value in settings.items())
    words = [word for value in settings.values() for word in value.split()]
    paths = {word for word in words if word.startswith("/")}
    indexes = {Path(word.removeprefix("file://")) for word in words if word.startswith("file:///")}
    return f"[global]\n{text}", sorted(paths | {str(each.parent) for each in indexes})  # an index links to its siblings


def _buildah() -> list[str]:
    return ["buildah", "--root", str(store()), "--storage-driver", "overlay"]


def _has(reference: str) -> bool:
    try:
        run(*_buildah(), "inspect", "--type", "image", reference)
    except Problem:
        return False
    return True


def _until_it_answers(place: Places) -> None:
    run(
        "timeout",
        "60",
        "sh",
        "-c",
        f"until ctr --address {shlex.quote(str(place.containerd))} version; do sleep 0.1; done",
    )
