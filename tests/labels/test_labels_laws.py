"""Laws of the join, whatever comes in whatever order, over restarts and background work."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.labels import index, log, runs, sieve
from agent.labels.sieve import Sieve
from tests.labels.label_worlds import Said, again, batch, desk, hashes, joined, labels, settled

PREDICTIONS = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from("12"), st.integers(0, 5)), max_size=10, unique_by=lambda p: p[:2]
)
SAID = st.lists(
    st.builds(Said, st.sampled_from(["yes", "no"]), st.integers(0, 14))
    | st.builds(lambda truth, request: Said(truth, request=request), st.sampled_from(["yes", "no"]), st.integers(0, 7)),
    max_size=10,
)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files so small that a few predictions fill several, and every path is gone."""
    monkeypatch.setattr(index, "MEMORY", 4)
    monkeypatch.setattr(index, "FANOUT", 2)
    monkeypatch.setattr(log, "SEGMENT_ROWS", 5)
    monkeypatch.setattr(log, "BUFFER_ROWS", 2)
    monkeypatch.setattr(sieve, "SIEVED_MIN", 2)


Step = Said | tuple[int, str, int]


def _steps(predictions: list[tuple[int, str, int]], said: list[Said], order: list[int]) -> list[Step]:
    steps: list[Step] = [*predictions, *said]
    return [steps[i] for i in order]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_every_label_is_of_one_kind_and_every_prediction_joined_once(data: st.DataObject) -> None:
    """received = joined + early + repeated + changed + unknown + unsampled + waiting, at any moment; no prediction is
    joined twice; and a prediction is joined where any label names it."""
    predictions, said = data.draw(PREDICTIONS), data.draw(SAID)
    order = data.draw(st.permutations(range(len(predictions) + len(said))))
    kinds, size = st.sampled_from(["settle", "work", "again", ""]), len(order)
    between = data.draw(st.lists(kinds, min_size=size, max_size=size))
    found: Counter[tuple[str, int, str]] = Counter()
    with TemporaryDirectory() as folder:
        held = desk(Path(folder))
        for step, then in zip(_steps(predictions, said, list(order)), between, strict=True):
            if isinstance(step, Said):
                held.labelled(labels([step]))
            else:
                number, version, request = step
                found += joined(held.predicted(batch([number], version, [request])))
            if then == "settle":
                found += joined(held.settle())
            if then == "work":
                held.work_now()
            if then == "again":
                held = again(held)
            assert settled(held) == held.kept.kinds["received"]
        found += joined(held.settle())
        assert settled(held) == held.kept.kinds["received"] == len(said)
        held.close()
    pairs = Counter((version, number) for version, number, _ in found.elements())
    assert set(pairs.values()) <= {1}
    named = {one.id for one in said if one.id is not None}
    asked = {one.request for one in said if one.request is not None}
    for number, version, request in predictions:
        key = (version, int(hashes("p-", [number])[0]))
        # The id is marked for every version at once: one that comes after the label was joined is not joined any more.
        others = [p for p in predictions if p[0] == number and p[1] != version]
        if (number in named or request in asked) and not others:
            assert pairs[key] == 1, (number, version)
        if number not in named and request not in asked and not others:
            assert pairs[key] == 0


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_order_of_arrival_joins_the_same(data: st.DataObject) -> None:
    """Predictions first, labels first, or mixed: the same pairs, as long as no label contradicts another."""
    numbers = data.draw(st.lists(st.integers(0, 30), max_size=14, unique=True))
    named = data.draw(st.lists(st.integers(0, 30), max_size=14))
    first: Counter[tuple[str, int, str]] | None = None
    for _ in range(3):
        steps = data.draw(st.permutations([("p", n) for n in numbers] + [("l", n) for n in named]))
        with TemporaryDirectory() as folder:
            held = desk(Path(folder))
            found: Counter[tuple[str, int, str]] = Counter()
            for kind, group in itertools.groupby(steps, key=lambda step: step[0]):
                many = [number for _, number in group]
                if kind == "p":
                    found += joined(held.predicted(batch(many)))
                else:
                    held.labelled(labels([Said("yes" if n % 3 else "no", n) for n in many]))
                if data.draw(st.booleans()):
                    found += joined(held.settle())
            found += joined(held.settle())
            held.close()
        assert first is None or found == first
        first = found


@given(
    st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=40), min_size=1, max_size=5),
    st.lists(st.integers(0, 62), unique=True, max_size=20),
)
@settings(max_examples=60, deadline=None)
def test_a_merge_of_runs_finds_what_the_runs_found(parts: list[list[int]], asked: list[int]) -> None:
    """Merged at once, or two first and then the rest: the same entries."""
    live = np.array([1], dtype=np.int64)
    entries = [
        (np.sort(np.array(part, np.uint64)), runs.where(runs.ROW, 1, np.arange(len(part)) + 100 * i))
        for i, part in enumerate(parts)
    ]
    keys = np.sort(np.array(asked, np.uint64))
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "CHUNK", 8)
        patch.setattr(runs, "BLOCK", 4)
        patch.setattr(runs, "FEW", 2)
        made = [_run(Path(folder) / f"run-{i}", [one], i) for i, one in enumerate(entries)]
        whole = _run(Path(folder) / "run-10", list(runs.merged(made, live, live)), 10)
        first = _run(Path(folder) / "run-11", list(runs.merged(made[:2], live, live)), 11)
        stepwise = _run(Path(folder) / "run-12", list(runs.merged([first, *made[2:]], live, live)), 12)
        expected = sorted(
            (int(k), int(w)) for own, wheres in entries for k, w in zip(own, wheres, strict=True) if k in keys
        )
        for found in (whole, stepwise):
            at, wheres = found.find(Sieve(keys))
            assert sorted(zip(keys[at].tolist(), wheres.tolist(), strict=True)) == expected
        for run in (*made, whole, first, stepwise):
            run.drop()


def _run(path: Path, parts: list[runs.Entries], number: int) -> runs.Run:
    assert runs.write(path, parts)
    return runs.Run.open(path, number)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.integers(0, 4)), min_size=1, max_size=60),
    st.sets(st.integers(0, 4)),
    st.sets(st.integers(0, 4)),
)
def test_of_sorted_entries_those_stay_that_mean_something(
    entries: list[tuple[int, bool, int]], live: set[int], sifted: set[int]
) -> None:
    """Marks of files that are known, rows of files that there are; no row where a mark of its key stays."""
    entries.sort(key=lambda entry: entry[0])
    known, kinds = live | sifted, (runs.ROW, runs.MARK)
    keys = np.array([key for key, _, _ in entries], np.uint64)
    made = [runs.where(kinds[mark], file, np.array([i]))[0] for i, (_, mark, file) in enumerate(entries)]
    numbers = [np.array(sorted(those), dtype=np.int64) for those in (live, known)]
    found, wheres = runs.kept(keys, np.array(made, np.uint64), numbers[0], numbers[1])
    marked = {key for key, mark, file in entries if mark and file in known}
    stay = [i for i, (k, m, f) in enumerate(entries) if (f in known if m else f in live and k not in marked)]
    assert runs.low_of(wheres).tolist() == stay
    assert found.tolist() == [entries[i][0] for i in stay]
