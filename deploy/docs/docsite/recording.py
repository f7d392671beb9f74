"""An animated picture of real commands: `python -m docsite.recording docs/recordings/digits.svg` records it again.

The commands run in a terminal of their own. What they print is replayed with its timing, but for pauses in which
nothing but a clock moves: these are shortened. The SVG needs neither scripts nor fonts. Readers who want less motion
see its end.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from rich.style import Style
from rich.text import Text

Frame = tuple[float, tuple[str, ...]]  # seconds from the start, lines on the screen
HOME = "/home/you"  # stands for the folder that the commands run in
COMMANDS = (
    "longshore run digits --run-dir scores",
    "head -n 4 scores/inferences/mnist_outputs.txt",
)
_COLUMNS, _ROWS = 112, 13
_TYPING, _PAUSE, _END = 0.035, 0.6, 6.0  # seconds: for a character, after a command was typed, at the end
_FRAME = 0.12  # seconds that a frame is shown at least
_IDLE = 1.2  # seconds after which a pause is cut
_MOVING = re.compile(r"[\u2800-\u28ff]|\d:\d\d:\d\d|\d:[\d:]*…")  # a spinner, and a clock
_FONT, _LINE, _CHARACTER, _MARGIN = 13, 18, 7.83, 14  # pixels
_BACKGROUND, _INK, _BORDER = "#1b1f27", "#d5dae3", "#3a4150"
_COLOURS = ("#5c6370", "#f28b82", "#8bd49c", "#e8d28a", "#8ab4f8", "#d7a6f0", "#7fd1de", _INK)  # a terminal's first
_CONTROL = re.compile(r"\x1b\[(\?)?([0-9;]*)([A-Za-z])")


@dataclass
class Screen:
    """The lines that a terminal shows, each with the sequences that colour it."""

    lines: list[str] = field(default_factory=lambda: [""])
    row: int = 0

    def feed(self, text: str) -> None:
        """Take what a program printed: text, line ends, and the sequences that colour and redraw lines."""
        at = 0
        while at < len(text):
            found = _CONTROL.match(text, at)
            if found is None:
                self._character(text[at])
                at += 1
                continue
            at = found.end()
            number = int(found[2] or 1) if (found[2] or "1").isdigit() else 1
            if found[3] == "m":
                self.lines[self.row] += found[0]
            elif found[3] == "K":
                self.lines[self.row] = ""
            elif found[3] == "A":
                self.row = max(0, self.row - number)

    def _character(self, character: str) -> None:
        if character == "\n":
            self.row += 1
            if self.row == len(self.lines):
                self.lines.append("")
        elif character != "\r":
            self.lines[self.row] += character


def record(folder: Path) -> Iterator[Frame]:
    """Run the commands in a folder; yield the lines on the screen and the seconds from the start, at each change."""
    screen, clock = Screen(), 0.0
    for command in COMMANDS:
        screen.feed("\x1b[32m$\x1b[0m ")
        for character in command:
            screen.feed(character)
            clock += _TYPING
            yield clock, tuple(screen.lines)
        screen.feed("\n")
        clock += _PAUSE
        began = time.monotonic()
        for text in _output(command, folder):
            screen.feed(text.replace(str(folder), HOME))
            yield clock + time.monotonic() - began, tuple(screen.lines)
        clock += time.monotonic() - began + _PAUSE


def shortened(frames: list[Frame]) -> list[Frame]:
    """Return frames without those that only prolong a pause."""
    kept: list[Frame] = []
    cut, since, still = 0.0, 0.0, ""
    for moment, lines in frames:
        pause = moment - cut - since  # so far
        cut += max(0.0, pause - _IDLE)
        content = _MOVING.sub("", _CONTROL.sub("", "\n".join(lines)))
        if content == still and pause > _IDLE:
            continue
        kept.append((moment - cut, lines))
        if content != still:
            still, since = content, moment - cut
    return kept


def animation(frames: list[Frame]) -> str:
    """Return frames as an SVG. Of each row only the moments are kept at which it changes."""
    kept = [frame for frame, after in zip(frames, [*frames[1:], (float("inf"), ())], strict=True)
            if after[0] - frame[0] >= _FRAME or after[0] == float("inf")]  # fmt: skip
    total = kept[-1][0] + _END
    texts: list[str] = []
    rules: list[str] = []
    for row in range(max(len(lines) for _, lines in kept)):
        states = [(moment, lines[row] if row < len(lines) else "") for moment, lines in kept]
        changes = [each for each, before in zip(states, [(0.0, ""), *states], strict=False) if each[1] != before[1]]
        ends = [moment for moment, _ in changes[1:]] + [total]
        for (moment, line), until in zip(changes, ends, strict=False):
            drawn = _drawn(line, row)
            if not drawn:
                continue
            name, lasts = f"t{len(texts)}", until == total
            begin, end = 100 * moment / total, 100 * until / total
            hidden = "" if lasts else f"{end:.2f}%{{visibility:hidden}}"
            rules.append(
                f"@keyframes {name}{{0%{{visibility:hidden}}{begin:.2f}%{{visibility:visible}}{hidden}}}"
                f".{name}{{animation-name:{name}}}"
            )
            texts.append(f"<g class='{name}{' end' if lasts else ''}'>{drawn}</g>")
    width = _COLUMNS * _CHARACTER + 2 * _MARGIN
    height = _ROWS * _LINE + 2 * _MARGIN + 20
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:.0f} {height}' width='{width:.0f}' role='img' "
        f"font-family='ui-monospace,SFMono-Regular,Menlo,Consolas,DejaVu Sans Mono,monospace' font-size='{_FONT}'>\n"
        "<title>longshore scores 1,297 handwritten digits and prints the result</title>\n"
        f"<style>g{{animation-duration:{total:.1f}s;animation-iteration-count:infinite;"
        f"animation-timing-function:step-end;visibility:hidden}}text{{white-space:pre;fill:{_INK}}}"
        f"{''.join(rules)}"
        "@media (prefers-reduced-motion:reduce){g{animation:none}.end{visibility:visible}}</style>\n"
        f"<rect x='.5' y='.5' width='{width - 1:.0f}' height='{height - 1}' rx='8' "
        f"fill='{_BACKGROUND}' stroke='{_BORDER}'/>\n"
        + "".join(f"<circle cx='{20 + 18 * n}' cy='17' r='5' fill='{_BORDER}'/>" for n in range(3))
        + "\n"
        + "\n".join(texts)
        + "\n</svg>\n"
    )


def prepared(repository: Path, folder: Path) -> None:
    """Copy the example of the handwritten digits into a folder, and make its data."""
    example = folder / "digits"
    shutil.copytree(
        repository / "deploy/examples/digits", example, ignore=shutil.ignore_patterns("data", "cluster", "pipeline")
    )
    subprocess.run([sys.executable, "prepare.py"], cwd=example, check=True, stdout=subprocess.DEVNULL)


def _drawn(line: str, row: int) -> str:
    text = Text.from_ansi(line.rstrip())
    text.truncate(_COLUMNS, overflow="ellipsis")
    spans, at, y = [], 0, _MARGIN + 20 + (row + 1) * _LINE - 5
    for part in text.divide(sorted({edge for span in text.spans for edge in (span.start, span.end)})):
        plain = part.plain
        if plain.strip():
            style = Style.combine([Style(), *(each.style for each in part.spans if isinstance(each.style, Style))])
            spans.append(
                f"<text x='{_MARGIN + at * _CHARACTER:.1f}' y='{y}'{_attributes(style)}>{escape(plain)}</text>"
            )
        at += len(plain)
    return "".join(spans)


def _attributes(style: Style) -> str:
    colour = ""
    if style.color is not None and not style.color.is_default:
        number = style.color.number
        is_named = number is not None and number < 2 * len(_COLOURS)
        colour = _COLOURS[(number or 0) % len(_COLOURS)] if is_named else style.color.get_truecolor().hex
    return (f" style='fill:{colour}'" if colour else "") + (" font-weight='bold'" if style.bold else "")


def _output(command: str, folder: Path) -> Iterator[str]:
    """Run a command in a terminal; yield what it prints. Raises CalledProcessError."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
    path = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))
    environment = {**os.environ, "PATH": path, "TERM": "xterm-256color"}
    with subprocess.Popen(
        ["bash", "-c", command], cwd=folder, env=environment, stdin=its, stdout=its, stderr=its
    ) as process:
        os.close(its)
        decoder = codecs.getincrementaldecoder("utf-8")()
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # Linux's error once the other end is closed
                break
            if not data:
                break
            yield decoder.decode(data)
        os.close(ours)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def main(target: Path) -> None:
    """Record the commands, and write the animation."""
    with tempfile.TemporaryDirectory(prefix="longshore-recording-") as name:
        folder = Path(name)
        prepared(Path(), folder)
        target.write_text(animation(shortened(list(record(folder)))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
