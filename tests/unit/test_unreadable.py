"""Which mini-batches fail for a file of a script that the agent may not read."""

import pytest

from longshore_agent.unreadable import Suspects, Unreadable, UnreadableError
from longshore_protocol.wire import Completion, Failure

BEGIN = 1_700_000_000


def file(changed, *, name="a.csv", mode=0o100600, size=1):
    return Unreadable(name, (7, size, 1), mode, BEGIN + changed)


def ran(mini_batch, start, seconds):
    times = int((BEGIN + start) * 1e6), int(seconds * 1e6), 0, 0
    return Completion(mini_batch, 1, 0, 0, 1, 1, -1, 0, *times)


def failed(mini_batch, start, seconds):
    return Failure(mini_batch, 1, 1, 0, "UserError", "no", "", BEGIN + start, seconds, "")


ONE, TWO, BOTH = ran(1, 0, 10), ran(2, 10, 10), ran(3, 0, 20)
JUDGED = {
    "the one that ran": (5, [ONE, TWO], [], [1]),
    "the one whose clock is a little behind": (10.01, [ONE, ran(4, 11, 9)], [], [1]),
    "all that ran at once": (5, [ONE, TWO, BOTH], [], [1, 3]),
    "one that failed by itself": (5, [TWO], [failed(1, 0, 10)], []),
    "one that is reported later": (5, [TWO], [ONE], []),
    "one that is reported later, and one that is not": (5, [BOTH], [ONE], [3]),
    "none, as it is newer than all": (50, [ONE, TWO], [], []),
    "all, as it is older": (-50, [ONE, TWO], [], [1, 2]),
    "all that are not reported elsewhere, as it is older": (-50, [ONE], [TWO], [1]),
}


@pytest.mark.parametrize(("changed", "completed", "others", "wanted"), JUDGED.values(), ids=JUDGED)
def test_what_ran_when_a_file_changed_is_suspected(changed, completed, others, wanted):
    assert sorted(Suspects().judge([file(changed)], completed, others)) == wanted


def test_suspects_fail_again_while_they_leave_the_file_as_it_is_and_no_other_does():
    suspects = Suspects()
    assert list(suspects.judge([file(5)], [ONE], [BOTH])) == [1]
    assert suspects.is_known(file(5))
    assert suspects.judge([file(5)], [TWO], []) == {}
    assert list(suspects.judge([file(5)], [BOTH], [])) == [3]
    again = ran(1, 100, 10)
    assert list(suspects.judge([file(5)], [again], [])) == [1]
    assert not suspects.is_known(file(105, size=2))
    assert list(suspects.judge([file(105, size=2)], [again, ran(3, 200, 10)], [])) == [1]


@pytest.mark.parametrize(
    ("name", "mode", "output", "remedy"),
    [
        ("a.csv", 0o100600, 'file "a.csv" (mode 0600)', "os.chmod(path, 0o640)"),
        ("deep/", 0o040700, 'folder "deep/" (mode 0700)', "os.chmod(path, 0o750)"),
    ],
)
def test_the_error_names_the_file_its_mode_and_the_remedy(name, mode, output, remedy):
    text = str(UnreadableError([file(1, name=name, mode=mode), file(1), file(1)]))
    assert text.startswith(f"the agent cannot read the output {output} to copy it to the store; ")
    assert text.endswith(f" with {remedy} (2 more)")
