"""Debian's archives, read with an apt state of our own: the machine's own may lack sources, or other suites."""

from __future__ import annotations

from pathlib import Path

from localcluster.processes import Problem, run, show

_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
Options = list[str]  # of apt-get and apt-cache


def mirror() -> str:
    """Return the address of the Debian archive from which this machine gets its packages; Problem if there is none."""
    for line in run("apt-get", "indextargets", "--format", "$(SITE)|$(ORIGIN)|$(COMPONENT)|$(CREATED_BY)").splitlines():
        site, *rest = line.split("|")
        if rest == ["Debian", "main", "Packages"] and "security" not in site:
            return site
    raise Problem("apt knows no Debian archive on this machine")


def private_state(folder: Path, kind: str, suite: str, *, alone: bool = False) -> Options:
    """Create and update an apt state with one suite in `folder`; return the options that select it.

    Args:
        folder: folder of the state.
        kind: deb or deb-src.
        suite: such as bookworm.
        alone: act as though nothing was installed, so that whatever a package needs counts as missing.
    """
    for each in ("lists/partial", "cache/archives/partial"):
        (folder / each).mkdir(parents=True)
    keys = f"[signed-by={_KEYS}] " if _KEYS.exists() else ""
    (folder / "sources.list").write_text(f"{kind} {keys}{mirror()} {suite} main\n")
    settings: dict[str, object] = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root",
    }
    if alone:
        (folder / "status").touch()
        settings["Dir::State::status"] = folder / "status"
    options = [f"-o{name}={each}" for name, each in settings.items()]
    show(get(options, "update"))
    return options


def get(options: Options, *arguments: str) -> list[str]:
    """Return an apt-get command with a state of our own."""
    return ["apt-get", "-q", *options, *arguments]


def installs(options: Options, package: str) -> list[str]:
    """Return the names of the packages that installing one would install, as far as the state knows."""
    simulated = run(*get(options, "--simulate", "-oAPT::Install-Recommends=false", "install", package))
    return [line.split()[1] for line in simulated.splitlines() if line.startswith("Inst ")]


def names(options: Options, prefix: str) -> list[str]:
    """Return the names of the packages that begin so."""
    return run("apt-cache", *options, "pkgnames", prefix).split()
