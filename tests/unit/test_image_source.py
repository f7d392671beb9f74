"""A source folder that is in the host's own image."""

import os
import stat

import pytest

from longshore_host.image_source import copy_source


@pytest.fixture
def image(tmp_path):
    source = tmp_path / "image" / "app"
    (source / "below").mkdir(parents=True)
    (source / "train.py").write_text("pass")
    (source / "below" / "data.csv").write_text("1")
    return source


def test_the_copy_may_be_written_to_by_user_and_group_whatever_the_image_allows(image, tmp_path):
    (image / "train.py").chmod(0o555)
    (image / "below" / "data.csv").chmod(0o400)
    (image / "below").chmod(0o555)
    (image / "link.py").symlink_to("train.py")
    (image / "nowhere").symlink_to("/absent")
    target = tmp_path / "source"
    for _ in range(2):  # in the place of what is there
        copy_source(str(image), str(target))
    modes = {name: stat.S_IMODE((target / name).stat().st_mode) for name in ("train.py", "below", "below/data.csv")}
    assert modes == {"train.py": 0o775, "below": 0o770, "below/data.csv": 0o660}
    assert os.readlink(target / "link.py") == "train.py"
    assert (target / "below" / "data.csv").read_text() == "1"


def test_what_is_no_source_is_left_in_the_image(image, tmp_path):
    for name in (".git", "below/__pycache__"):
        (image / name).mkdir()
        (image / name / "x").write_text("")
    copy_source(str(image), str(tmp_path / "source"))
    assert sorted(os.listdir(tmp_path / "source")) == ["below", "train.py"]
    assert os.listdir(tmp_path / "source" / "below") == ["data.csv"]


def test_a_folder_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(ValueError, match="there is no such folder"):
        copy_source(str(tmp_path / "absent"), str(tmp_path / "source"))


@pytest.mark.parametrize("target", ["source", "below/source", ""])
def test_a_copy_inside_of_itself_is_refused(image, target):
    with pytest.raises(ValueError, match="the copy would be inside of it"):
        copy_source(str(image), str(image / target))


def test_a_folder_beside_of_a_longer_name_is_none_inside(image):
    copy_source(str(image), str(image) + "-copy")


def test_what_cannot_be_copied_is_reported_with_its_name(image, tmp_path):
    os.mkfifo(image / "pipe")
    with pytest.raises(ValueError, match="pipe"):
        copy_source(str(image), str(tmp_path / "source"))
