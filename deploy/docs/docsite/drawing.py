"""Drawings of boxes and arrows as SVG, in colours that are readable on light and on dark pages.

An image in a page does not learn which scheme the reader chose. So boxes have their own background, and all that is
drawn beside boxes has a grey of the same contrast to white and to near black.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

Point = tuple[float, float]

INK, LINE = "#16243a", "#7b8794"
FILLS = {  # of boxes, by who owns what is drawn
    "ours": "#d6e4f7",
    "yours": "#d9efd3",
    "store": "#f6e5c3",
    "cluster": "#e6ddf3",
    "bad": "#f7d6d6",
}
_FONT = "font-family='system-ui,-apple-system,Segoe UI,Helvetica,Arial,sans-serif'"
_TITLE, _TEXT = 15, 13  # sizes of text in pixels
_WIDTHS = {_TITLE: 0.6, _TEXT: 0.54}  # of a character, on average, as a part of the size; titles are bold
_PADDING = 10


@dataclass
class Drawing:
    """A drawing of `width` times `height` pixels, described in words by `title` for those who cannot see it."""

    title: str
    width: int
    height: int
    parts: list[str] = field(default_factory=list)

    def box(self, x: float, y: float, width: float, height: float, *lines: str, of: str = "ours") -> None:
        """Draw a box with a title, the first line, and text. Raises ValueError if a line does not fit."""
        self.parts.append(
            f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='7' fill='{FILLS[of]}' stroke='{LINE}'/>"
        )
        step = _TEXT + 5
        top = y + height / 2 - (len(lines) - 1) * step / 2 + 5
        for number, line in enumerate(lines):
            size = _TEXT if number else _TITLE
            if len(line) * size * _WIDTHS[size] > width - _PADDING:
                raise ValueError(f"{line!r} does not fit into a box that is {width} wide; draw a wider box")
            weight = "normal" if number else "600"
            self._text(x + width / 2, top + number * step, line, size=size, weight=weight, fill=INK)
        if len(lines) * step > height:
            raise ValueError(f"{len(lines)} lines do not fit into a box that is {height} high; draw a higher box")

    def group(self, x: float, y: float, width: float, height: float, label: str) -> None:
        """Draw a dashed frame around boxes, with a label at its upper left."""
        self.parts.append(
            f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='10' fill='none' stroke='{LINE}' "
            "stroke-dasharray='5 4'/>"
        )
        self._text(x + 12, y + 20, label, size=_TEXT, anchor="start", weight="600")

    def arrow(self, points: Sequence[Point], label: str = "", at: Point | None = None, *, both: bool = False) -> None:
        """Draw a line through points with a head at its end, or at both ends, and a label around `at`."""
        start = " marker-start='url(#head)'" if both else ""
        path = " ".join(f"{x},{y}" for x, y in points)
        self.parts.append(
            f"<polyline points='{path}' fill='none' stroke='{LINE}' stroke-width='1.6' marker-end='url(#head)'{start}/>"
        )
        if label:
            (x1, y1), (x2, y2) = points[0], points[-1]
            x, y = at or ((x1 + x2) / 2, (y1 + y2) / 2 - 6)
            self.label(x, y, label)

    def label(self, x: float, y: float, text: str, anchor: str = "middle") -> None:
        """Write text beside boxes; `|` separates its lines."""
        for number, line in enumerate(text.split("|")):
            self._text(x, y + number * (_TEXT + 3), line, size=_TEXT, anchor=anchor)

    def svg(self) -> str:
        """Return the drawing as a document."""
        title = escape(self.title)
        return (
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {self.width} {self.height}' "
            f"width='{self.width}' role='img' {_FONT}>\n"
            f"<title>{title}</title>\n"
            "<defs><marker id='head' viewBox='0 0 10 10' refX='9' refY='5' markerWidth='7' markerHeight='7' "
            f"orient='auto-start-reverse'><path d='M0,0 L10,5 L0,10 z' fill='{LINE}'/></marker></defs>\n"
            + "".join(f"{each}\n" for each in self.parts)
            + "</svg>\n"
        )

    def _text(
        self, x: float, y: float, text: str, *, size: int, anchor: str = "middle", weight: str = "normal",
        fill: str = LINE,
    ) -> None:  # fmt: skip
        self.parts.append(
            f"<text x='{x}' y='{y:g}' font-size='{size}' font-weight='{weight}' text-anchor='{anchor}' fill='{fill}'>"
            f"{escape(text)}</text>"
        )
