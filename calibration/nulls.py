"""The cells in which nothing happens: every alarm is a false one."""

from __future__ import annotations

from collections.abc import Iterator

from calibration.cells import Cell, normal
from calibration.tables import Table
from calibration.worlds import MERCHANTS, Bursty, Category, Embedding, Numeric, World

AR_LIMIT = 2.0  # dials; statistics.md, point 5: strong autocorrelation of 0.1 σ leaks, and is held to twice the dial


def nulls() -> tuple[Cell, ...]:
    return (*independent(), *dependent(), *seasonal(), *shapes(), *whole(), *real())


def independent() -> Iterator[Cell]:
    """Independent normal rows; (n, N, m)."""
    sizes = (
        (50, 500, 10), (50, 5_000, 50), (50, 5_000, 200), (50, 50_000, 50),
        (100, 1_000, 10), (100, 1_000, 50), (100, 1_000, 200), (100, 5_000, 50), (100, 50_000, 50),
        (1_000, 10_000, 10), (1_000, 10_000, 50), (1_000, 10_000, 200),
        (1_000, 50_000, 10), (1_000, 50_000, 50), (1_000, 50_000, 200),
        (10_000, 50_000, 50), (10_000, 100_000, 10), (10_000, 100_000, 200),
    )  # fmt: skip
    for n, reference_rows, m in sizes:
        yield Cell("independent rows", normal(m), n, reference_rows, weight=2.0 if m == 200 else 1.0,
                   short=(n, reference_rows, m) in ((100, 1_000, 10), (1_000, 50_000, 10)))  # fmt: skip
    yield Cell("independent rows, reference from a file", normal(50), 1_000, 50_000, made="file")


def dependent() -> Iterator[Cell]:
    """Windows that differ by more than chance, and windows that remember."""
    for effect in (0.03, 0.1):
        for n, reference_rows in ((100, 5_000), (1_000, 10_000), (1_000, 50_000), (1_000, 200_000)):
            yield Cell(f"window effect {effect} σ", normal(20, effect=effect), n, reference_rows,
                       short=effect == 0.1 and reference_rows == 50_000)  # fmt: skip
    for effect in (0.03, 0.1):
        limit = AR_LIMIT if effect == 0.1 else 1.0
        for reference_rows in (50_000, 200_000):
            yield Cell(f"window effect {effect} σ, AR 0.9", normal(20, effect=effect, memory=0.9), 1_000,
                       reference_rows, limit=limit)  # fmt: skip
    yield Cell("correlated features, 0.8", normal(50, correlation=0.8), 1_000, 50_000)
    yield Cell("correlated features, 0.8", normal(50, correlation=0.8), 100, 5_000)


def seasonal() -> Iterator[Cell]:
    """A reference of whole weeks, and ones that are shorter."""
    daily, weekly = normal(20, daily=0.3), normal(20, daily=0.3, weekly=0.3)
    for n, weeks in ((100, 3), (1_000, 2)):
        yield Cell("daily sine 0.3 σ", daily, n, n * 168 * weeks, days=7.0)
    yield Cell("daily sine 0.3 σ, reference of 50 hours", daily, 1_000, 50_000)
    for n, weeks in ((100, 3), (1_000, 2)):
        yield Cell("daily sine and weekends, 0.3 σ", weekly, n, n * 168 * weeks, days=7.0)
    busy = World((Numeric(5),), swing=0.7, bursts=0.2, latency=True)
    for weeks, days in ((2, 28.0), (0, 28.0)):
        yield Cell("traffic: daily swing of 70 %, bursts of 20 %", busy, 300, 300 * (weeks * 168 or 48), days=days)


def shapes() -> Iterator[Cell]:
    """Skewed and discrete numbers, categories, missing values."""
    for shape in ("lognormal", "exponential", "discrete"):
        for n, reference_rows in ((100, 5_000), (1_000, 50_000)):
            yield Cell(f"{shape} numbers", World((Numeric(30, shape=shape),)), n, reference_rows)
    for categories in (200, 10_000):
        for n, reference_rows in ((100, 5_000), (1_000, 50_000)):
            yield Cell(f"Zipf categories, K = {categories:,}", World((Category(10, categories=categories),)), n,
                       reference_rows, short=categories == 200 and n == 100)  # fmt: skip
    merchants, bursts = Category(10, shares=MERCHANTS), Bursty(10, shares=MERCHANTS, variation=3.0)
    yield Cell("40 frequent and 500 rare categories", World((merchants,)), 1_000, 50_000)
    yield Cell("40 frequent categories, 500 rare ones in bursts", World((bursts,)), 1_000, 50_000)
    gaps = World((
        Numeric(5, "rarely", missing=0.001), Numeric(5, "often", missing=0.05), Numeric(5, "mostly", missing=0.8),
    ))  # fmt: skip
    for n, reference_rows in ((100, 5_000), (1_000, 50_000)):
        yield Cell("missing values: 0.1, 5 and 80 %", gaps, n, reference_rows, short=n == 1_000)


def whole() -> Iterator[Cell]:
    """What looks at more than one column."""
    vectors = World((Numeric(10), Embedding(64)))
    for n, reference_rows in ((100, 5_000), (1_000, 50_000)):
        yield Cell("a vector of 64 beside 10 numbers", vectors, n, reference_rows)
    pieces = World((Numeric(8), Category(2, categories=20)), segments=5)
    yield Cell("10 features in 5 segments", pieces, 1_000, 50_000, made="file")
    yield Cell("10 features in 5 segments", pieces, 200, 10_000, made="file")
    mixed = World((
        Numeric(4, effect=0.03), Numeric(3, "skewed", shape="lognormal"), Numeric(3, "whole", shape="discrete"),
        Numeric(2, "gaps", missing=0.05), Category(4, categories=30), Category(1, "id", categories=5_000),
    ), latency=True)  # fmt: skip
    yield Cell("a mixed model of 17 features", mixed, 1_000, 50_000, short=True)
    yield Cell("a mixed model of 17 features", mixed, 100, 5_000)


def real() -> Iterator[Cell]:
    """Real rows in a new order. Hours of flights hold some 38 rows by day and none by night."""
    yield Cell("flights, permuted by rows", Table("flights"), 1_000, 50_000, days=11.0)
    yield Cell("flights, permuted by rows", Table("flights"), 100, 5_000, days=30.0)
    yield Cell("flights, permuted by days", Table("flights", "day"), 38, 38 * 24 * 60, days=60.0, made="file",
               weight=2.0)  # fmt: skip
    yield Cell("flights, permuted by weeks", Table("flights", "week"), 38, 38 * 24 * 63, days=60.0, made="file",
               weight=2.0)  # fmt: skip
    yield Cell("weather, permuted by rows", Table("weather"), 100, 5_000, days=8.0)
    for name, words in (("employment_MA", "census (employment_MA)"), ("synthetic_car_loan_dq", "car loans"),
                        ("mc", "credit cards (multiclass)")):  # fmt: skip
        days = 8.0 if name == "employment_MA" else 2.0
        yield Cell(f"{words}, permuted by rows", Table(name), 1_000, 50_000, days=days)
    yield Cell("car loans, permuted by rows", Table("synthetic_car_loan_dq"), 100, 5_000, days=20.0)
