"""Ads whose conversion falls a little every window, and never in one: what is known of it comes two windows later."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from agent.reference import file as reference_file
from agent.wire import recorder_pb2 as wire
from tests.end_to_end.harness import ROOT

WINDOW_SECONDS = 60
FIRST_NS = 1_700_000_040 * 10**9  # a multiple of a minute
ROWS = 200  # ads of a window
BLOCKS = 60  # windows of the reference
DELAY = 2  # windows until it is known what came of an ad
NO, YES = "passed", "bought"


@dataclass(frozen=True)
class World:
    """What is other than when the model was trained. fall: logits by which fewer buy than the inputs say; shift: of
    the visitors' interest, in \N{GREEK SMALL LETTER SIGMA}. level: log-odds to buy of a visitor in the middle."""

    fall: float = 0.0
    shift: float = 0.0
    level: float = 0.8


USUAL = World()
RARE = World(level=-3.2)  # 6.2 % buy


@dataclass(frozen=True)
class Ads:
    """One window's; every array has `ROWS` entries."""

    index: int
    interest: np.ndarray
    price: np.ndarray
    score: np.ndarray
    bought: np.ndarray  # bool


def ads(index: int, world: World = USUAL) -> Ads:
    """The same every time."""
    rng = np.random.default_rng((6, index + 10_000))
    interest, price = rng.normal(size=ROWS) + world.shift, rng.normal(size=ROWS)
    logit = world.level + 0.9 * interest - 0.6 * price
    bought = rng.uniform(size=ROWS) < 1.0 / (1.0 + np.exp(-(logit - world.fall)))
    return Ads(index, interest, price, 1.0 / (1.0 + np.exp(-logit)), bought)


def references(folder: Path, *models: str, world: World = USUAL) -> Path:
    """A folder of references for each of these, from `sidelight reference build` on rows with their label."""
    made = reference_file.decode(_built(folder, world).read_bytes())
    for model in models:
        path = folder / "references" / model / "1.sidelight"
        path.parent.mkdir(parents=True)
        reference_file.write(replace(made, model=model), path)
    return folder / "references"


def _built(folder: Path, world: World) -> Path:
    data, made = folder / "ads.csv", folder / "ads.sidelight"
    with data.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["time", "interest", "price", "prediction", "score", "label"])
        for block in range(-BLOCKS, 0):
            some = ads(block, world)
            for i in range(ROWS):
                when = FIRST_NS // 10**9 + block * WINDOW_SECONDS + i * WINDOW_SECONDS / ROWS
                said, came = (YES if some.score[i] >= 0.5 else NO), (YES if some.bought[i] else NO)
                inputs = f"{some.interest[i]:.5f}", f"{some.price[i]:.5f}"
                rows.writerow([when, *inputs, said, f"{some.score[i]:.6f}", came])
    told = ["--time", "time", "--window", str(WINDOW_SECONDS), "--prediction", "prediction", "--score", "score"]
    told += ["--label", "label", "--positive", YES]
    built = subprocess.run(
        [sys.executable, "-m", "agent.cli", "reference", "build", str(data), "--model", "ads", "--version", "1",
         "-o", str(made), *told], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return made


def shown(some: Ads, model: str) -> wire.RecordRequest:
    """The window's ads, and what the model expected of them."""
    request = wire.RecordRequest()
    request.model.name, request.model.version = model, "1"
    columns = request.columns
    columns.rows = ROWS
    columns.id_prefix = f"{some.index}-"
    columns.id_numbers.extend(range(ROWS))
    step = WINDOW_SECONDS * 10**9 // ROWS
    columns.time_unix_nano.extend(FIRST_NS + some.index * WINDOW_SECONDS * 10**9 + i * step for i in range(ROWS))
    columns.numbers.add(name="interest", values=some.interest.tolist())
    columns.numbers.add(name="price", values=some.price.tolist())
    output = columns.outputs.add()
    output.labels.dictionary.extend([NO, YES])
    output.labels.codes.extend((some.score >= 0.5).astype(int).tolist())
    output.scores.add(values=some.score.tolist())
    return request


def known(some: Ads, when: int, model: str) -> wire.RecordRequest:
    """What came of the window's ads, told in window `when`."""
    request = wire.RecordRequest()
    request.model.name, request.model.version = model, "1"
    columns = request.label_columns
    columns.rows = ROWS
    columns.id_prefix = f"{some.index}-"
    columns.id_numbers.extend(range(ROWS))
    columns.labels.dictionary.extend([NO, YES])
    columns.labels.codes.extend(some.bought.astype(int).tolist())
    columns.time_unix_nano.extend([FIRST_NS + when * WINDOW_SECONDS * 10**9] * ROWS)
    return request
