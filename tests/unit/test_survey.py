"""Sources are copied and told file by file before a run begins, and what inputs hold; all of it in a few bytes."""

import hashlib
import subprocess
import sys
from uuid import uuid4

import pytest
from archives import zipped

from longshore_agent import source_copies
from longshore_agent.survey import SurveyError, survey
from longshore_agent.survey_message import ResultTooLargeError, fold, survey_message
from longshore_protocol.survey import SourceFound, SourceToCopy, SurveyRequest, SurveyResult
from longshore_protocol.termination import LIMIT
from longshore_storage.store import open_store


@pytest.fixture(params=["local", "memory"])
def place(request, tmp_path):
    """A function that opens a store of that name."""
    base = str(tmp_path) if request.param == "local" else f"memory://{uuid4()}"
    return lambda name: open_store(f"{base}/{name}")


@pytest.fixture(params=["local", "memory"])
def target(request, tmp_path):
    return open_store(
        f"{tmp_path if request.param == 'local' else f'memory://{uuid4()}'}/store/longshore/run-1/sources/0"
    )


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def copied(source, target):
    (found,) = survey(SurveyRequest((SourceToCopy(source, target.uri),))).sources
    return found


def contents(*places):
    return survey(SurveyRequest(contents={"train": {"rows": list(places)}})).contents["train"]["rows"]


# --- sources ---------------------------------------------------------------------------------------------------------


def test_a_source_is_copied_and_reported_file_by_file(place, target):
    code = place("code")
    code.put("train.py", b"1")
    code.put("lib/util.py", b"2")
    assert copied(code.uri, target).files == {"lib/util.py": digest("2"), "train.py": digest("1")}
    assert {name: target.get(name) for name in target.names()} == {"lib/util.py": b"2", "train.py": b"1"}


def test_a_zip_is_unpacked(place, target):
    place("").put("code.zip", zipped(**{"train.py": "1", "lib/util.py": "2"}))
    assert copied(place("code.zip").uri, target).files == {"lib/util.py": digest("2"), "train.py": digest("1")}
    assert target.names() == ["lib/util.py", "train.py"]


def test_what_an_earlier_try_left_is_replaced(place, target):
    place("code").put("train.py", b"1")
    target.put("train.py", b"0")
    target.put("old.py", b"0")
    copied(place("code").uri, target)
    assert target.names() == ["train.py"]


def test_what_is_ignored_is_not_copied(place, target):
    code = place("code")
    code.put(".amlignore", b"data/\n.amlignore\n")
    code.put("train.py", b"1")
    code.put("data/big.csv", b"2")
    assert list(copied(code.uri, target).files) == ["train.py"]
    assert target.names() == ["train.py"]


def test_a_source_that_holds_the_store_has_no_runs_in_it(place):
    base = place("everything")
    base.put("train.py", b"1")
    base.put("longshore/run-0/sources/0/train.py", b"0")
    assert list(copied(base.uri, place("everything/longshore/run-1/sources/0")).files) == ["train.py"]


def test_a_source_that_is_a_path_comes_with_what_git_states_of_it(tmp_path, target):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text("1")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-C", str(tmp_path / "code")]
    for command in (["init", "--quiet", "-b", "trunk"], ["add", "-A"], ["commit", "--quiet", "-m", "one"]):
        subprocess.run([*git, *command], check=True)
    found = copied(str(tmp_path / "code"), target)
    assert (found.git["branch"], found.git["dirty"]) == ("trunk", False)
    assert list(found.files) == ["train.py"]


def test_what_git_states_is_not_asked_of_a_store(target):
    uri = f"memory://{uuid4()}/code"
    open_store(uri).put("train.py", b"1")
    assert copied(uri, target).git is None


def test_a_source_that_holds_data_is_refused_in_one_sentence(place, target, monkeypatch):
    place("code").put("train.py", b"123")
    monkeypatch.setattr(source_copies, "LARGEST", 2)
    with pytest.raises(SurveyError) as caught:
        copied(place("code").uri, target)
    rule = "is larger than 0 MB (train.py 0 MB); exclude data with a .amlignore file in it"
    assert str(caught.value) == f'The source "{place("code").uri}" {rule}.'


@pytest.mark.parametrize("name", ["absent", "absent.zip", "file.py", "bad.zip"])
def test_what_is_no_source_is_reported_in_one_sentence(place, target, name):
    place("").put("file.py", b"1")
    place("").put("bad.zip", b"1")
    with pytest.raises(SurveyError) as caught:
        copied(place(name).uri, target)
    text = str(caught.value)
    assert text.startswith(f'The source "{place(name).uri}" ')
    assert text.endswith(".")
    assert "\n" not in text


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text("1")
    (tmp_path / "file").write_text("1")
    with pytest.raises(
        SurveyError, match=rf'The source "{tmp_path}/code" cannot be copied to "{tmp_path}/file/0": Not'
    ):
        copied(str(tmp_path / "code"), open_store(f"{tmp_path}/file/0"))


# --- contents --------------------------------------------------------------------------------------------------------


def test_the_digest_of_an_input_is_another_once_a_file_is_new_or_changed(place):
    data = place("data")
    data.put("a.csv", b"1")
    first = contents(f"{data.uri}/*.csv")
    data.put("other.txt", b"1")
    assert contents(f"{data.uri}/*.csv") == first
    data.put("b.csv", b"1")
    second = contents(f"{data.uri}/*.csv")
    data.put("b.csv", b"12")
    assert len({first, second, contents(f"{data.uri}/*.csv")}) == 3


def test_data_that_is_not_there_yet_is_no_failure(place):
    assert contents(place("later").uri) == contents(place("later").uri)
    before = contents(place("later").uri)
    place("later").put("a.csv", b"1")
    assert contents(place("later").uri) != before


def test_an_input_that_cannot_be_read_fails_nothing_and_equals_nothing():
    request = SurveyRequest(contents={"train": {"input rows": ["nostore://x/y"]}})
    one, two = survey(request), survey(request)
    assert one.contents != two.contents
    assert one.held["train"]["input rows"]["unknown"].startswith('The path "nostore://x/y" cannot be listed')


def test_the_files_of_an_input_and_of_a_model_are_counted_and_named(place):
    place("data").put("a.csv", b"1")
    place("model").put("weights", b"1")
    request = {"input rows": [place("data").uri], "model digits 1": [place("model").uri + "/weights"]}
    held = survey(SurveyRequest(contents={"train": request})).held["train"]
    assert [(each["count"], list(each["files"])) for each in held.values()] == [(1, ["a.csv"]), (1, ["weights"])]


def test_digests_are_of_what_is_in_the_files(place):
    request = SurveyRequest(contents={"train": {"input rows": [place("data").uri]}}, by="digests")
    place("data").put("a.csv", b"1")
    first = survey(request).contents
    place("data").delete("")
    place("data").put("a.csv", b"1")
    assert survey(request).contents == first
    place("data").put("a.csv", b"2")
    assert survey(request).contents != first


# --- the bytes -------------------------------------------------------------------------------------------------------


def files(*names):
    return {name: digest(name) for name in names}


def packed(*sources, contents=None):
    words = survey_message(SurveyResult(tuple(sources), contents or {}))
    assert len(words) <= LIMIT
    assert words.isascii()
    return SurveyResult.unpack(words)


def test_few_files_are_reported_one_by_one():
    source = SourceFound(files(*(f"lib/{number}.py" for number in range(60))), {"branch": "trunk"})
    result = packed(source, contents={"train": {"rows": digest("r")}})
    assert result == SurveyResult((source,), {"train": {"rows": digest("r")}})


def test_the_deepest_folders_are_folded_first_and_no_more_than_must_be():
    deep = files(*(f"a/b/{number}.py" for number in range(200)))
    shallow = files(*(f"c/{number}.py" for number in range(60)), "train.py")
    (found,) = packed(SourceFound({**deep, **shallow})).sources
    assert set(found.files) == {"a/b/", *shallow}
    assert {name: found.files[name] for name in shallow} == shallow


@pytest.mark.parametrize(
    ("inputs", "named"),
    [(1, "files"), (4, "files"), (40, "counts"), (200, "nothing")],
)
def test_files_of_inputs_are_named_as_far_as_there_is_room(inputs, named):
    contents = {f"step-{number}": {"input rows": digest(str(number))} for number in range(inputs)}
    of_20 = [f"{number}.csv" for number in range(20)]
    held = {
        step: {"input rows": {"count": 20, "files": {name: digest(f"{step} {name}")[:8] for name in of_20}}}
        for step in contents
    }
    words = survey_message(SurveyResult((), contents, held))
    assert len(words) <= LIMIT
    counts = {step: {"input rows": {"count": 20}} for step in contents}
    assert SurveyResult.unpack(words).held == {"files": held, "counts": counts, "nothing": {}}[named]


def test_where_not_even_digests_have_room_nothing_is_reported_of_inputs():
    contents = {digest(str(number)): {"input rows": digest(str(number))} for number in range(800)}
    assert packed(SourceFound(files("a.py")), contents=contents) == SurveyResult((SourceFound(files("a.py")),))


def test_in_the_last_resort_there_is_one_digest_for_a_source():
    (found,) = packed(SourceFound(files(*(f"{number}.py" for number in range(5000))))).sources
    assert list(found.files) == ["./"]


def test_a_folded_folder_is_another_once_a_file_in_it_is():
    before = files(*(f"a/{number}.py" for number in range(300)))
    for after in ({**before, "a/7.py": digest("x")}, {**before, "a/new.py": digest("x")}):
        assert fold(before, 3000).keys() == fold(after, 3000).keys() == {"a/"}
        assert fold(before, 3000) != fold(after, 3000)
    assert fold(before, 3000) == fold(dict(reversed(before.items())), 3000)


def test_how_a_source_is_reported_does_not_depend_on_what_is_in_files_or_in_other_sources():
    names = [f"{folder}/{number}.py" for folder in "abcdefgh" for number in range(12)]
    one = SourceFound({name: digest(f"1{name}") for name in names})
    two = SourceFound({name: digest(f"2{name}") for name in names}, {"branch": "x" * 200})
    few, many = (SourceFound(files(*(f"{number}.py" for number in range(count)))) for count in (1, 500))
    told = [packed(each, other).sources[0].files.keys() for each in (one, two) for other in (few, many)]
    assert all(each == told[0] for each in told)
    assert any(name.endswith("/") for name in told[0])


def test_what_git_states_gives_way_to_digests():
    source = SourceFound(files(*(f"{number}.py" for number in range(90))))
    git = {"branch": "".join(digest(str(number)) for number in range(60))}
    assert packed(SourceFound(source.files, git)) == SurveyResult((source,))


def test_inputs_are_folded_into_one_of_their_step_and_then_of_all():
    inputs = {f"step-{step}": files(*(f"in_{step}_{number}" for number in range(40))) for step in range(5)}
    result = packed(SourceFound(files("train.py")), contents=inputs)
    assert result.contents.keys() == inputs.keys()
    assert result.contents["step-0"].keys() == {"*"}
    assert len({each["*"] for each in result.contents.values() if "*" in each}) > 1
    changed = {**inputs, "step-3": {**inputs["step-3"], "in_3_7": digest("x")}}
    after = packed(SourceFound(files("train.py")), contents=changed)
    assert {step for step in inputs if after.contents[step] != result.contents[step]} == {"step-3"}
    many = {f"step-{step}": files("a", "b") for step in range(500)}
    assert all(each.keys() == {"*"} for each in packed(contents=many).contents.values())


def test_more_sources_than_can_be_reported_are_refused():
    assert len(packed(*(SourceFound(files(f"{number}.py")) for number in range(120))).sources) == 120
    with pytest.raises(ResultTooLargeError, match="The digests of 300 sources exceed"):
        survey_message(SurveyResult(tuple(SourceFound(files(f"{number}.py")) for number in range(300))))


@pytest.mark.parametrize("text", ["", "x", "eJw=", "The source x cannot be fetched.", "bm8="])
def test_what_is_no_result_is_a_value_error(text):
    with pytest.raises(ValueError, match="not the result of a survey"):
        SurveyResult.unpack(text)


def test_a_request_is_the_same_text_for_the_same_request():
    request = SurveyRequest((SourceToCopy("a", "b"),), {"x": {"in": ["p"]}, "a": {"in": ["p"]}})
    other = SurveyRequest((SourceToCopy("a", "b"),), {"a": {"in": ["p"]}, "x": {"in": ["p"]}})
    assert request.to_json() == other.to_json()
    assert SurveyRequest.from_json(request.to_json()) == request


# --- the command -----------------------------------------------------------------------------------------------------


def command(tmp_path, request):
    (tmp_path / "request.json").write_text(request.to_json())
    words = tmp_path / "words"
    arguments = ["-m", "longshore_agent.survey", str(tmp_path / "request.json"), "--last-words", str(words)]
    ended = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=60, env={"LC_ALL": "C"}
    )
    return ended, words.read_text()


def test_the_command_leaves_what_it_found(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "größe.py").write_text("1")
    target = open_store(f"{tmp_path}/store/longshore/run/sources/0")
    ended, words = command(tmp_path, SurveyRequest((SourceToCopy(f"{tmp_path}/code", target.uri),)))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert SurveyResult.unpack(words).sources[0].files == {"größe.py": digest("1")}
    assert target.names() == ["größe.py"]


def test_the_command_ends_with_1_and_leaves_the_sentence(tmp_path):
    ended, words = command(tmp_path, SurveyRequest((SourceToCopy(f"{tmp_path}/{'x' * 200}/" * 30, "/t"),)))
    assert ended.returncode == 1
    assert words.startswith(f'The source "{tmp_path}/')
    assert len(words) < LIMIT
