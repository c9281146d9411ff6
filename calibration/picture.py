"""docs/calibration.svg: every cell against the dial, and how soon a shift is found. Drawn by hand, no library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from calibration.duel import CHANGES, FEATURES, WITHIN
from calibration.outcome import Null
from calibration.rates import median
from calibration.versus import Line, Versus

WIDTH = 1280
ROW, TOP, BOTTOM = 15, 92, 58
LABEL, LEFT_END = 400, 770  # where the left plot's axis begins and ends
RIGHT, RIGHT_END = 850, 1240
LOW, HIGH = 0.002, 20.0  # episodes a day on the axis; what is lower lies on its edge
INK, FAINT, GRID, OURS, BAD, DIAL_LINE = "#1f2328", "#6e7781", "#e4e7eb", "#0b6bcb", "#cf222e", "#8250df"
COLOURS = ("#bf8700", "#a0522d", "#1a7f37", "#bc4c9b", "#57606a", "#0598bc")
RIGHT_HEIGHT = 545
NOT_FOUND = 32.0  # where "not found" is drawn on the axis of delays


@dataclass(slots=True)
class Canvas:
    """Elements as text, in order."""

    parts: list[str]

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> None:
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {more}/>')

    def text(self, x: float, y: float, words: str, more: str = "") -> None:
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(words)}</text>')

    def dot(self, x: float, y: float, radius: float, colour: str) -> None:
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>')

    def path(self, points: Sequence[tuple[float, float]], colour: str, width: float) -> None:
        said = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(
            f'<polyline points="{said}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"/>'
        )


def draw(nulls: Sequence[Null], met: Mapping[float, Versus]) -> str:
    """The picture as SVG. met: by window effect, the least first."""
    shown = [null for null in nulls if null.rate is not None]
    height = max(TOP + ROW * len(shown) + BOTTOM, TOP + RIGHT_HEIGHT * len(met))
    canvas = Canvas([])
    _left(canvas, shown)
    for number, (effect, duel) in enumerate(met.items()):
        top = TOP + RIGHT_HEIGHT * number
        what = f"windows differ by {effect:g} σ" if effect else "independent rows"
        _right(canvas, duel, what, top)
        if duel.defaults:
            _bars(canvas, duel, top + 300)
    style = "font-family:system-ui,-apple-system,'Segoe UI',sans-serif;font-size:11.5px;fill:" + INK
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'style="{style}" role="img">\n<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n'
        + "\n".join(canvas.parts)
        + "\n</svg>\n"
    )


def _left(canvas: Canvas, nulls: Sequence[Null]) -> None:
    end = TOP + ROW * len(nulls)
    _heading(canvas, 20, "False alarm episodes a day, nothing having changed",
             "all values of a model together; dot: rate, line: 95 % interval, tick: that cell's limit")  # fmt: skip
    for rate in (0.01, 0.05, 0.1, 1.0, 10.0):
        x = _rate_x(rate)
        canvas.line(x, TOP - 6, x, end, DIAL_LINE if rate == 0.05 else GRID,
                    'stroke-width="1.5"' if rate == 0.05 else "")  # fmt: skip
        canvas.text(x, end + 16, f"{rate:g}", f'text-anchor="middle" fill="{FAINT}"')
    canvas.text(_rate_x(0.05), end + 32, "the dial", f'text-anchor="middle" fill="{DIAL_LINE}"')
    canvas.text(LABEL, end + 16, "0", f'text-anchor="middle" fill="{FAINT}"')
    for row, null in enumerate(nulls):
        _cell_row(canvas, null, TOP + ROW * row + ROW / 2)


def _cell_row(canvas: Canvas, null: Null, y: float) -> None:
    assert null.rate is not None
    low, high = null.rate.interval
    colour = BAD if null.failed else OURS
    cell = null.cell
    size = f"n {_short(cell.n)}, N {_short(cell.reference_rows)}, m {cell.features or null.features}"
    canvas.text(LABEL - 10, y + 4, size, f'text-anchor="end" fill="{FAINT}" font-size="10"')
    canvas.text(20, y + 4, cell.name if len(cell.name) <= 44 else cell.name[:43] + "…")
    canvas.line(_rate_x(low), y, _rate_x(high), y, colour, 'stroke-width="2" stroke-opacity="0.45"')
    canvas.dot(_rate_x(null.rate.rate), y, 3.2, colour)
    if null.limit and cell.limit != 1.0:
        canvas.line(_rate_x(null.limit), y - 5, _rate_x(null.limit), y + 5, DIAL_LINE, 'stroke-width="2"')


def _rate_x(rate: float) -> float:
    part = math.log(max(rate, LOW) / LOW) / math.log(HIGH / LOW)
    return LABEL + (LEFT_END - LABEL) * min(part, 1.0)


def _right(canvas: Canvas, duel: Versus, what: str, top: float) -> None:
    end = top + 230
    canvas.text(RIGHT - 40, top - 56, f"How soon a shift is found: {what}", 'font-size="15.5" font-weight="600"')
    canvas.text(RIGHT - 40, top - 36, "median windows of 1,000 rows; the peers' thresholds moved to the dial",
                f'fill="{FAINT}"')  # fmt: skip
    ticks = {1.0: "1", 2.0: "2", 4.0: "4", 8.0: "8", 16.0: "16", 24.0: "24", NOT_FOUND: "not found"}
    for delay, words in ticks.items():
        y = _delay_y(delay, top, end)
        canvas.line(RIGHT, y, RIGHT_END, y, GRID, 'stroke-dasharray="3 3"' if delay == NOT_FOUND else "")
        canvas.text(RIGHT - 6, y + 4, words, f'text-anchor="end" fill="{FAINT}"')
    shifts = [(k, change.amount) for k, (_, change) in enumerate(CHANGES) if change.kind == "shift"]
    for _, amount in shifts:
        canvas.text(_shift_x(amount), end + 18, f"{amount:g}", f'text-anchor="middle" fill="{FAINT}"')
    canvas.text((RIGHT + RIGHT_END) / 2, end + 34, "shift, σ", f'text-anchor="middle" fill="{FAINT}"')
    lines = [*zip(duel.tuned, COLOURS, strict=False), (duel.ours, OURS)]
    for number, (line, colour) in enumerate(lines):
        # A little apart, so that none hides another.
        aside = (number - len(lines) / 2) * 1.6
        points = [(_shift_x(amount), _delay_y(_drawn(line, k), top, end) + aside) for k, amount in shifts]
        canvas.path(points, colour, 3.0 if line is duel.ours else 1.5)
        for x, y in points:
            canvas.dot(x, y, 3.5 if line is duel.ours else 2.5, colour)
    for number, (line, colour) in enumerate(reversed(lines)):
        canvas.dot(RIGHT_END - 96, top + 14 + 15 * number, 4, colour)
        canvas.text(RIGHT_END - 86, top + 18 + 15 * number, line.rule)


def _drawn(line: Line, k: int) -> float:
    found = median(line.delays[k])
    return NOT_FOUND if found > WITHIN else found


def _delay_y(delay: float, top: float, end: float) -> float:
    return end - (end - top - 10) * math.log(delay) / math.log(NOT_FOUND)


def _shift_x(amount: float) -> float:
    return RIGHT + 12 + (RIGHT_END - RIGHT - 24) * math.log(amount / 0.05) / math.log(10.0)


def _bars(canvas: Canvas, duel: Versus, top: float) -> None:
    """False alarms of the rules as they come."""
    words = f"At their defaults: false alarms a day, of {24 * FEATURES} feature-windows"
    canvas.text(RIGHT - 40, top, words, 'font-size="13" font-weight="600"')
    most = max(1.0, *(line.alarms for line in duel.defaults))
    rows = [(duel.ours, OURS), *zip(duel.defaults, COLOURS, strict=False)]
    for number, (line, colour) in enumerate(rows):
        y = top + 14 + 19 * number
        width = (RIGHT_END - RIGHT - 110) * line.alarms / most
        canvas.text(RIGHT + 50, y + 11, line.rule, 'text-anchor="end"')
        canvas.parts.append(
            f'<rect x="{RIGHT + 58}" y="{y}" width="{max(width, 1.5):.1f}" height="14" rx="2" fill="{colour}"/>'
        )
        canvas.text(RIGHT + 64 + max(width, 1.5), y + 11, f"{line.alarms:.2g}", f'fill="{FAINT}"')


def _heading(canvas: Canvas, x: float, words: str, below: str) -> None:
    canvas.text(x, 36, words, 'font-size="17" font-weight="600"')
    canvas.text(x, 56, below, f'fill="{FAINT}"')


def _short(rows: int) -> str:
    return f"{rows / 1000:.4g}k" if rows >= 1_000 else str(rows)
