"""river's detectors on given streams of errors. Runs in an environment of its own: knows nothing of this project.

A job a line on stdin, JSON; answers a line of JSON.
{"make": NPZ, "seeds": K, "labels": N, "at": AT}: writes streams of errors of river's own generators, uint8 (seeds, N)
each, whose concept begins to change at AT.
{"judge": NPZ, "start": K, "tuned_on": NAME}: nulls `null.NAME` (streams, labels) and changes `change.NAME` (trials,
labels), the change at `at.NAME`; the first `start` labels are warm-up. Answers by rule, at its defaults and tuned (the
loosest setting without an alarm in that null): alarms in each null and in how many labels, labels until the first alarm
after each change (0: none), and nanoseconds a label.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from river import drift, linear_model, preprocessing
from river.datasets import synth
from river.drift import binary

SLOW = {"KSWIN": 10_000}  # labels of nulls at most: 0.9 ms each; it remembers 100, so it needs no warm-up
TRAINED, SEA_NOISE = 5_000, 0.1

# Each rule at its defaults first, then stricter and stricter.
RULES: dict[str, list[tuple[str, Callable[[], Any]]]] = {
    "ADWIN": [(f"delta {d:g}", partial(drift.ADWIN, delta=d)) for d in (2e-3, 1e-4, 1e-6, 1e-8, 1e-12)],
    "DDM": [
        (f"{t:g} sigma", partial(binary.DDM, drift_threshold=t, warning_threshold=t - 1.0))
        for t in (3.0, 4.0, 5.0, 6.0, 8.0)
    ],
    "EDDM": [
        (f"beta {b:g}", partial(binary.EDDM, alpha=b + 0.05, beta=b)) for b in (0.9, 0.8, 0.7, 0.6, 0.5)
    ],
    "Page-Hinkley": [
        (f"threshold {t:g}", partial(drift.PageHinkley, threshold=t)) for t in (50.0, 75.0, 100.0, 200.0, 400.0)
    ],
    "HDDM_W": [
        (f"confidence {c:g}", partial(binary.HDDMW, drift_confidence=c, warning_confidence=2 * c))
        for c in (1e-3, 1e-5, 1e-7, 1e-9, 1e-12)
    ],
    "FHDDM": [
        (f"confidence {c:g}", partial(binary.FHDDM, confidence_level=c)) for c in (1e-6, 1e-8, 1e-10, 1e-14, 1e-20)
    ],
    "KSWIN": [(f"alpha {a:g}", partial(drift.KSWIN, alpha=a, seed=1)) for a in (5e-3, 1e-6)],
}


def alarms(make: Callable[[], Any], stream: list[int], start: int) -> Iterator[int]:
    """Labels after which it says drift, from `start` on; it begins anew by itself."""
    detector = make()
    for at, error in enumerate(stream, 1):
        detector.update(error)
        if detector.drift_detected and at > start:
            yield at


def judge(path: str, start: int, tuned_on: str) -> dict[str, Any]:
    with np.load(path) as data:
        streams = {key: data[key] for key in data.files}
    found: dict[str, Any] = {}
    for rule, settings in RULES.items():
        alone = streams[f"null.{tuned_on}"]
        strict = next((each for each in settings if not quiet(rule, each[1], alone, start)[0]), settings[-1])
        of_default = figures(rule, settings[0][1], streams, start)
        tuned = of_default if strict is settings[0] else figures(rule, strict[1], streams, start)
        found[rule] = {"default": {"setting": settings[0][0], **of_default}, "tuned": {"setting": strict[0], **tuned}}
    return found


def figures(rule: str, make: Callable[[], Any], streams: dict[str, np.ndarray], start: int) -> dict[str, Any]:
    began, labels = time.process_time(), 0
    nulls, delays = {}, {}
    for key, array in streams.items():
        kind, _, name = key.partition(".")
        if kind == "null":
            nulls[name] = quiet(rule, make, array, start)
            labels += SLOW.get(rule, array.size)
        elif kind == "change":
            at = int(streams[f"at.{name}"])
            first, trials, last = (at - 200, 2, at + 5_000) if rule in SLOW else (0, None, None)
            told = [next(alarms(make, s[first:last].tolist(), at - first), 0) for s in array[:trials]]
            delays[name] = [found + first - at if found else 0 for found in told]
            labels += sum(found or len(array[0, first:last]) for found in told)
    return {"nulls": nulls, "delays": delays, "ns": (time.process_time() - began) / labels * 1e9}


def quiet(rule: str, make: Callable[[], Any], streams: np.ndarray, start: int) -> list[int]:
    """Alarms after the warm-up, and in how many labels."""
    if rule in SLOW:
        streams, start = streams[:1, start - 200 : start + SLOW[rule]], 200
    count = sum(len(list(alarms(make, stream.tolist(), start))) for stream in streams)
    return [count, streams.shape[0] * (streams.shape[1] - start)]


def sea(seed: int, labels: int, at: int) -> list[int]:
    """SEA (Street and Kim 2001): a model trained on its first concept, frozen; the threshold of 8 becomes 9.5."""
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    for x, y in synth.SEA(variant=0, noise=SEA_NOISE, seed=seed).take(TRAINED):
        model.learn_one(x, y)
    before = synth.SEA(variant=0, noise=SEA_NOISE, seed=seed + 1_000).take(at)
    after = synth.SEA(variant=3, noise=SEA_NOISE, seed=seed + 2_000).take(labels - at)
    return [int(bool(model.predict_one(x)) != bool(y)) for part in (before, after) for x, y in part]


def hyperplane(seed: int, labels: int, at: int) -> list[int]:
    """A hyperplane (Hulten, Spencer and Domingos 2001) that begins to turn, in two of ten dimensions."""
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    still = synth.Hyperplane(seed=seed, n_features=10, n_drift_features=2, noise_percentage=0.05)
    rows = list(still.take(TRAINED + at))
    for x, y in rows[:TRAINED]:
        model.learn_one(x, y)
    # The same seed, so that it begins with the same weights; its rows are those of the training.
    turning = synth.Hyperplane(seed=seed, n_features=10, n_drift_features=2, mag_change=5e-4, noise_percentage=0.05)
    errors = [int(model.predict_one(x) != bool(y)) for x, y in rows[TRAINED:]]
    return errors + [int(model.predict_one(x) != bool(y)) for x, y in turning.take(labels - at)]


def make(path: str, seeds: int, labels: int, at: int) -> dict[str, int]:
    made: dict[str, Any] = {
        name: np.array([source(seed, labels, at) for seed in range(seeds)], dtype=np.uint8)
        for name, source in (("sea", sea), ("hyperplane", hyperplane))
    }
    np.savez(path, **made)
    return dict.fromkeys(made, at)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what it prints is not an answer
    from importlib.metadata import version

    print(json.dumps({"river": version("river")}), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "make" in asked:
            told: Any = make(asked["make"], asked["seeds"], asked["labels"], asked["at"])
        else:
            told = judge(asked["judge"], asked["start"], asked["tuned_on"])
        print(json.dumps(told), file=answers, flush=True)


if __name__ == "__main__":
    main()
