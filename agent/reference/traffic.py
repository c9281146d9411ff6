"""What a buffer of traffic says about each value: its type, and the bins it should have."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from agent.bins import Feature
from agent.errors import UnusableReferenceError
from agent.records import ABSENT, PRESENT, Batch, Columns, Flags, Kind, Numbers, Source, Texts, Vectors
from agent.reference.features import make_feature
from agent.reference.schema import FeatureSchema, Schema
from agent.reference.survey import NumberSurvey, count_texts
from agent.sketches.frequent import FrequentTexts

FEATURES_MAX = 1000  # the most often present ones
WATCHED_OUTPUT = re.compile(r"(?:(.*?)\.)?(prediction|score|score:.*)", re.DOTALL)

NOTHING, NO_SCHEMA = FeatureSchema(), Schema()
log = logging.getLogger("sidelight.reference")

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


def features_of(batches: Sequence[Batch], schema: Schema = NO_SCHEMA) -> tuple[Feature, ...]:
    """Every value of these batches with bins: predictions, scores, then features, each by name.

    One that came in several types is watched as the most frequent, or as the schema says; one that never had a value
    gets a bin that says nothing, and one that never came is there where the schema gives its type.
    """
    found: dict[Name, dict[Kind, list[Column]]] = {}
    for batch in batches:
        for name, kind, column in _columns(batch):
            if name[0] is not Source.FEATURE or name[1] not in schema.protected:
                found.setdefault(name, {}).setdefault(kind, []).append(column)
    for name, said in schema.features.items():  # what is demanded of a value is demanded of one that never comes
        if said.kind in (Kind.NUMBER, Kind.TEXT, Kind.FLAG) and not any(_said(schema, n) is said for n in found):
            found[name] = {said.kind: []}
    present = {
        name: {kind: sum(map(_present, columns)) for kind, columns in kinds.items()} for name, kinds in found.items()
    }
    kept = _lone_scores(sorted(found))
    kept = sorted(kept, key=lambda name: (
        name[0] is Source.FEATURE, name not in schema.features, -max(present[name].values()), name
    ))[:FEATURES_MAX]  # fmt: skip
    order = {Source.PREDICTION: 0, Source.SCORE: 1, Source.FEATURE: 2}
    features = []
    for name in sorted(kept, key=lambda name: (order[name[0]], name[1])):
        said = _said(schema, name)
        kind = said.kind or max(present[name], key=lambda kind: (present[name][kind], -kind))
        features.append(_feature(name, kind, found[name].get(kind, []), said))
    return tuple(features)


def _said(schema: Schema, name: Name) -> FeatureSchema:
    return schema.of_value(*name) or NOTHING


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


def _feature(name: Name, kind: Kind, columns: Sequence[Column], said: FeatureSchema) -> Feature:
    if kind is Kind.NUMBER:
        survey = NumberSurvey(plots=False)
        values = np.concatenate([np.empty(0), *(_values(c) for c in columns if isinstance(c, Numbers))])
        survey.add(Numbers(values))
        return make_feature(name, kind, said, survey, values[np.isfinite(values)])
    texts = FrequentTexts()
    sizes: Counter[int] = Counter()
    for column in columns:
        if isinstance(column, Texts):
            texts.add(count_texts(column))
        elif isinstance(column, Vectors):
            sizes[column.values.shape[1]] += _present(column)
    size = max(sizes, key=lambda size: (sizes[size], size), default=0)
    if kind is not Kind.TEXT:
        return make_feature(name, kind, said, None, np.empty(0), size)
    try:
        return make_feature(name, kind, said, texts, np.empty(0), size)
    except UnusableReferenceError as error:  # too many texts to be closed: the rest of what is said holds
        log.warning("schema_not_applied %s", error)
        return make_feature(name, kind, replace(said, closed=None), texts, np.empty(0), size)


def _values(column: Numbers) -> np.ndarray:
    return column.values if column.state is None else column.values[column.state == PRESENT]
