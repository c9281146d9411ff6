"""One story for each kind of fault, as a sender causes it: rows in, findings and what the alert says out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agent.alerting.book import AlertBook, WindowContext
from agent.alerting.machine import advance, explained
from agent.bins import Feature, Layout
from agent.evaluate import Judge
from agent.ledger import Dial
from agent.records import (
    ABSENT,
    NULL,
    PRESENT,
    Batch,
    Closed,
    Columns,
    Finding,
    Flags,
    Kind,
    ModelKey,
    Numbers,
    Source,
    Texts,
    Vectors,
    Verdict,
)
from agent.reference.edges import number_edges
from agent.reference.features import make_feature
from agent.reference.profile import Reference
from agent.reference.schema import FeatureSchema
from agent.reference.survey import NumberSurvey

ROWS = 500
MODEL = ModelKey("credit", "7")


def columns(rng: np.random.Generator, rows: int = ROWS) -> dict[str, object]:
    """What the sender sends on a good day."""
    return {
        "age": Numbers(rng.integers(18, 90, rows).astype(np.float64)),
        "income": Numbers(rng.lognormal(3.0, 0.5, rows)),
        "city": Texts(("Graz", "Linz", "Wien"), rng.integers(0, 3, rows).astype(np.int32)),
        "member": Flags(rng.random(rows) < 0.3),
        "text": Vectors(rng.normal(size=(rows, 4)).astype(np.float32)),
    }


def batch(found: Mapping[str, object], scores: np.ndarray) -> Batch:
    kinds = {Numbers: {}, Texts: {}, Flags: {}, Vectors: {}}  # type: ignore[var-annotated]
    for name, column in found.items():
        kinds[type(column)][name.split("#")[0]] = column
    features = Columns(kinds[Numbers], kinds[Texts], kinds[Flags], kinds[Vectors])
    return Batch(MODEL, len(scores), 0, features, Columns(numbers={"score": Numbers(scores)}))


class World:
    """A reference of forty windows, the judge, and the newest windows."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        income = np.sort(self.rng.lognormal(3.0, 0.5, 20_000))
        survey = NumberSurvey(plots=False)
        survey.add(Numbers(self.rng.beta(2, 5, 20_000)))
        score = make_feature((Source.SCORE, "score"), Kind.NUMBER, FeatureSchema(), survey, self.rng.beta(2, 5, 20_000))
        self.layout = Layout(
            (
                score,
                Feature("age", Source.FEATURE, Kind.NUMBER, edges=(*range(18, 90, 4), 90.0), integral=True),
                Feature("income", Source.FEATURE, Kind.NUMBER, edges=number_edges(income, None, 0.5, 400.0)),
                Feature("city", Source.FEATURE, Kind.TEXT, categories=("Graz", "Linz", "Wien")),
                Feature("member", Source.FEATURE, Kind.FLAG),
                Feature("text", Source.FEATURE, Kind.VECTOR, size=4, group="text"),
            )
        )
        blocks = np.stack([self.counts(self.good(), self.scores()) for _ in range(40)])
        reference = Reference("credit", "7", self.layout, blocks, np.arange(40) * 3600 * 10**9, np.full(40, ROWS))
        self.judge = Judge(reference, Dial(), 3600.0)
        self.recent = [Closed(i, self.counts(self.good(), self.scores()), rows=ROWS) for i in range(24)]

    def good(self, **changed: object) -> dict[str, object]:
        return {**columns(self.rng), **changed}

    def scores(self) -> np.ndarray:
        return self.rng.beta(2, 5, ROWS)

    def counts(self, found: Mapping[str, object], scores: np.ndarray) -> np.ndarray:
        return self.layout.place(batch(found, scores)).count(self.layout.cells).astype(np.int32)

    def close(
        self, found: Mapping[str, object], scores: np.ndarray | None = None, unknown: Mapping[str, int] | None = None
    ) -> list[Finding]:
        counts = self.counts(found, self.scores() if scores is None else scores)
        closed = Closed(self.recent[-1].index + 1, counts, rows=ROWS, unknown=unknown or {})
        self.recent = [*self.recent, closed][-24:]
        return [f for part in self.judge.judge(self.recent) for f in part]

    def told(self, found: list[Finding]) -> str:
        """What the alerts of this close say, all together."""
        context = WindowContext(MODEL, self.recent[-1].index, 0, 3600 * 10**9, ROWS)
        _, changes = advance(AlertBook(), found, context)
        return "\n".join(change.event.body for change in changes if change.event)


def alarms(found: list[Finding]) -> set[tuple[str, str]]:
    return {(f.check, f.subject) for f in explained(AlertBook(), found, MODEL) if f.alarms}


def some(rng: np.random.Generator, share: float, state: int) -> np.ndarray:
    return np.where(rng.random(ROWS) < share, state, PRESENT).astype(np.uint8)


def test_good_days_are_silent() -> None:
    """Eighty windows: nothing alarms."""
    world = World(1)
    for _ in range(80):
        assert alarms(world.close(world.good())) == set()


def test_an_age_turns_from_number_to_text() -> None:
    """Story 5: one alert with the cause; the drift of what is not there is not called noise."""
    world = World(2)
    age = Texts(("41", "52"), (np.arange(ROWS) % 2).astype(np.int32))
    found = world.close(world.good(age=age))
    assert alarms(found) == {("type_mismatch", "age")}
    assert f"age: not a number in any of {ROWS} rows: its type has changed" in world.told(found)
    drift = next(f for f in explained(AlertBook(), found, MODEL) if f.check == "drift" and f.subject == "age")
    assert drift.verdict is Verdict.MUTED
    assert drift.reason.startswith("too few of its values are there to be judged")
    other = next(f for f in explained(AlertBook(), found, MODEL) if f.check == "drift" and f.subject == "income")
    assert other.verdict is Verdict.WITHIN_NOISE


def test_a_feature_is_renamed() -> None:
    """The old name is absent and the new one unknown: one alert, that says both in one sentence."""
    world = World(3)
    found = world.good()
    del found["age"]
    said = world.close(found, unknown={"Age": ROWS})
    assert alarms(said) == {("absent", "age")}
    told = world.told(said)
    assert f"age: absent in all {ROWS} rows: the sender no longer sends it; new in its place: 'Age'" in told


def test_one_replica_of_three_renames() -> None:
    """What is absent from a third of the rows, and what is new in as many, belong together; a flag in all of them, and
    one in a few, do not."""
    world = World(11)
    state = some(world.rng, 1 / 3, ABSENT)
    gone = int(np.count_nonzero(state == ABSENT))
    third = Numbers(world.rng.integers(18, 90, ROWS).astype(np.float64), state)
    said = world.close(world.good(age=third), unknown={"years": gone, "flag": ROWS, "trace": gone // 3})
    assert "new in its place: 'years'." in world.told(said)
    assert "reference 0.0 %); new in its place" in world.told(said)


def test_two_features_are_renamed() -> None:
    """Each is told with the name that is most like its own."""
    world = World(12)
    found = world.good()
    del found["age"], found["income"]
    told = world.told(world.close(found, unknown={"Age": ROWS, "income_eur": ROWS, "k": ROWS}))
    assert "age: absent in all 500 rows: the sender no longer sends it; new in its place: 'Age';" in told
    assert "income: absent in all 500 rows: the sender no longer sends it; new in its place: 'income_eur'" in told


def test_a_debugging_field_is_information_only() -> None:
    """INFO, by name, and no other alert; a sender that makes up names fills no alert with them."""
    world = World(4)
    context = WindowContext(MODEL, 25, 0, 10**9, ROWS)
    _, changes = advance(AlertBook(), world.close(world.good(), unknown={"trace": 40}), context)
    assert [(c.alert, c.event.severity) for c in changes if c.event] == [("new_feature", "INFO")]
    found = world.close(world.good(), unknown={f"made_up_{i}": 1 + i for i in range(300)})
    assert len(found) < 100
    assert alarms(found) == {("new_feature", f"made_up_{i}") for i in range(280, 300)}
    assert [f.subject for f in found if "; 280 more that are new are not named" in f.reason] == ["made_up_299"]


def test_a_tenth_of_incomes_is_null() -> None:
    """A join that lost some: missing, by share, and nothing else."""
    world = World(5)
    income = Numbers(world.rng.lognormal(3.0, 0.5, ROWS), some(world.rng, 0.1, NULL))
    assert alarms(world.close(world.good(income=income))) == {("missing", "income")}


def test_a_client_leaves_the_key_out() -> None:
    """One client in five sends no city any more: absent, not null."""
    world = World(6)
    city = Texts(("Graz", "Linz"), np.zeros(ROWS, np.int32) + (np.arange(ROWS) % 2).astype(np.int32))
    found = world.close(world.good(city=Texts(city.dictionary, city.codes, some(world.rng, 0.2, ABSENT))))
    assert ("absent", "city") in alarms(found)
    assert ("missing", "city") not in alarms(found)


def test_ages_become_averages() -> None:
    """A household's mean age in place of an age: whole numbers no more, in the same range."""
    world = World(7)
    values = world.rng.integers(18, 90, ROWS).astype(np.float64)
    values[:50] = np.clip(values[:50] + 0.5, 18, 89.5)
    found = world.close(world.good(age=Numbers(values)))
    assert alarms(found) == {("fractional", "age")}
    assert f"age: 10.0 % of {ROWS} values are no whole numbers (reference" in world.told(found)


def test_a_flag_and_a_number_are_stuck() -> None:
    """A default for everyone: both are named, their drift is not told beside it."""
    world = World(8)
    found = world.close(world.good(member=Flags(np.zeros(ROWS, bool)), income=Numbers(np.full(ROWS, 20.0))))
    assert alarms(found) == {("constant", "member"), ("constant", "income")}
    assert "stuck?" in world.told(found)


def test_a_division_by_zero() -> None:
    """Infinite incomes in one row of twenty."""
    world = World(9)
    values = world.rng.lognormal(3.0, 0.5, ROWS)
    values[::20] = np.inf
    assert alarms(world.close(world.good(income=Numbers(values)))) == {("not_finite", "income")}


def test_a_town_nobody_knows() -> None:
    """A new branch opens: three of a hundred rows."""
    world = World(10)
    codes = world.rng.integers(0, 3, ROWS)
    codes[:15] = 3
    city = Texts(("Graz", "Linz", "Wien", "Bregenz"), codes.astype(np.int32))
    assert alarms(world.close(world.good(city=city))) == {("new_category", "city")}


def test_a_score_leaves_its_range() -> None:
    """One score of 1.7 among 500: no probability is; the reference's scores said so without being asked."""
    world = World(11)
    scores = world.scores()
    scores[0] = 1.7
    found = world.close(world.good(), scores)
    assert alarms(found) == {("out_of_range", "score")}
    assert "score: 1 of 500 values outside the possible range: the schema's rule allows none" in world.told(found)


def test_an_embedding_changes_its_size() -> None:
    """Another text model: vectors of six numbers instead of four are of another type."""
    world = World(12)
    found = world.close(world.good(text=Vectors(np.zeros((ROWS, 6), np.float32))))
    assert alarms(found) == {("type_mismatch", "text")}
    assert f"text: not a vector of 4 in any of {ROWS} rows: its type or size has changed" in world.told(found)
