"""Vectors and whole rows as the agent judges them: what is found, how soon, in whose name; quiet stays quiet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from agent.alerting.wording import drift_words
from agent.bins import Feature, Layout
from agent.bins.projections import RowProjection
from agent.counting.windows import Series
from agent.drift.groups import Grouped, moved
from agent.ledger import Dial, Ledger
from agent.records import Batch, Closed, Columns, Finding, Floats, Kind, ModelKey, Numbers, Source, Texts, Verdict
from tests.drift.rows import KEY, counted, delay, findings, judging, numbers, reference_of, vectors

SIZE, FEATURES, CLUSTERS = 64, 20, 3
ROWS, WINDOWS = 1000, 50
SPECTRUM = 1.0 / np.sqrt(np.arange(1, SIZE + 1))


class Embeddings:
    """An anisotropic mixture of three clusters, in a random basis, far from the origin."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.turn = np.linalg.qr(self.random.normal(size=(SIZE, SIZE)))[0]
        self.centres = self.random.normal(size=(CLUSTERS, SIZE)) * SPECTRUM @ self.turn + 2.0
        self.reference = reference_of([vectors(self.draw()) for _ in range(WINDOWS)])

    def draw(self, clusters: int = CLUSTERS) -> Floats:
        values = (self.random.normal(size=(ROWS, SIZE)) * SPECTRUM) @ self.turn
        return np.asarray(values + self.centres[self.random.integers(0, clusters, ROWS)], dtype=np.float64)

    @property
    def length(self) -> float:
        """Root of the mean squared distance from the mean."""
        values = self.draw()
        return float(np.sqrt(np.square(values - values.mean(axis=0)).sum(axis=1).mean()))


@pytest.fixture(scope="module")
def embeddings() -> Embeddings:
    return Embeddings(0)


def correlated(random: np.random.Generator, correlation: float, rows: int = ROWS) -> Floats:
    """Twenty features, two of them correlated; marginals do not depend on it, and are not all normal."""
    values = random.normal(size=(rows, FEATURES))
    values[:, 1] = correlation * values[:, 0] + np.sqrt(1.0 - correlation**2) * values[:, 1]
    values[:, ::3] = np.exp(values[:, ::3])
    values[:, 1::5] = np.round(values[:, 1::5] * 2.0)
    return values


def test_a_rotated_embedding_is_found_in_the_first_window(embeddings: Embeddings) -> None:
    """Another model's embedding, say: all lengths are as before, no entry is strange."""
    turned = [vectors(embeddings.draw() @ embeddings.turn)]
    assert delay(embeddings.reference, turned, "embedding") == 1


def test_a_shift_along_any_line_is_found(embeddings: Embeddings) -> None:
    """A tenth of the typical distance from the mean, in a random direction: within two windows."""
    line = embeddings.random.normal(size=SIZE)
    line *= 0.1 * embeddings.length / np.linalg.norm(line)
    shifted = [vectors(embeddings.draw() + line) for _ in range(2)]
    assert delay(embeddings.reference, shifted, "embedding") in (1, 2)


def test_a_cluster_that_vanishes_is_found_and_said(embeddings: Embeddings) -> None:
    """One of three: the first window; the finding bears the vector's name and the ledger's alpha for a part of it."""
    window = counted(embeddings.reference, vectors(embeddings.draw(clusters=2)))
    found = findings(judging(embeddings.reference), [window])
    assert list(found) == ["embedding"]
    finding = found["embedding"]
    assert finding.alarms
    assert finding.source is Source.FEATURE
    assert "more of its 16 parts" in finding.reason
    layout = embeddings.reference.layout
    ledger = Ledger.of(Dial(), layout, 3600.0)
    # The parts of one vector share what one feature gets: with one horizon there yet, all that its six would spend.
    budget = sum(ledger.alpha("drift", i) for i in range(len(layout.features)))
    assert 16 * finding.alpha == pytest.approx(6 * budget)


def test_a_broken_correlation_is_found_though_no_feature_shows_it() -> None:
    """0.8 to 0 between two of twenty: the first window; to 0.4 within two. The two are named, nothing else alarms."""
    random = np.random.default_rng(1)
    reference = reference_of([numbers(correlated(random, 0.8)) for _ in range(WINDOWS)])
    found = findings(judging(reference), [counted(reference, numbers(correlated(random, 0.0)))])
    assert [name for name, finding in found.items() if finding.alarms] == ["row"]
    assert found["row"].source is Source.ROW
    assert found["row"].reason.startswith("the relation between f00 and f01 has changed")
    words = drift_words(found["row"], lambda change: change.label)
    assert "rows): the relation between f00 and f01 has changed, and along" in words
    half = [numbers(correlated(random, 0.4)) for _ in range(2)]
    assert delay(reference, half, "row") in (1, 2)


def _beside_texts(random: np.random.Generator, correlation: float, rows: int = 300) -> Batch:
    """Six texts that go with nothing, and the twenty features, two of them correlated."""
    told = {
        f"t{j}": Texts(tuple("abcd"), random.choice(4, rows, p=(0.5, 0.25, 0.2, 0.05)).astype(np.int32))
        for j in range(6)
    }
    batch = numbers(correlated(random, correlation, rows))
    return replace(batch, features=replace(batch.features, texts=told))


def test_texts_take_no_direction_from_a_broken_relation() -> None:
    """A text's categories exclude each other; that is no relation between features. 0.5 to 0 in the first window."""
    random = np.random.default_rng(5)
    reference = reference_of([_beside_texts(random, 0.5) for _ in range(3 * WINDOWS)])
    found = findings(judging(reference), [counted(reference, _beside_texts(random, 0.0))])
    assert [name for name, finding in found.items() if finding.alarms] == ["row"]
    assert "f00" in found["row"].reason
    (projection,) = reference.layout.projections
    assert isinstance(projection, RowProjection)
    of_pair = {name for k in (0, len(projection.shown) - 1) for name, share in projection.weights(k) if share > 0.3}
    assert of_pair == {"f00", "f01"}


@pytest.mark.parametrize("drifting", ["number", "text"])
def test_a_small_part_in_a_direction_of_categories_is_an_echo_too(drifting: str) -> None:
    """Currency follows country: their direction holds a few values, and the least weight beside them moves all bins."""
    random = np.random.default_rng(6)

    def draw(shift: float, rows: int = 600) -> Batch:
        country = random.choice(4, rows, p=(0.4, 0.3, 0.2, 0.1)).astype(np.int32)
        shares = (0.6 - shift / 4.0, 0.4 + shift / 4.0) if drifting == "text" else (0.6, 0.4)
        plan = random.choice(2, rows, p=shares).astype(np.int32)
        told = {"country": Texts(tuple("ABCD"), country), "currency": Texts(tuple("abcd"), country),
                "plan": Texts(("x", "y"), plan)}  # fmt: skip
        values = {"amount": Numbers(random.normal(shift if drifting == "number" else 0.0, 1.0, rows))}
        return Batch(KEY, rows, 0, Columns(values, told), Columns())

    reference = reference_of([draw(0.0) for _ in range(WINDOWS)])
    measure, recent = judging(reference), [counted(reference, draw(1.0)) for _ in range(8)]
    for many in (1, 4, 8):
        found = findings(measure, recent[:many])
        alarming = [name for name, finding in found.items() if finding.alarms]
        assert alarming == ["amount" if drifting == "number" else "plan"], found["row"].reason


def test_a_direction_of_many_features_names_none() -> None:
    """Forty features of one cause: each has a fortieth of the direction, and none is the one to look at."""
    random = np.random.default_rng(3)
    windows = [random.normal(size=(ROWS, 40)) + 2.0 * random.normal(size=(ROWS, 1)) for _ in range(10)]
    (projection,) = reference_of([numbers(values) for values in windows]).layout.projections
    words = moved(projection)
    assert any(said.endswith("a sum made of many features, of each a little") for said in words.values())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ([5], "the relation of f05 to the other features has changed"),
        ([8, 3], "how the features go together has changed"),
    ],
)
def test_only_a_feature_whose_loss_explains_what_is_seen_is_named(changed: list[int], said: str) -> None:
    """Three factors in twenty features. One feature in a random order is named though each direction is made of many;
    two that were swapped fit no single one's loss: nobody is named."""
    random = np.random.default_rng(7)
    loads = random.normal(size=(3, FEATURES))

    def draw() -> Floats:
        return np.asarray(random.normal(size=(ROWS, 3)) @ loads + random.normal(size=(ROWS, FEATURES)))

    reference = reference_of([numbers(draw()) for _ in range(WINDOWS)])
    values = draw()
    values /= values.std(axis=0)
    if len(changed) == 1:
        values[:, changed[0]] = random.permutation(values[:, changed[0]])
    else:
        values[:, changed] = values[:, changed[::-1]]
    scaled = np.sqrt(np.square(loads).sum(axis=0) + 1.0)
    found = findings(judging(reference), [counted(reference, numbers(values * scaled))])
    assert found["row"].alarms
    assert found["row"].reason.startswith(said)


def test_a_row_that_echoes_one_feature_is_muted() -> None:
    """The feature says it itself. A relation that breaks beside it is still said."""
    random = np.random.default_rng(2)
    reference = reference_of([numbers(correlated(random, 0.8)) for _ in range(WINDOWS)])
    shifted, both = correlated(random, 0.8), correlated(random, 0.0)
    shifted[:, 0] *= 3.0
    both[:, 7] += 2.0
    found = findings(judging(reference), [counted(reference, numbers(shifted))])
    assert [name for name, finding in found.items() if finding.alarms] == ["f00"]
    assert found["row"].verdict is Verdict.MUTED
    assert "f00 drifted by itself" in found["row"].reason
    found = findings(judging(reference), [counted(reference, numbers(both))])
    assert sorted(name for name, finding in found.items() if finding.alarms) == ["f07", "row"]
    assert any(part <= {"f00", "f01"} for part in found["row"].made_of)


def _quiet_numbers(random: np.random.Generator) -> Callable[[], np.ndarray]:
    loads = random.normal(size=(3, FEATURES))
    return lambda: random.normal(size=(200, 3)) @ loads + random.normal(size=(200, FEATURES))


@pytest.mark.parametrize("seed", range(2))
def test_quiet_rows_and_vectors_stay_quiet(seed: int) -> None:
    """Two days of correlated rows, N = 10,000: the fitted rows' own luck is not taken for the truth. At a dial of 1 a
    day the row's share is 0.06 a day, a vector's 0.62: as many windows alarm as it gives, or a true rate there would
    bring so many once in a thousand times."""
    random = np.random.default_rng(seed)
    draw = _quiet_numbers(random)
    for make in (numbers, vectors):
        reference = reference_of([make(draw()) for _ in range(WINDOWS)])
        measure = judging(reference, dial=1.0)
        windows = [counted(reference, make(draw())) for _ in range(48)]
        alarms = [
            name for end in range(1, 49) for name, finding in findings(measure, windows[max(0, end - 24) : end]).items()
            if finding.alarms and name in ("row", "embedding")
        ]  # fmt: skip
        assert len(alarms) <= stats.poisson.isf(1e-3, 2 * 0.7)


def test_a_vector_without_directions_is_said_to_be_blind() -> None:
    """Too few vectors in the reference: no parts, one finding that says so."""

    class Silent:
        def judge(self, recent: object) -> list[list[Finding]]:
            return []

    layout = Layout((Feature("e", Source.FEATURE, Kind.VECTOR, size=8, group="e"),))
    found = [f for part in Grouped(Silent(), layout, np.zeros(layout.cells, np.int64)).judge([]) for f in part]  # type: ignore[arg-type]
    assert [(f.subject, f.verdict) for f in found] == [("e", Verdict.NO_REFERENCE)]


def test_a_text_of_which_chance_listed_every_value_says_why_it_is_not_judged() -> None:
    """Ids have no shares that could drift: one finding with the reason, none for a text with few values."""

    class Silent:
        def judge(self, recent: object) -> list[list[Finding]]:
            return []

    names = tuple(f"v{i}" for i in range(9))
    texts = tuple(Feature(name, Source.FEATURE, Kind.TEXT, categories=names) for name in ("id", "kind"))
    layout = Layout((*texts, Feature("uuid", Source.FEATURE, Kind.TEXT, seen=frozenset(range(9)))))
    counts = np.zeros(layout.cells, dtype=np.int64)
    counts[layout.slice(2)][:2] = [65_536, 30_000]
    counts[layout.slice(0)][:10] = [*range(8, 17), 4_000]
    counts[layout.slice(1)][:10] = [*range(300, 390, 10), 0]
    found = [f for part in Grouped(Silent(), layout, counts).judge([]) for f in part]  # type: ignore[arg-type]
    assert [(f.subject, f.verdict) for f in found] == [(name, Verdict.NO_REFERENCE) for name in ("id", "uuid")]
    assert all("chance" in f.reason for f in found)


def test_a_resolved_alert_forgets_every_part(embeddings: Embeddings) -> None:
    """Else one part's past would fire it again."""
    layout = embeddings.reference.layout
    series = Series(ModelKey("model", "1"), 3600 * 10**9, embeddings.reference, None)
    series.recent.append(Closed(1, counted(embeddings.reference, vectors(embeddings.draw()))))
    assert series.recent[0].counts.sum() == 17 * ROWS
    series.forget(Source.FEATURE, "embedding")
    assert [series.recent[0].counts[layout.slice(i)].sum() for i in range(len(layout.features))] == [0] * 17
