"""The cells in which something happens: how soon it is found, and how often."""

from __future__ import annotations

from collections.abc import Iterator

from calibration.cells import Cell, normal
from calibration.worlds import MERCHANTS, Category, Change, Embedding, Numeric, World

M = 50  # as where the promised delays were measured
TRIALS, VOLUME_TRIALS = 8, 34  # on each reference: quiet windows and changed ones are drawn anew each time
SHARES = (0.1, 0.35, 0.25, 0.15, 0.1, 0.05)
FIRST_NUMBER, FIRST_TEXT = "number_000", "text_000"


def changes() -> tuple[Cell, ...]:
    return (*moved(), *categories(), *rare(), *gaps(), *together(), *volume())


def moved() -> Iterator[Cell]:
    """One of fifty normal features moves, widens or grows tails. Promised: statistics.md's medians."""
    promised = {0.05: 0.0, 0.1: 4.0, 0.15: 0.0, 0.25: 1.0, 0.5: 1.0}
    for d, windows in promised.items():
        yield _cell(f"shift {d:g} σ", normal(M), (1_000, 50_000), Change("shift", d), expected=windows,
                    short=d in (0.25, 0.5))  # fmt: skip
    for n, reference_rows, windows in ((1_000, 10_000, 0.0), (100, 5_000, 0.0), (100, 50_000, 5.0)):
        yield _cell("shift 0.25 σ", normal(M), (n, reference_rows), Change("shift", 0.25), expected=windows)
    yield _cell("shift 0.25 σ, window effect 0.1 σ", normal(M, effect=0.1), (1_000, 50_000), Change("shift", 0.25))
    for factor, windows in ((1.1, 2.0), (1.25, 1.0)):
        yield _cell(f"σ × {factor:g}", normal(M), (1_000, 50_000), Change("scale", factor), expected=windows)
    yield _cell("heavier tails, same mean and σ", normal(M), (1_000, 50_000), Change("tails"))


def categories() -> Iterator[Cell]:
    """A category's share rises, the others shrink in proportion. 12 % is a PSI of 0.004, under the effect's floor."""
    world = World((Numeric(M - 1), Category(1, shares=SHARES)))
    for share, windows in ((0.15, 1.0), (0.12, 0.0)):
        yield _cell(f"category 10 → {share:.0%}".replace("%", " %"), world, (1_000, 50_000), Change("share", share),
                    FIRST_TEXT, expected=windows, short=share == 0.15)  # fmt: skip


def rare() -> Iterator[Cell]:
    """One of 500 rare categories, a fifth of the rows together, grows at the cost of the other rare ones."""
    world = World((Numeric(9), Category(1, shares=MERCHANTS)))
    for share, what, windows in ((0.1, "half", 1.0), (0.02, "a tenth", 0.0)):
        yield _cell(f"one of 500 rare categories to {what} of them", world, (1_000, 50_000), Change("swell", share),
                    FIRST_TEXT, expected=windows, short=share == 0.1)  # fmt: skip


def gaps() -> Iterator[Cell]:
    """More values are missing."""
    for before, after, windows in ((0.01, 0.05, 1.0), (0.01, 0.02, 4.0), (0.001, 0.01, 1.0)):
        world = World((Numeric(M - 1), Numeric(1, "gaps", missing=before)))
        name = f"missing {before * 100:g} → {after * 100:g} %"
        yield _cell(name, world, (1_000, 50_000), Change("missing", after), "gaps_000", expected=windows,
                    short=after == 0.05)  # fmt: skip


def together() -> Iterator[Cell]:
    """Every column alone is as it was."""
    pair = World((Numeric(2, "pair", correlation=0.8), Numeric(18)))
    yield _cell("correlation of two of 20 features 0.8 → 0", pair, (1_000, 50_000), Change("decorrelate"), "")
    every = World((Numeric(20, correlation=0.8),))
    yield _cell("correlation of all 20 features 0.8 → 0", every, (1_000, 50_000), Change("decorrelate"), "")
    for size in (64, 384):
        world = World((Numeric(10), Embedding(size)))
        for part in (1.0, 0.25):
            what = "turned" if part == 1.0 else "a quarter of its entries turned"
            yield _cell(f"embedding of {size}, {what}", world, (1_000, 50_000), Change("rotate", part), "embedding")


def volume() -> Iterator[Cell]:
    """Traffic doubles or halves; its windows vary by so much beyond chance. Promised under 30 %: within two windows."""
    for variation in (0.05, 0.1, 0.2, 0.3):
        for factor, what in ((2.0, "doubled"), (0.5, "halved")):
            name = f"traffic {what}, its coefficient of variation {variation:g}"
            world = World((Numeric(1),), bursts=variation)
            yield Cell(name, world, 500, 500 * 336, days=1.0, change=Change("volume", factor), subject="volume",
                       expected=2.0 if variation < 0.3 else 0.0, trials=VOLUME_TRIALS, weight=0.7)  # fmt: skip


def _cell(name: str, world: World, size: tuple[int, int], change: Change, subject: str = FIRST_NUMBER,
          expected: float = 0.0, short: bool = False) -> Cell:  # fmt: skip
    """A day of quiet first, so that the long horizons are full of it."""
    return Cell(name, world, *size, days=1.0, change=change, subject=subject, trials=TRIALS, expected=expected,
                short=short)  # fmt: skip
