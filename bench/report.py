"""docs/benchmarks.md from what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench import pace
from bench.line import Line, number, ratio

HEAD = """# Benchmarks

Written by `make bench` (or `python -m bench`); not edited by hand. Every line is measured beside its limit (the same
work with nothing but the libraries) or a peer (whylogs, in its own environment), in the same run and in turns, because
absolute figures say more about the machine than about us. Medians, with the lowest and highest repeat in brackets.

CPU is user and system time of the agent's process as the kernel counts it: a real `sidelight run` on a unix socket, a
real sender in another process, reference given, collectors on, nothing taken off. 20 features (16 numbers, 4 texts)
with prediction, score and latency. A budget that is missed is said to be missed.

Bulk and rows with a budget are what the budget speaks of: decode, journal, counts, sketches, drift and quality, without
segments and without a store for labels (`SIDELIGHT_LABEL_SECONDS=0`). Duplicates cannot be turned off and are in
every figure, although they have a budget of their own. "With all of it on" is an agent with nothing turned off, whose
predictions wait for their labels; segment keys and the join have lines and budgets of their own further down.
"""
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
        low, high = pace.THEN
        began, ended = self.parse
        least, most = number(min(began, ended) / high), number(max(began, ended) / low)
        return (
            f"Machine: {self.machine}. Load when it began and ended: {' and '.join(self.load)}.\n"
            f"Commit: {self.commit}. Took {self.seconds:.0f} s.\n\n"
            f"Speed: parsing one row of 20 features took {number(began)} µs of CPU when it began and {number(ended)} "
            f"when it\nended; {low}-{high} µs where the budgets were set. This machine, as busy as it was, is slower "
            f"by a factor\nof {least} to {most}: read absolute figures with it, ratios without.\n\n"
            f'That parse is taken again right before and after every repeat of every time: "at the budgets\' pace" '
            f"is\nmeasured ÷ (pace then ÷ {high} µs), the slow end of where the budgets were set, so what scaling "
            f'favours least.\nA budget that only this figure meets is said to be met "at the budgets\' pace"; '
            f"ratios,\nshares of a core, memory and disk are never scaled.\n"
        )


def render(lines: Sequence[Line], setting: Setting) -> str:
    """The whole page."""
    parts = [HEAD, setting.text(), table(lines)]
    missed = [line for line in lines if line.met is False and not line.met_at_pace]
    scaled = [line for line in lines if line.met is False and line.met_at_pace]
    notes = [line for line in lines if line.note]
    if missed:
        parts.append("## Missed\n\n" + "\n".join(_missed(line) for line in missed) + "\n")
    if scaled:
        parts.append("## Met at the budgets' pace only\n\n" + "\n".join(_missed(line) for line in scaled) + "\n")
    if notes:
        parts.append("## Notes\n\n" + "\n".join(f"- {line.what}: {line.note}." for line in notes) + "\n")
    return "\n".join([*parts, HOW])


def table(lines: Sequence[Line]) -> str:
    rows = [
        "| what | budget | measured | at the budgets' pace | limit or peer in the same run | ratio | met |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join(rows + [_row(line) for line in lines]) + "\n"


def _row(line: Line) -> str:
    beside = "<br>".join(f"{b.name}: {b.samples.text(line.unit)}" for b in line.beside)
    # Beside nothing, or less, as memory that was given back, there is no ratio to speak of.
    ratios = "" if line.measured is None else "<br>".join(
        f"{number(ratio(line.measured, b.samples))} ×" if b.samples.median > 0 else "" for b in line.beside
    )  # fmt: skip
    measured = "not measured" if line.measured is None else line.measured.text(line.unit)
    at_pace = "" if line.at_pace is None else line.at_pace.text(line.unit)
    return f"| {line.what} | {_budget(line)} | {measured} | {at_pace} | {beside} | {ratios} | {_met(line)} |"


def _budget(line: Line) -> str:
    if line.budget is None:
        return ""
    return f"≤ {line.budget:g} × {line.beside[0].name}" if line.relative else f"≤ {line.budget:g} {line.unit}"


def _met(line: Line) -> str:
    if line.met is None:
        return ""
    return "yes" if line.met else "at the budgets' pace" if line.met_at_pace else "**no**"


def _missed(line: Line) -> str:
    assert line.used is not None
    assert line.budget is not None
    unit = "×" if line.relative else line.unit
    over = (line.used / line.budget - 1) * 100
    figures = f"{number(line.used)} {unit} against {line.budget:g} {unit}, {over:.0f} % over"
    if line.at_pace is not None:
        figures += f"; at the budgets' pace {number(line.at_pace.median)} {unit}"
    return f"- **{line.what}**: {figures}. Why: {line.why}"
