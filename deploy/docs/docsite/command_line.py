"""The page of the command line, from the parsers of `longshore_cli`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from docsite.markdown import code, notice, table
from longshore_cli.__main__ import make_parser


def page() -> str:
    """Return the page's Markdown."""
    return (
        notice("operator/longshore_cli/__main__.py")
        + "# Command line\n\nEvery command of `longshore`, with its arguments and options. "
        + "[Exit codes](exit-codes.md) lists how each can end.\n"
        + "".join(_section(each) for each in _commands(make_parser()))
    )


def _commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parser and those below it, as far as they parse something by themselves."""
    below = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]  # noqa: SLF001
    if set(map(type, parser._actions)) - {argparse._HelpAction, argparse._SubParsersAction}:  # noqa: SLF001
        yield parser
    for each in below:
        for choice in each.choices.values():
            yield from _commands(choice)


def _section(parser: argparse.ArgumentParser) -> str:
    formatter = argparse.RawDescriptionHelpFormatter(parser.prog, width=100)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")  # noqa: SLF001
    actions = parser._actions  # noqa: SLF001  (argparse has no public way to list what it parses)
    rows = [(", ".join(map(code, _spellings(each))), _help(each, parser)) for each in actions]
    return (
        f"\n## {parser.prog}\n\n{parser.description or ''}\n\n```text\n{formatter.format_help().strip()}\n```\n\n"
        + table(("Argument", "Meaning"), rows)
    )


def _spellings(action: argparse.Action) -> list[str]:
    value = action.metavar or (f"{{{','.join(action.choices)}}}" if action.choices else action.dest.upper())
    if not action.option_strings:
        return [str(value)]
    return [each if action.nargs == 0 else f"{each} {value}" for each in action.option_strings]


def _help(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
        return "one of " + ", ".join(map(code, action.choices))
    return (action.help or "") % {**vars(action), "prog": parser.prog}
