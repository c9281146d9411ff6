"""docs/benchmarks.md from what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.line import Line, number, ratio

HEAD = """# Benchmarks

Written by `make bench` (or `python -m bench`); not edited by hand. Every line is measured beside its limit (the same
work with nothing but the libraries) or a peer (whylogs, in its own environment), in the same run and in turns, because
absolute figures say more about the machine than about us. Medians, with the lowest and highest repeat in brackets.

CPU is user and system time of the agent's process as the kernel counts it: a real `sidelight run` on a unix socket, a
real sender in another process, reference given, collectors on, nothing taken off. 20 features (16 numbers, 4 texts)
with prediction, score and latency. A budget that is missed is said to be missed.
"""
PARSE_THEN = (1.2, 1.7)  # µs, on the machine and day of the budgets
HOW = """## Again

`make bench` takes some minutes and needs the network once, for the peer (`.bench/peer`).
`ARGS="--only bulk,rows"` measures some of it, `ARGS="--soak 60"` adds a minute under full load;
`python -m bench profile bulk` (or `rows`) says which station takes how much. Close other programs first: on a shared
core they make CPU time itself dearer, by cold caches.
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and when. load and parse: when it began and ended; parse in µs, of one row."""

    machine: str
    commit: str
    load: tuple[str, str]
    parse: tuple[float, float]
    seconds: float

    def text(self) -> str:
        low, high = PARSE_THEN
        began, ended = self.parse
        least, most = number(min(began, ended) / high), number(max(began, ended) / low)
        return (
            f"Machine: {self.machine}. Load when it began and ended: {' and '.join(self.load)}.\n"
            f"Commit: {self.commit}. Took {self.seconds:.0f} s.\n\n"
            f"Speed: parsing one row of 20 features took {number(began)} µs of CPU when it began and {number(ended)} "
            f"when it\nended; {low}-{high} µs where the budgets were set. This machine, as busy as it was, is slower "
            f"by a factor\nof {least} to {most}: read absolute figures with it, ratios without.\n"
        )


def render(lines: Sequence[Line], setting: Setting) -> str:
    """The whole page."""
    parts = [HEAD, setting.text(), table(lines)]
    missed = [line for line in lines if line.met is False]
    notes = [line for line in lines if line.note]
    if missed:
        parts.append("## Missed\n\n" + "\n".join(_missed(line) for line in missed) + "\n")
    if notes:
        parts.append("## Notes\n\n" + "\n".join(f"- {line.what}: {line.note}." for line in notes) + "\n")
    return "\n".join([*parts, HOW])


def table(lines: Sequence[Line]) -> str:
    rows = ["| what | budget | measured | limit or peer in the same run | ratio | met |", "|---|---|---|---|---|---|"]
    return "\n".join(rows + [_row(line) for line in lines]) + "\n"


def _row(line: Line) -> str:
    beside = "<br>".join(f"{b.name}: {b.samples.text(line.unit)}" for b in line.beside)
    # Beside nothing, or less, as memory that was given back, there is no ratio to speak of.
    ratios = "" if line.measured is None else "<br>".join(
        f"{number(ratio(line.measured, b.samples))} ×" if b.samples.median > 0 else "" for b in line.beside
    )  # fmt: skip
    measured = "not measured" if line.measured is None else line.measured.text(line.unit)
    return f"| {line.what} | {_budget(line)} | {measured} | {beside} | {ratios} | {_met(line)} |"


def _budget(line: Line) -> str:
    if line.budget is None:
        return ""
    return f"≤ {line.budget:g} × {line.beside[0].name}" if line.relative else f"≤ {line.budget:g} {line.unit}"


def _met(line: Line) -> str:
    return "" if line.met is None else "yes" if line.met else "**no**"


def _missed(line: Line) -> str:
    assert line.used is not None
    assert line.budget is not None
    unit = "×" if line.relative else line.unit
    over = (line.used / line.budget - 1) * 100
    figures = f"{number(line.used)} {unit} against {line.budget:g} {unit}, {over:.0f} % over"
    return f"- **{line.what}**: {figures}. Why: {line.why}"
