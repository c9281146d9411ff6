"""Rows on the wire to columns inside: rows of one model are gathered over messages and turned into columns a few
hundred at a time, for numpy costs more per call than per value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from agent.counting.fingerprints import identities
from agent.errors import RefusedError
from agent.ingest.alike import Alike, batch
from agent.ingest.fields import (
    Field,
    beside,
    coded,
    items_of,
    number_columns,
    padded,
    state_of,
    text_columns,
    vector_columns,
    with_state,
)
from agent.ingest.limits import Limits
from agent.ingest.merged import merged
from agent.ingest.row import TEXTUAL, check_keys, check_text, start_ns, too_many, traceparent
from agent.records import ABSENT, NULL, Batch, Columns, Flags, ModelKey, Numbers, Texts
from agent.traces.traced import NO_TRACES, STATE_MAX, Trace, Traces, error_type
from agent.wire import recorder_pb2 as wire
from agent.wire import rows_pb2 as rows_wire

RARE = ("flags", "vectors", "measures", "segments", "protected")
Outputs = tuple[dict[str, float], dict[str, str]]  # numbers and texts by name


@dataclass(slots=True)
class Gathering:
    """Rows of one model on their way to a batch. One owner: the door fills it, the counting takes it."""

    model: ModelKey
    arrived_ns: int
    limits: Limits
    numbers: Field = field(default_factory=Field)
    texts: Field = field(default_factory=Field)
    flags: Field = field(default_factory=Field)
    vectors: Field = field(default_factory=Field)
    segments: Field = field(default_factory=Field)
    protected: Field = field(default_factory=Field)
    measures: Field = field(default_factory=Field)
    output_numbers: list[dict[str, float]] = field(default_factory=list)
    output_texts: list[dict[str, str]] = field(default_factory=list)
    output_names: dict[str, None] = field(default_factory=dict)
    outputs_before: int = 0  # names of outputs known when the present message began
    nulls: list[tuple[int, str]] = field(default_factory=list)
    null_names: dict[str, None] = field(default_factory=dict)  # each may become a column
    nulls_before: int = 0
    times: list[int] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    errors: list[bool] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)  # empty where there is none
    request_ids: list[str] = field(default_factory=list)
    items: dict[int, Sequence[rows_wire.Item]] = field(default_factory=dict)  # by row, of rankings
    traces: list[Trace] = field(default_factory=list)
    alike: list[Alike] = field(default_factory=list)  # rows that were read together, by message
    overlaps: bool = False  # some name stands in two typed maps, in whichever rows
    rare: bool = False  # some row has flags, vectors, measures, segments or protected attributes
    sealed: bool = False  # taken by the counting: the door begins another

    def next(self, arrived_ns: int) -> Gathering:
        """An empty gathering that already knows this one's names."""
        fresh = Gathering(self.model, arrived_ns, self.limits, overlaps=self.overlaps, rare=self.rare)
        for mine, theirs in zip(self._fields(), fresh._fields(), strict=True):
            mine.lend(theirs)
        return fresh

    def _fields(self) -> tuple[Field, ...]:
        return self.numbers, self.texts, self.flags, self.vectors, self.measures, self.segments, self.protected

    def begin_message(self) -> None:
        """Names known by now no longer count against the limit of one message."""
        for fields in self._fields():
            fields.before = len(fields.names)
        self.outputs_before, self.nulls_before = len(self.output_names), len(self.null_names)

    def crowded(self, limits: Limits) -> bool:
        """Whether it knows so many names that the next message should begin another, without them. limits: the door's,
        also for rows that were judged before."""
        names = (self.output_names, self.null_names)
        if self.alike and len(self.alike[0].shape.places) * self.rows > limits.cells // 2:
            return True
        many = any(len(own) > limits.features or len(own) * self.rows > limits.cells // 2 for own in names)
        return many or any(fields.crowded(limits) for fields in self._fields())

    @property
    def rows(self) -> int:
        return len(self.times) + sum([one.rows for one in self.alike])

    def takes(self, found: Alike | None) -> bool:
        """Whether rows may follow that were read together, or (None) one by one: those have no others with them but
        odd ones."""
        if found is None:
            return not self.alike
        return not self.rows or (bool(self.alike) and self.alike[0].shape.places == found.shape.places)

    def take(self, found: Alike, odd: Sequence[int]) -> None:
        """Rows that were read together. odd: which rows of their message were added before this, one by one."""
        if odd or self.times:
            after = np.searchsorted(np.array(odd, np.int64), found.at) + (len(self.times) - len(odd))
            found = replace(found, after=after)
        self.alike.append(found)

    def add(self, row: rows_wire.Row, raw: bytes, arrived_ns: int) -> None:
        """Takes one row whole, or raises RefusedError and takes nothing of it."""
        outputs, ids, shown = None, (row.prediction_id, row.request_id), row.outputs
        plain = self._looks_plain(row)
        if plain:
            outputs = self._take_plain(row, ids, shown)
        if outputs is None:  # the look for known names may have left some in the row
            outputs = self._take_doubted(rows_wire.Row.FromString(raw) if plain else row, raw)
        if row.traceparent:
            trace = self._trace(row, arrived_ns)
            if trace is not None:
                self.traces.append(trace)
        self.output_numbers.append(outputs[0])
        self.output_texts.append(outputs[1])
        self.times.append(start_ns(row, arrived_ns))
        self.latencies.append(row.latency_seconds if row.HasField("latency_seconds") else math.nan)
        self.errors.append(row.status != 0)
        self.weights.append(row.weight or 1.0)
        # A request and its response share an id: only whole records are looked for again.
        prediction_id, request_id = ("", "") if row.part else ids
        self.ids.append(prediction_id)
        self.request_ids.append(request_id)
        for output in shown:
            if output.items:
                self.items[len(self.ids) - 1] = output.items
                break

    def _looks_plain(self, row: rows_wire.Row) -> bool:
        """Whether the row has as many numbers and texts as those before it and nothing else, as nearly all have."""
        return not (
            self.rare
            or self.overlaps
            or len(row.numbers) != len(self.numbers.names)
            or len(row.texts) != len(self.texts.names)
            or row.nulls
            or row.flags
            or row.segments
            or row.measures
            or row.protected
            or row.vectors
        )

    def _take_plain(
        self, row: rows_wire.Row, ids: tuple[str, str], shown: Sequence[rows_wire.Output]
    ) -> Outputs | None:
        """Takes the features of a row of known names without the checks that these names have passed, and gives its
        outputs. None, and nothing taken, where it must be doubted after all. Raises RefusedError for its outputs."""
        numbers, texts, limits = self.numbers.known(row.numbers), self.texts.known(row.texts), self.limits
        if numbers is None or texts is None:
            return None
        if len(numbers) + len(texts) > limits.features or len(shown) > limits.features:
            return None
        longest = max(map(len, (*ids, *texts)))
        if longest * 4 > limits.text_bytes:  # a character is at most four bytes
            return None
        outputs = self._lone_output(shown) or self._outputs(shown)
        self.numbers.rows.append(numbers)
        self.texts.rows.append(texts)
        return outputs

    def _lone_output(self, outputs: Sequence[rows_wire.Output]) -> Outputs | None:
        """The one output without a name, of a kind met before, with at most a lone score. None where it is not so."""
        known = self.output_names
        if len(outputs) != 1 or len(known) * len(self.times) > self.limits.cells:
            return None
        output, numbers = outputs[0], {}
        if output.name:
            return None
        if scores := output.scores:
            score = scores.get("")
            if score is None or len(scores) > 1 or "score" not in known:
                return None
            numbers["score"] = score
        label = output.label
        which = "label" if label else output.WhichOneof("prediction")
        if which and "prediction" not in known:
            return None
        if which == "value":
            numbers["prediction"] = output.value
        if which != "label":
            return numbers, {}
        return None if len(label) * 4 > self.limits.text_bytes else (numbers, {"prediction": label})

    def _take_doubted(self, row: rows_wire.Row, raw: bytes) -> Outputs:
        """Takes the features of any row, or raises RefusedError and takes nothing of it; gives its outputs."""
        try:
            typed, outputs = self._doubted(row, raw)
        except RefusedError:
            self._forget()
            raise
        at = len(self.times)
        for fields, values in typed:
            if len(fields.rows) < at:  # the field's first row after others without it
                fields.rows.extend([()] * (at - len(fields.rows)))
                fields.ragged = True
            fields.rows.append(values)
        for name in row.nulls:
            self.nulls.append((at, name))
        return outputs

    def _doubted(self, row: rows_wire.Row, raw: bytes) -> tuple[list[tuple[Field, tuple[Any, ...]]], Outputs]:
        """The row's values by field, and its outputs. Everything that can refuse it happens here."""
        numbers, texts = row.numbers, row.texts
        features = len(numbers) + len(texts)
        rare: tuple[str, ...] = ()
        if row.flags or row.vectors or row.measures or row.segments or row.protected or row.nulls or self.rare:
            rare = RARE
            features += len(row.flags) + len(row.vectors) + len(row.nulls)
        self._check_size(row, features, bool(rare))
        known = len(self.numbers.names) + len(self.texts.names)
        typed = [
            (
                self.numbers,
                self.numbers.read(numbers, lambda: rows_wire.Row.FromString(raw).numbers, self.limits),
            ),
            (self.texts, self._read_texts(self.texts, texts, "texts", raw)),
        ]
        for where in rare:
            mapping, fields = getattr(row, where), getattr(self, where)
            if len(mapping) or fields.names:
                self.rare = True
                typed.append((fields, self._read_texts(fields, mapping, where, raw)))
        fresh = len(self.numbers.names) + len(self.texts.names) != known
        if rare or self.overlaps or fresh:
            self._check_names(raw)
        outputs = self._outputs(row.outputs)
        if row.nulls:
            self._check_nulls(row.nulls)
        if rare or fresh:
            for fields, _ in typed:
                fields.keep()
        return typed, outputs

    def _check_nulls(self, nulls: Sequence[str]) -> None:
        """Bounds the different names of one message's nulls, as those of its maps."""
        known, limits = self.null_names, self.limits
        fresh = [name for name in nulls if name not in known]
        if len(known) + len(fresh) > self.nulls_before + limits.features:
            raise too_many("nulls", f"over {limits.features} different names in one message", limits.features)
        if (len(known) + len(fresh)) * len(self.times) > limits.cells:
            raise too_many("nulls", f"rows too different, over {limits.cells} cells", limits.cells)
        known.update(dict.fromkeys(fresh))

    def _forget(self) -> None:
        """Unlearns what only a refused row brought."""
        for fields in self._fields():
            fields.forget()
        names = [self.numbers.names, self.texts.names, self.flags.names, self.vectors.names]
        self.overlaps = sum(len(n) for n in names) > len(set().union(*names))

    def _check_size(self, row: rows_wire.Row, features: int, rare: bool) -> None:
        limit = self.limits.features
        beside = len(row.measures) + len(row.segments) + len(row.protected) if rare else 0
        if features > limit or beside + len(row.outputs) > limit:
            raise RefusedError(wire.REASON_TOO_MANY_FEATURES, "features", f"{features} features, limit {limit}", limit)
        limit = self.limits.text_bytes
        if len(row.prediction_id) > limit or len(row.request_id) > limit:
            raise RefusedError(wire.REASON_TEXT_TOO_LONG, "prediction_id", f"limit {limit}", limit)

    def _check_names(self, raw: bytes) -> None:
        """The part of the check that only rows with new names, or rare parts, need. On a fresh copy: reading adds
        keys."""
        names = [self.numbers.names, self.texts.names, self.flags.names, self.vectors.names]
        self.overlaps = sum(len(n) for n in names) > len(set().union(*names))
        check_keys(rows_wire.Row.FromString(raw), self.limits)

    def _read_texts(self, fields: Field, mapping: Any, where: str, raw: bytes) -> tuple[Any, ...]:
        values = fields.read(mapping, lambda: getattr(rows_wire.Row.FromString(raw), where), self.limits)
        if where in TEXTUAL and values:
            limit = self.limits.text_bytes
            # A character is at most four bytes: most texts are measured without being encoded.
            if max([len(v) for v in values if v is not None], default=0) * 4 > limit:
                for name, value in zip(fields.names, values, strict=False):
                    size = 0 if value is None else len(value.encode())
                    if size > limit:
                        raise RefusedError(
                            wire.REASON_TEXT_TOO_LONG, f"{where}[{name}]", f"{size} bytes, limit {limit}", limit
                        )
        return values

    def _outputs(self, outputs: Sequence[rows_wire.Output]) -> Outputs:
        numbers: dict[str, float] = {}
        texts: dict[str, str] = {}
        limit = self.limits.text_bytes
        for i in range(len(outputs)):
            output = outputs[i]
            prefix = f"{output.name}." if output.name else ""
            if prefix:
                check_text(output.name, "outputs.name", limit)
            which = output.WhichOneof("prediction")
            if which == "value":
                numbers[f"{prefix}prediction"] = output.value
            elif which == "label":
                texts[f"{prefix}prediction"] = label = output.label
                check_text(label, "outputs.label", limit)
            scores = output.scores
            for label in scores:
                if label:
                    check_text(label, "outputs.scores.key", limit)
                numbers[f"{prefix}score:{label}" if label else f"{prefix}score"] = scores[label]
        self._check_outputs(numbers, texts)
        return numbers, texts

    def _check_outputs(self, numbers: dict[str, float], texts: dict[str, str]) -> None:
        """Bounds the outputs of one row, and the different ones of one message."""
        known, limit = self.output_names, self.limits.features
        fresh = [name for name in (*numbers, *texts) if name not in known]
        if len(numbers) + len(texts) > limit or len(known) + len(fresh) > self.outputs_before + limit:
            raise too_many("outputs", f"over {limit} different outputs", limit)
        if (len(known) + len(fresh)) * len(self.times) > self.limits.cells:
            raise too_many("outputs", f"rows too different, over {self.limits.cells} cells", self.limits.cells)
        if fresh:
            known.update(dict.fromkeys(fresh))

    def _trace(self, row: rows_wire.Row, arrived_ns: int) -> Trace | None:
        """The row's place in its caller's trace; a traceparent that is none is treated as absent, as the W3C asks."""
        context = traceparent(row.traceparent)
        if context is None:
            return None
        trace_id, parent_id, flags = context
        return Trace(
            row=len(self.times),
            trace_id=trace_id,
            parent_id=parent_id,
            flags=flags,
            prediction_id=row.prediction_id,
            start_ns=start_ns(row, arrived_ns),
            latency=row.latency_seconds if row.HasField("latency_seconds") else math.nan,
            error_type=error_type(row.error_type, row.status),
            stages=tuple((s.name, s.offset_seconds, s.duration_seconds) for s in row.stages[:64]),
            state=row.tracestate if len(row.tracestate) <= STATE_MAX else "",
        )

    def batch(self) -> Batch:
        """All gathered rows as columns."""
        if not self.alike:
            return self._added()
        together = batch(self.model, self.arrived_ns, self.alike)
        if not self.times:
            return together
        after = [np.zeros(one.rows, np.int64) if one.after is None else one.after for one in self.alike]
        order = np.argsort(np.concatenate((*after, np.arange(len(self.times)))), kind="stable")
        return merged(together, self._added(), order)

    def _added(self) -> Batch:
        """The rows that were added one by one."""
        rows = len(self.times)
        latency = np.array(self.latencies)
        errors = np.array(self.errors)
        return Batch(
            model=self.model,
            rows=rows,
            arrived_ns=self.arrived_ns,
            features=self._features(),
            outputs=self._output_columns(),
            time_ns=np.array(self.times, dtype=np.int64),
            latency=None if np.isnan(latency).all() else latency,
            errors=errors if errors.any() else None,
            segments=text_columns(self.segments, rows),
            protected=text_columns(self.protected, rows),
            measures=number_columns(self.measures, rows),
            weights=np.array(self.weights),
            ids=identities(self.ids) if any(self.ids) else None,
            request_ids=identities(self.request_ids) if any(self.request_ids) else None,
            items=items_of(self.items, rows) if self.items else None,
            traces=Traces.of(self.traces) if self.traces else NO_TRACES,
        )

    def _features(self) -> Columns:
        rows = len(self.times)
        numbers, texts = number_columns(self.numbers, rows), text_columns(self.texts, rows)
        flags = {
            name: Flags(np.array([bool(v) for v in values]), state_of(values))
            for name, values in padded(self.flags, rows)
        }
        vectors, misfits = vector_columns(padded(self.vectors, rows))
        for name, there in misfits.items():
            flags[name] = beside(flags.get(name), there)
        kinds: tuple[dict[str, Any], ...] = (numbers, texts, flags, vectors)
        for at, name in self.nulls:
            home = next((kind for kind in kinds if name in kind), numbers)
            column = home.get(name)
            if column is None:
                column = home[name] = Numbers(np.zeros(rows), np.full(rows, ABSENT, dtype=np.uint8))
            elif column.state is None:
                column = home[name] = with_state(column, np.zeros(rows, dtype=np.uint8))
            column.state[at] = NULL  # type: ignore[index] # made just above where it was None
        return Columns(numbers, texts, flags, vectors)

    def _output_columns(self) -> Columns:
        numbers: dict[str, Numbers] = {}
        for name in {n: None for d in self.output_numbers for n in d}:
            values = [d.get(name) for d in self.output_numbers]
            state = state_of(values)
            numbers[name] = Numbers(np.array(values if state is None else [v or 0.0 for v in values]), state)
        texts: dict[str, Texts] = {}
        for name in {n: None for d in self.output_texts for n in d}:
            texts[name] = coded([d.get(name) for d in self.output_texts])
        return Columns(numbers, texts)
