"""Prepare a release: `make release VERSION=0.2.0`, and `APPLY=1` to write it into the checkout.

Sets the version, joins the fragments of changes/ to a section of CHANGELOG.md, and builds wheel, source distribution
and chart into dist/. Without --apply all of it happens in a copy that is deleted, and the difference is printed.
Publishing is left to a person: the commands for it are printed last.
"""

from __future__ import annotations

import argparse
import datetime
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "longshore/longshore"
BASE = "docker.io/library/python:3.11-slim"  # of the image; a release pins the build that its tag names today
_VERSION = r"[0-9]+\.[0-9]+\.[0-9]+(?:rc[0-9]+)?"
# Each file that states the version, with the text around it.
_STATED = {
    "operator/longshore/__init__.py": '__version__ = "{}"',
    "charts/longshore/Chart.yaml": "\nversion: {}\nappVersion: {}\n",
    "docs/how-to/use-private-registries.md": "--set image.tag={}",
}


class ReleaseError(Exception):
    """Why a release cannot be prepared, with the remedy."""


def main(arguments: list[str] | None = None) -> int:
    """Prepare the release that the arguments name; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("version", help="the version to release, such as 0.2.0")
    parser.add_argument("--apply", action="store_true", help="write into the checkout")
    parser.add_argument("--date", default=datetime.datetime.now(datetime.UTC).date().isoformat(), help="default: today")
    given = parser.parse_args(arguments)
    try:
        if given.apply:
            _require_clean(ROOT)
            prepare(ROOT, given.version, given.date)
        else:
            _rehearse(given.version, given.date)
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 2
    _print_publishing(given.version)
    return 0


def prepare(folder: Path, version: str, date: str) -> None:
    """Write the release into a checkout and build its artifacts.

    Args:
        folder: The checkout.
        version: The version to release.
        date: The day of the release, as YYYY-MM-DD.

    Raises:
        ReleaseError: The version is no version or not a later one, or there is nothing to release.
    """
    before = _current(folder)
    if not re.fullmatch(_VERSION, version):
        raise ReleaseError(f'the version "{version}" is not MAJOR.MINOR.PATCH; pass one such as 0.2.0')
    if _order(version) <= _order(before):
        raise ReleaseError(f'the version "{version}" is not later than "{before}"; pass a later one')
    if not list((folder / "changes").glob("*.*.md")):
        raise ReleaseError("changes/ has no fragments, so there is nothing to release")
    for name, stated in _STATED.items():
        _replace(folder / name, stated.replace("{}", before), stated.replace("{}", version))
    _run(folder, "towncrier", "build", "--yes", "--version", version, "--date", date)
    for target in ("wheel", "sdist"):
        _run(folder, "hatchling", "build", "--target", target, "--directory", "dist")
    with tarfile.open(folder / "dist" / f"longshore-chart-{version}.tgz", "w:gz") as archive:
        archive.add(folder / "charts" / "longshore", arcname="longshore")
    for each in sorted((folder / "dist").glob(f"*{version}*")):
        print(f"built dist/{each.name} ({each.stat().st_size:,} bytes)")


def _current(folder: Path) -> str:
    text = (folder / "operator/longshore/__init__.py").read_text()
    found = re.search(rf'^__version__ = "({_VERSION})"', text, re.MULTILINE)
    if not found:
        raise ReleaseError("operator/longshore/__init__.py states no __version__")
    return found[1]


def _order(version: str) -> tuple[list[int], float]:
    numbers, _, candidate = version.partition("rc")
    return [int(each) for each in numbers.split(".")], int(candidate) if candidate else float("inf")


def _replace(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    if before not in text:
        raise ReleaseError(f"{file.name} does not state {before.strip()!r}; correct it by hand")
    file.write_text(text.replace(before, after))


def _run(folder: Path, module: str, *arguments: str) -> None:
    command = [sys.executable, "-m", module, *arguments]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise ReleaseError(f"`{module} {' '.join(arguments)}` failed:\n{ended.stdout}{ended.stderr}")


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def _require_clean(folder: Path) -> None:
    if changed := _git(folder, "status", "--porcelain").splitlines():
        raise ReleaseError(f"the checkout has {len(changed)} uncommitted changes; commit or stash them")


def _rehearse(version: str, date: str) -> None:
    """Prepare the release in a copy of the checkout, print what it changes, and delete the copy."""
    with tempfile.TemporaryDirectory(prefix="longshore-release-") as made:
        copy = Path(made)
        copy_checkout(ROOT, copy)
        before = _git(copy, "write-tree").strip()
        prepare(copy, version, date)
        print(_git(copy, "diff", "--stat=120", before))
        print(_git(copy, "diff", before, "--", *_STATED, "CHANGELOG.md"))
        print("This was a rehearsal; APPLY=1 (--apply) writes it into the checkout.")


def copy_checkout(source: Path, target: Path) -> None:
    """Copy the files of a checkout that git does not ignore, and stage them in a repository of their own."""
    for name in _git(source, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0"):
        if name and (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)
    _git(target, "init", "--quiet")
    _git(target, "add", "--all")


def _print_publishing(version: str) -> None:
    print(f"""
Then, by hand, after CI has passed on the release's commit:
  git commit --all --message "release: {version}" && git tag --annotate v{version} --message "Longshore {version}"
  make sbom SBOM=dist/longshore-{version}.cdx.json
  BASE={BASE}@$(docker buildx imagetools inspect {BASE} --format '{{{{.Manifest.Digest}}}}')
  docker build --file deploy/Dockerfile --tag {IMAGE}:{version} --build-arg BASE=$BASE \\
    --build-arg VERSION={version} --build-arg REVISION=$(git rev-parse HEAD) . && docker push {IMAGE}:{version}
  twine upload dist/longshore-{version}*
  helm push dist/longshore-chart-{version}.tgz oci://REGISTRY
  git push --follow-tags
""")


if __name__ == "__main__":
    sys.exit(main())
