"""How an exception of the entry script is put into words."""

from longshore_host import entry


def raised(error):
    try:
        raise error
    except ValueError:
        return error


def test_an_error_of_a_megabyte_is_told_in_a_few_lines():
    error = raised(ValueError("x" * 1_000_000))
    assert entry.one_line(error) == "ValueError: " + "x" * entry.LINE_CHARACTERS
    lines = entry.short_traceback(error).split("\n")
    assert len(lines) <= entry.TRACEBACK_LINES
    assert lines[-1] == ("ValueError: " + "x" * 1_000_000)[: entry.LINE_CHARACTERS]


def test_of_many_lines_the_last_are_told():
    error = raised(ValueError("\n".join(map(str, range(1000)))))
    assert entry.short_traceback(error).split("\n") == [str(number) for number in range(980, 1000)]
