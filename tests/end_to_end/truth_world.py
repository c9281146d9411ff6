"""A lender's world whose truth comes late: what a model of loans is asked, what it answers, and what comes of it.

Everybody repays with the probability that the model's score says, until something happens.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.wire import recorder_pb2 as wire
from tests.end_to_end.harness import ROOT

WINDOW_SECONDS = 60
FIRST_NS = 1_700_000_040 * 10**9  # a multiple of a minute
ROWS = 300  # of a window
BLOCKS = 80  # windows of the reference
REGIONS, GROUPS = ("north", "south"), ("a", "b")
YES, NO = "default", "repaid"


@dataclass(frozen=True)
class World:
    """What is other than when the model was trained.

    shift: of the income, in \N{GREEK SMALL LETTER SIGMA}; meaning: logits by which more default than the inputs say;
    feed: share of southern rows whose score is chance; gap: logits between the groups, their mean unchanged.
    """

    shift: float = 0.0
    meaning: float = 0.0
    feed: float = 0.0
    gap: float = 0.0


USUAL = World()


@dataclass(frozen=True)
class Loans:
    """One window's rows; every array has `ROWS` entries."""

    index: int
    income: np.ndarray
    debt: np.ndarray
    region: np.ndarray
    group: np.ndarray
    score: np.ndarray
    truth: np.ndarray  # bool: defaulted

    @property
    def ids(self) -> list[str]:
        return [f"{self.index}-{i}" for i in range(ROWS)]


def loans(index: int, world: World = USUAL) -> Loans:
    """The same every time."""
    rng = np.random.default_rng(index + 10_000)
    income, debt = rng.normal(size=ROWS) + world.shift, rng.normal(size=ROWS)
    region, group = rng.integers(0, 2, ROWS), rng.integers(0, 2, ROWS)
    logit = -1.0 - 1.2 * income + 1.0 * debt + world.gap * (group - 0.5)
    chance = rng.uniform(size=ROWS) < world.feed * region
    score = 1.0 / (1.0 + np.exp(-np.where(chance, rng.permutation(logit), logit)))
    truth = rng.uniform(size=ROWS) < 1.0 / (1.0 + np.exp(-(logit + world.meaning)))
    return Loans(index, income, debt, region, group, score, truth)


def reference(folder: Path) -> Path:
    """`sidelight reference build` on rows with their label, as a person would call it."""
    data, made = folder / "training.csv", folder / "loan.sidelight"
    with data.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["time", "income", "debt", "region", "group", "prediction", "score", "label"])
        for block in range(BLOCKS):
            some = loans(-1 - block)
            start = FIRST_NS // 10**9 - (block + 1) * WINDOW_SECONDS
            for i in range(ROWS):
                said, came = (YES if some.score[i] >= 0.5 else NO), (YES if some.truth[i] else NO)
                rows.writerow([
                    start + i * WINDOW_SECONDS / ROWS, f"{some.income[i]:.6f}", f"{some.debt[i]:.6f}",
                    REGIONS[some.region[i]], GROUPS[some.group[i]], said, f"{some.score[i]:.6f}", came,
                ])  # fmt: skip
    told = ["--time", "time", "--window", str(WINDOW_SECONDS), "--prediction", "prediction", "--score", "score"]
    told += ["--label", "label", "--positive", YES, "--segments", "region", "--protected", "group"]
    built = subprocess.run(
        [sys.executable, "-m", "agent.cli", "reference", "build", str(data), "--model", "loan", "--version", "3",
         "-o", str(made), *told], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return made


def predictions(some: Loans, version: str = "3") -> wire.RecordRequest:
    """The window's predictions as one message of columns."""
    request = wire.RecordRequest()
    request.model.name, request.model.version = "loan", version
    columns = request.columns
    columns.rows = ROWS
    columns.ids.extend(some.ids)
    step = WINDOW_SECONDS * 10**9 // ROWS
    columns.time_unix_nano.extend([FIRST_NS + some.index * WINDOW_SECONDS * 10**9 + i * step for i in range(ROWS)])
    columns.numbers.add(name="income", values=some.income.tolist())
    columns.numbers.add(name="debt", values=some.debt.tolist())
    columns.segments.add(name="region", dictionary=REGIONS, codes=some.region.tolist())
    columns.protected.add(name="group", dictionary=GROUPS, codes=some.group.tolist())
    output = columns.outputs.add()
    output.labels.dictionary.extend([NO, YES])
    output.labels.codes.extend((some.score >= 0.5).astype(int).tolist())
    output.scores.add(values=some.score.tolist())
    return request


def labels(some: Loans, when: int) -> wire.RecordRequest:
    """What came of the window's loans, told in window `when`."""
    request = wire.RecordRequest()
    request.model.name, request.model.version = "loan", "3"
    columns = request.label_columns
    columns.rows = ROWS
    columns.ids.extend(some.ids)
    columns.labels.dictionary.extend([NO, YES])
    columns.labels.codes.extend(some.truth.astype(int).tolist())
    columns.time_unix_nano.extend([FIRST_NS + when * WINDOW_SECONDS * 10**9] * ROWS)
    return request
