"""The state as bytes: a line of JSON that says what follows, then the arrays one after another."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from agent.errors import CorruptError
from agent.records import ModelKey, Role
from agent.shadow.answers import Beside
from agent.shadow.comparing import Comparison, State, Version
from agent.shadow.deciding import Decision, Opinion
from agent.shadow.losses import WORDS, Sums
from agent.shadow.waiting import Held, Sampling, Waiting

FORM = 3
Array = np.ndarray[Any, Any]


def dump(state: State) -> bytes:
    """About 3 MiB at most, of four versions whose tables are full."""
    arrays: list[Array] = []
    head = {
        "form": FORM,
        "places": state.places,
        "closed": state.closed,
        "loss": state.loss,
        "started_ns": state.started_ns,
        "champions": [champion.place for champion in state.champions.values()],
        "versions": [_version(version, arrays) for version in state.versions],
        "left_out": [_version(version, arrays) for version in state.left_out],
        "compared": [[*places, _comparison(held, arrays)] for places, held in state.compared.items()],
        "answers": _waiting(state.answers, arrays),
        "losses": _waiting(state.losses, arrays),
    }
    text = json.dumps(head).encode()
    return text + b"\n" + b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)


def load(blob: bytes) -> State:
    """Raises CorruptError where this is not what `dump` wrote."""
    try:
        text, _, rest = blob.partition(b"\n")
        head = json.loads(text)
        if head["form"] != FORM:
            raise CorruptError(f"shadow: form {head['form']}, not {FORM}")
        return _state(head, _Reader(rest))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError, OverflowError) as error:
        raise CorruptError(f"shadow: {type(error).__name__}") from error


class _Reader:
    """Takes arrays from the bytes in the order they were written."""

    def __init__(self, blob: bytes) -> None:
        self._blob, self._at = blob, 0

    def take(self, dtype: Any, *shape: int) -> Array:
        dtype = np.dtype(dtype)
        size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        found = np.frombuffer(self._blob[self._at : self._at + size], dtype=dtype).reshape(shape).copy()
        self._at += size
        return found

    def finite(self, *shape: int) -> Array:
        """Float64 that can be added to."""
        found = self.take("<f8", *shape)
        if not np.isfinite(found).all():
            raise ValueError("a sum that is no number")
        return found

    @property
    def over(self) -> bool:
        return self._at == len(self._blob)


def _state(head: Any, reader: _Reader) -> State:
    state = State(places=int(head["places"]), closed=int(head["closed"]), loss=str(head["loss"]))
    state.started_ns = int(head.get("started_ns", 0))
    state.versions = [_read_version(version, reader) for version in head["versions"]]
    state.left_out = [_read_version(version, reader, compared=False) for version in head["left_out"]]
    state.compared = {(int(a), int(b)): _read_comparison(held, reader) for a, b, held in head["compared"]}
    places = {version.place: version for version in state.versions}
    state.champions = {(champion := places[int(at)]).key.tenant: champion for at in head["champions"]}
    _read_waiting(state.answers, head["answers"], reader)
    _read_waiting(state.losses, head["losses"], reader)
    _check(state, reader)
    return state


def _check(state: State, reader: _Reader) -> None:
    """Raises ValueError for what no version could be compared by."""
    if state.loss not in ("", *WORDS) or not reader.over:
        raise ValueError("another loss, or more bytes than were written")
    if not {place for places in state.compared for place in places} <= {version.place for version in state.versions}:
        raise ValueError("a comparison of nobody")
    places = [version.place for version in (*state.versions, *state.left_out)]
    if len(set(places)) < len(places) or any(place >= state.places for place in places):
        raise ValueError("a place that was not given, or given twice")


def _version(version: Version, arrays: list[Array]) -> dict[str, Any]:
    key = version.key
    return {
        "key": [key.name, key.version, int(key.role), key.deployment, key.tenant],
        "place": version.place, "rows": version.rows, "traffic": version.traffic, "seen": version.seen,
        "offered": version.offered, "alone": _sums(version.alone, arrays),
    }  # fmt: skip


def _read_version(head: Any, reader: _Reader, compared: bool = True) -> Version:
    name, version, role, deployment, tenant = head["key"]
    return Version(
        ModelKey(name, version, Role(role), deployment, tenant), int(head["place"]), int(head["rows"]),
        float(head["traffic"]), int(head["seen"]), int(head["offered"]), _read_sums(head["alone"], reader),
        compared=compared,
    )  # fmt: skip


def _sums(sums: Sums, arrays: list[Array]) -> dict[str, Any]:
    arrays += [sums.ids, sums.blocks, sums.squares, sums.most]
    return {
        "versions": sums.versions, "span": sums.span, "windows": sums.windows, "newest": sums.newest,
        "labels": sums.labels, "blocks": len(sums.ids),
    }  # fmt: skip


def _read_sums(head: Any, reader: _Reader) -> Sums:
    versions, blocks = int(head["versions"]), int(head["blocks"])
    return Sums(
        versions, int(head["span"]), int(head["windows"]), int(head["newest"]), int(head["labels"]),
        reader.take("<i8", blocks), reader.finite(blocks, 1 + versions),
        reader.finite(1 + versions, 1 + versions), reader.finite(3),
    )  # fmt: skip


def _beside(beside: Beside, arrays: list[Array]) -> list[int]:
    used = np.flatnonzero(beside.cells)
    arrays += [*beside.sums.values(), used, beside.cells[used]]
    return [beside.pairs, beside.comparable, beside.same, len(used)]


def _read_beside(head: Any, reader: _Reader) -> Beside:
    pairs, comparable, same, used = (int(part) for part in head)
    found = Beside(pairs, comparable, same)
    found.sums = {name: reader.finite(3) for name in found.sums}
    at = reader.take("<i8", used)
    found.cells[at] = reader.take("<i8", used)
    return found


def _comparison(held: Comparison, arrays: list[Array]) -> dict[str, Any]:
    each = [_beside(beside, arrays) for beside in (held.now, held.newest, held.before)]
    opinion = held.opinion
    return {
        "beside": each,
        "sums": _sums(held.sums, arrays),
        "since": _sums(held.since, arrays),
        "decisions": held.decisions,
        "segments": {name: sums.tolist() for name, sums in held.segments.items()},
        "said": held.said,
        "opinion": [str(opinion.decision), *(getattr(opinion, name) for name in Opinion.__slots__[1:])],
    }


def _read_comparison(head: Any, reader: _Reader) -> Comparison:
    now, newest, before = (_read_beside(part, reader) for part in head["beside"])
    sums, since = _read_sums(head["sums"], reader), _read_sums(head["since"], reader)
    found = Comparison(now, newest, before, sums, since, int(head["decisions"]))
    found.segments = {str(name): np.array(sums, dtype=np.float64).reshape(4) for name, sums in head["segments"].items()}
    found.said = None if head["said"] is None else (int(head["said"][0]), Decision(head["said"][1]))
    decision, *rest = head["opinion"]
    found.opinion = Opinion(Decision(decision), *_opinion(*rest))
    return found


def _opinion(reason: Any, paired: Any, labels: Any, *rest: Any) -> tuple[Any, ...]:
    mean, lower, upper, champion, challenger, needed = rest
    figures = (float(each) for each in (mean, lower, upper, champion, challenger))
    return str(reason), bool(paired), int(labels), *figures, None if needed is None else int(needed)


def _waiting(waiting: Waiting, arrays: list[Array]) -> dict[str, Any]:
    sampling, held = waiting.sampling, []
    for version, ring in waiting.held.items():
        used = np.flatnonzero(ring.keys[1:])
        arrays += [used, ring.keys[1:][used], ring.seconds[used], ring.rows[used]]
        held.append([version, ring.written, len(used)])
    return {"sampling": [sampling.limit, sampling.met, sampling.early, sampling.late, sampling.written], "held": held}


def _read_waiting(waiting: Waiting, head: Any, reader: _Reader) -> None:
    waiting.sampling = Sampling(*(int(part) for part in head["sampling"]))
    for version, written, used in head["held"]:
        ring = Held.of(waiting.kept, waiting.slots)
        at = reader.take("<i8", used)
        if used and (at.min() < 0 or at.max() >= waiting.slots):
            raise CorruptError("shadow: a place outside the ring")
        ring.keys[at + 1], ring.seconds[at] = reader.take("<u8", used), reader.take("<i8", used)
        ring.rows[at] = reader.take(ring.rows.dtype, used)
        ring.written = int(written)
        ring.index()
        waiting.held[int(version)] = ring
