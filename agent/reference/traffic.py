"""What a buffer of traffic says about each value: its type, and the bins it should have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from agent.bins import Feature
from agent.records import ABSENT, PRESENT, Batch, Columns, Flags, Kind, Numbers, Source, Texts, Vectors
from agent.reference.features import make_feature
from agent.reference.schema import FeatureSchema
from agent.reference.survey import NumberSurvey, count_texts
from agent.sketches.frequent import FrequentTexts

FEATURES_MAX = 1000  # the most often present ones
WATCHED_OUTPUT = re.compile(r"(?:(.*?)\.)?(prediction|score|score:.*)", re.DOTALL)

Column = Numbers | Texts | Flags | Vectors
C = TypeVar("C", Numbers, Texts, Flags, Vectors)
Name = tuple[Source, str]


def stripped(batch: Batch, segments: Sequence[str] = ()) -> Batch:
    """Only what bins are made from: features, predictions and scores; and these segment keys, unless protected.

    Columns that no row of the batch has are left out: gathered rows bring those of earlier rows, until a restart.
    """
    features, outputs = (
        Columns(_sent(part.numbers), _sent(part.texts), _sent(part.flags), _sent(part.vectors))
        for part in (batch.features, batch.outputs)
    )
    outputs = Columns(
        numbers={name: column for name, column in outputs.numbers.items() if _source(name) is not None},
        texts={name: column for name, column in outputs.texts.items() if _source(name) is Source.PREDICTION},
        flags={name: column for name, column in outputs.flags.items() if _source(name) is Source.PREDICTION},
    )
    keys = _sent(batch.segments).items()
    named = {key: column for key, column in keys if key in segments and key not in batch.protected}
    return Batch(batch.model, batch.rows, batch.arrived_ns, features, outputs, segments=named)


def _sent(columns: Mapping[str, C]) -> dict[str, C]:
    """Those that some row has, be it a null."""
    return {name: column for name, column in columns.items() if column.state is None or (column.state != ABSENT).any()}


def width(batch: Batch) -> int:
    """Values a row, a vector's entries one by one."""
    found = vector_entries(batch)
    for columns in (batch.features, batch.outputs):
        found += len(columns.numbers) + len(columns.texts) + len(columns.flags)
    return found


def vector_entries(batch: Batch) -> int:
    """Entries of all vectors of a row together."""
    return sum(vectors.values.shape[1] for vectors in batch.features.vectors.values())


def features_of(batches: Sequence[Batch]) -> tuple[Feature, ...]:
    """Every value of these batches with bins: predictions, scores, then features, each by name.

    One that came in several types is watched as the most frequent; one that never had a value gets a bin that says
    nothing.
    """
    found: dict[Name, dict[Kind, list[Column]]] = {}
    for batch in batches:
        for name, kind, column in _columns(batch):
            found.setdefault(name, {}).setdefault(kind, []).append(column)
    present = {
        name: {kind: sum(map(_present, columns)) for kind, columns in kinds.items()} for name, kinds in found.items()
    }
    kept = _lone_scores(sorted(found))
    kept = sorted(kept, key=lambda name: (name[0] is Source.FEATURE, -max(present[name].values()), name))[:FEATURES_MAX]
    order = {Source.PREDICTION: 0, Source.SCORE: 1, Source.FEATURE: 2}
    features = []
    for name in sorted(kept, key=lambda name: (order[name[0]], name[1])):
        kind = max(present[name], key=lambda kind: (present[name][kind], -kind))
        features.append(_feature(name, kind, found[name][kind]))
    return tuple(features)


def _source(output: str) -> Source | None:
    """What an output's column is, by its name: `prediction`, `score`, `score:CLASS`, each perhaps after `NAME.`."""
    match = WATCHED_OUTPUT.fullmatch(output)
    if match is None:
        return None
    return Source.PREDICTION if match[2] == "prediction" else Source.SCORE


def _columns(batch: Batch) -> Iterator[tuple[Name, Kind, Column]]:
    for columns, is_output in ((batch.outputs, True), (batch.features, False)):
        tables: tuple[tuple[Kind, Iterable[tuple[str, Column]]], ...] = (
            (Kind.NUMBER, columns.numbers.items()),
            (Kind.TEXT, columns.texts.items()),
            (Kind.FLAG, columns.flags.items()),
            (Kind.VECTOR, columns.vectors.items()),
        )
        for kind, table in tables:
            for name, column in table:
                source = _source(name) if is_output else Source.FEATURE
                if source is not None:
                    yield (source, name), kind, column


def _lone_scores(names: Sequence[Name]) -> list[Name]:
    """One score an output: the lone one, else that of the only class or of the last of two; more classes: none."""
    classes: dict[str, list[Name]] = {}
    kept = [name for name in names if name[0] is not Source.SCORE]
    for name in names:
        if name[0] is Source.SCORE and (match := WATCHED_OUTPUT.fullmatch(name[1])):
            classes.setdefault(match[1] or "", []).append(name)
    for scores in classes.values():
        lone = [name for name in scores if not name[1].rpartition(".")[2].startswith("score:")]
        by_class = [name for name in scores if name not in lone]
        if lone:
            kept += lone
        elif len(by_class) <= 2:
            kept.append(max(by_class))
    return kept


def _present(column: Column) -> int:
    if column.state is not None:
        return int(np.count_nonzero(column.state == PRESENT))
    return len(column.codes) if isinstance(column, Texts) else len(column.values)


def _feature(name: Name, kind: Kind, columns: Sequence[Column]) -> Feature:
    nothing = FeatureSchema()
    if kind is Kind.NUMBER:
        survey = NumberSurvey(plots=False)
        values = np.concatenate([_values(c) for c in columns if isinstance(c, Numbers)])
        survey.add(Numbers(values))
        return make_feature(name, kind, nothing, survey, values[np.isfinite(values)])
    texts = FrequentTexts()
    sizes: Counter[int] = Counter()
    for column in columns:
        if isinstance(column, Texts):
            texts.add(count_texts(column))
        elif isinstance(column, Vectors):
            sizes[column.values.shape[1]] += _present(column)
    size = max(sizes, key=lambda size: (sizes[size], size), default=0)
    return make_feature(name, kind, nothing, texts if kind is Kind.TEXT else None, np.empty(0), size)


def _values(column: Numbers) -> np.ndarray:
    return column.values if column.state is None else column.values[column.state == PRESENT]
