"""Concept drift: false alarms and delays of the errors' detector, and river's detectors on the same streams."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.concept.baseline import Baseline, block_of
from agent.concept.detector import Detector, Moment
from agent.concept.gathered import Gathered
from agent.concept.losses import Kind, Scale
from agent.concept.section import Section
from agent.concept.tracks import Asked, Tracks
from agent.ledger import CHECKS, Dial
from agent.records import Floats, Verdict
from bench.environments import Foreign, installed
from calibration.cache import ROOT, Results, folder
from calibration.worlds import DAY

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "river-requirements.txt"
WINDOW, REFERENCE = 200, 10_000  # labels of an hour; of the labelled reference
NULL_LABELS, NULL_STREAMS = 100_000, 5
QUIET, AFTER, TRIALS = 5_000, 20_000, 10
SHARE = next(check.share for check in CHECKS if check.name == "concept_drift")
WINDOWS_TO_FALSE = DAY / (SHARE * Dial().false_alarms_per_day)  # A, at the default dial


@dataclass(frozen=True, slots=True)
class Errors:
    """A world of errors. effect: standard deviation of every hour's own rate, memory: its autocorrelation; labels: of
    an hour; blocks: hours of the reference."""

    name: str
    rate: float
    effect: float = 0.0
    memory: float = 0.0
    labels: int = WINDOW
    blocks: int = REFERENCE // WINDOW

    def rates(self, rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        """(histories, hours): Gaussian, AR(1), cut off where a rate would be none."""
        fresh = rng.standard_normal(shape)
        if self.memory:
            for hour in range(1, shape[1]):
                kept = self.memory * fresh[:, hour - 1]
                fresh[:, hour] = kept + math.sqrt(1.0 - self.memory**2) * fresh[:, hour]
        return np.clip(self.rate + self.effect * fresh, 0.1 * self.rate, 0.99)


NULLS = (
    Errors("independent, 10 % wrong", 0.1),
    Errors("independent, 2 % wrong", 0.02),
    Errors("hours that differ by ± 2 points, 10 % wrong", 0.1, effect=0.02),
    Errors("hours that differ by ± 2 points and remember (AR 0.9)", 0.1, effect=0.02, memory=0.9),
)
CHANGES: tuple[tuple[str, float, float, int], ...] = (  # name, rate before and after, labels it takes
    ("10 → 12 %", 0.1, 0.12, 0), ("10 → 15 %", 0.1, 0.15, 0), ("10 → 20 %", 0.1, 0.2, 0), ("10 → 30 %", 0.1, 0.3, 0),
    ("2 → 4 %", 0.02, 0.04, 0), ("10 → 20 %, over 10,000 labels", 0.1, 0.2, 10_000),
)  # fmt: skip
GENERATED = {"sea": "SEA: the threshold of 8 becomes 9.5", "hyperplane": "a hyperplane begins to turn"}
# How much of what the threshold allows is used: n labels an hour, hours of the reference, effect.
USED = tuple(
    Errors(f"{rate:.0%} wrong".replace("%", " %"), rate, effect, 0.0, labels, blocks)
    for rate, effect, labels, blocks in (
        (0.1, 0.0, 1_000, 16), (0.1, 0.0, 1_000, 30), (0.1, 0.0, 100, 100), (0.02, 0.0, 50, 30), (0.01, 0.0, 1_000, 30),
        (0.1, 0.01, 1_000, 16), (0.1, 0.01, 1_000, 30), (0.1, 0.03, 1_000, 16), (0.1, 0.03, 1_000, 30),
        (0.1, 0.03, 1_000, 100), (0.02, 0.005, 10_000, 30),
    )
)  # fmt: skip
USED_REFERENCES, USED_HOURS = 2_000, 250


def run(say: Callable[[str], None], with_river: bool = True) -> dict[str, Any]:
    """All figures; what is known of the same code and streams is kept."""
    results = Results(folder(), "concept")
    python = installed(folder() / "river", REQUIREMENTS) if with_river else None
    river = None
    if python is not None:
        with Foreign(python, HERE / "river_child.py", folder()) as child:
            version = str(child.answer()["river"])
            streams = _streams(_made(child))
            key = f"river-{_digest(HERE / 'river_child.py', REQUIREMENTS)}-{_hash(streams)}"
            river = _kept(results, key, lambda: _river(child, streams, say))
            river["version"] = version
    else:
        streams = _streams(None)
    own = _digest(*sorted(ROOT.glob("agent/concept/*.py")), HERE / "concept.py")
    say("concept drift: ours")
    worlds = _kept(results, f"used-{own}", lambda: {"used": [{**asdict(world), **used(world)} for world in USED]})
    ours = _kept(results, f"ours-{own}-{_hash(streams)}", lambda: _ours(streams))
    return {"used": worlds["used"], "ours": ours, "river": river}


def _kept(results: Results, key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    found = results.figures(key)
    if found is None:
        found = make()
        results.keep(key, found)
    return found


def _made(child: Foreign) -> Path:
    """Streams of river's own generators, made once."""
    path = folder() / f"river-{_digest(HERE / 'river_child.py')}.npz"
    if not path.exists():
        half = path.with_suffix(".half.npz")
        labels, at = REFERENCE + QUIET + AFTER, REFERENCE + QUIET
        child.ask(json.dumps({"make": str(half), "seeds": TRIALS, "labels": labels, "at": at}))
        half.rename(path)
    return path


def _river(child: Foreign, streams: Mapping[str, np.ndarray], say: Callable[[str], None]) -> dict[str, Any]:
    say("concept drift: river on the streams, some minutes")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "streams.npz"
        arrays: dict[str, Any] = dict(streams)
        np.savez(path, **arrays)
        asked = {"judge": str(path), "start": REFERENCE, "tuned_on": NULLS[0].name}
        return {"rules": child.ask(json.dumps(asked))}


def _digest(*paths: Path) -> str:
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def _hash(streams: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(streams):
        digest.update(name.encode() + b"\0" + np.ascontiguousarray(streams[name]).tobytes())
    return digest.hexdigest()[:16]


def used(world: Errors) -> dict[str, float]:
    """False alarms over what the threshold allows, on references drawn anew, and its standard error."""
    rng = np.random.default_rng([world.labels, world.blocks, int(world.effect * 1e4), int(world.rate * 1e4)])
    scale, at = Scale(Kind.CLASSES), np.arange(USED_REFERENCES)
    rates = world.rates(rng, (USED_REFERENCES, world.blocks))
    known = Baseline(
        scale, block_of(_counts(rng.binomial(world.labels, rates), world.labels), scale),
        np.full(USED_REFERENCES, math.log(WINDOWS_TO_FALSE)),
    )  # fmt: skip
    live = world.rates(rng, (USED_REFERENCES, USED_HOURS))
    detector, alarms = Detector(USED_REFERENCES, 1), np.zeros(USED_REFERENCES)
    for hour in range(USED_HOURS):
        counts = _counts(rng.binomial(world.labels, live[:, hour]), world.labels)
        over = detector.step(at, known, counts, Moment(hour, 0, 0)) >= known.asked
        alarms += over
        for one in np.flatnonzero(over).tolist():
            detector.clear(one)
    allowed = USED_HOURS / WINDOWS_TO_FALSE
    return {"used": float(alarms.mean() / allowed), "error": float(alarms.std() / math.sqrt(len(at)) / allowed)}


def alarms_of(stream: np.ndarray) -> list[int]:
    """Labels after which our alarm begins, hours of 200 labels, the first 10,000 being the reference."""
    scale = Scale(Kind.CLASSES)
    sums = stream[: len(stream) // WINDOW * WINDOW].reshape(-1, WINDOW).sum(axis=1)
    counts = _counts(sums, WINDOW)
    first = REFERENCE // WINDOW
    tracks = Tracks(Kind.CLASSES, Section(scale, {"": block_of(counts[:first], scale)}))
    asked, alarming, found = Asked(math.log(WINDOWS_TO_FALSE), math.inf), False, []
    for hour in range(first, len(counts)):
        gathered = Gathered(counts[hour : hour + 1].copy(), np.array([float(WINDOW)]), 0, 0)
        judged = tracks.judge(hour, gathered, asked)
        now = judged is not None and judged.whole.verdict is Verdict.ALARM
        if now and not alarming:
            found.append((hour + 1) * WINDOW)
        alarming = now
    return found


def _ours(streams: Mapping[str, np.ndarray]) -> dict[str, Any]:
    nulls, delays, labels, began = {}, {}, 0, time.process_time()
    for key, array in streams.items():
        kind, _, name = key.partition(".")
        if kind == "at":
            continue
        labels += array.size
        if kind == "null":
            count = sum(len(alarms_of(stream)) for stream in array)
            nulls[name] = [count, int(array.shape[0] * (array.shape[1] - REFERENCE))]
        else:
            at = int(streams[f"at.{name}"])
            delays[name] = [next((a - at for a in alarms_of(stream) if a > at), 0) for stream in array]
    return {"nulls": nulls, "delays": delays, "ns": (time.process_time() - began) / labels * 1e9}


def _streams(made: Path | None) -> dict[str, np.ndarray]:
    """null.NAME (streams, labels), change.NAME (trials, labels), at.NAME: where the change begins."""
    found: dict[str, np.ndarray] = {}
    for number, world in enumerate(NULLS):
        rng = np.random.default_rng([1, number])
        hours = (REFERENCE + NULL_LABELS) // WINDOW
        rates = np.repeat(world.rates(rng, (NULL_STREAMS, hours)), WINDOW, axis=1)
        found[f"null.{world.name}"] = (rng.random(rates.shape) < rates).astype(np.uint8)
    at = REFERENCE + QUIET
    for number, (name, before, after, takes) in enumerate(CHANGES):
        rng = np.random.default_rng([2, number])
        part = np.clip((np.arange(AFTER) + 1) / max(takes, 1), 0.0, 1.0)
        rates = np.concatenate((np.full(at, before), before + (after - before) * part))
        found[f"change.{name}"] = (rng.random((TRIALS, at + AFTER)) < rates).astype(np.uint8)
        found[f"at.{name}"] = np.array(at)
    if made is not None:
        with np.load(made) as data:
            for short, name in GENERATED.items():
                found[f"change.{name}"], found[f"at.{name}"] = data[short], np.array(at)
    return found


def _counts(wrong: np.ndarray, labels: int) -> Floats:
    """(…, 4): rights and wrongs as the agent counts them."""
    nothing = np.zeros(wrong.shape)
    return np.stack((labels - wrong.astype(np.float64), nothing, nothing, wrong.astype(np.float64)), axis=-1)
