"""The release script: rehearsed on a copy, refused where a release makes no sense."""

import re

import pytest
import releasing
from releasing import ROOT, ReleaseError, copy_checkout, main, prepare

from longshore import __version__

NEXT = "999.0.0"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """The checkout with a fragment more, whether or not it is that of a release."""
    copy_checkout(ROOT, tmp_path)
    (tmp_path / "changes" / "+of-the-test.added.md").write_text("A thing that was not there before.\n")
    monkeypatch.setattr(releasing, "ROOT", tmp_path)
    return tmp_path


def test_a_rehearsal_makes_the_whole_release_and_leaves_the_checkout_alone(checkout, capfd):
    def state():
        return {each: each.stat().st_mtime_ns for each in checkout.rglob("*") if ".git" not in each.parts}

    before = state()
    assert main([NEXT, "--date", "2030-01-02"]) == 0
    out = capfd.readouterr().out
    assert f"built dist/longshore-{NEXT}-py3-none-any.whl" in out
    assert f"built dist/longshore-{NEXT}.tar.gz" in out
    assert f"built dist/longshore-chart-{NEXT}.tgz" in out
    assert f'+__version__ = "{NEXT}"' in out
    assert f"+version: {NEXT}\n+appVersion: {NEXT}" in out
    assert f"+## {NEXT} (2030-01-02)" in out
    assert "+- A thing that was not there before." in out
    digest = f"$(docker buildx imagetools inspect {releasing.BASE} --format '{{{{.Manifest.Digest}}}}')"
    assert f"BASE={releasing.BASE}@{digest}\n" in out
    assert f"--build-arg VERSION={NEXT} --build-arg REVISION=$(git rev-parse HEAD)" in out
    assert f"ARG BASE={releasing.BASE}\n" in (ROOT / "deploy" / "Dockerfile").read_text()
    assert state() == before


@pytest.fixture
def copy(tmp_path):
    """What a release reads, without anything that takes long to build."""
    for name in releasing._STATED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "changes").mkdir()
    (tmp_path / "changes" / "+a.added.md").write_text("A thing.\n")
    return tmp_path


@pytest.mark.parametrize("version", ["0.2", "v9.0.0", "9.0.0-rc1", "nine", ""])
def test_what_is_no_version_is_refused(copy, version):
    with pytest.raises(ReleaseError, match=r"is not MAJOR\.MINOR\.PATCH"):
        prepare(copy, version, "2030-01-02")


@pytest.mark.parametrize("version", ["0.0.1", "0.0.99", __version__, f"{__version__}rc1"])
def test_a_version_that_is_not_later_is_refused(copy, version):
    with pytest.raises(ReleaseError, match=re.escape(f'not later than "{__version__}"')):
        prepare(copy, version, "2030-01-02")


def test_a_release_without_changes_is_refused(copy):
    (copy / "changes" / "+a.added.md").unlink()
    with pytest.raises(ReleaseError, match="nothing to release"):
        prepare(copy, NEXT, "2030-01-02")


def test_a_file_that_states_another_version_is_named(copy):
    chart = copy / "charts/longshore/Chart.yaml"
    chart.write_text(chart.read_text().replace(f"appVersion: {__version__}", "appVersion: 7.7.7"))
    with pytest.raises(ReleaseError, match=r"Chart.yaml does not state"):
        prepare(copy, NEXT, "2030-01-02")


def test_the_command_states_why_in_one_sentence(capsys):
    assert main(["0.0.1"]) == 2
    assert (
        capsys.readouterr().err == f'release: the version "0.0.1" is not later than "{__version__}"; pass a later one\n'
    )
