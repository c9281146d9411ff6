"""One round with Redis, in a thread: what was planned is written, then asked; what came back is an outcome."""

from __future__ import annotations

import secrets
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.errors import RetryableError
from agent.labels.redis import scripts
from agent.labels.redis.fleet import Fleet
from agent.labels.redis.link import Link
from agent.labels.redis.packing import ASKED, FOUND, Chunk, Entries
from agent.labels.rows import Rows

ROWS_AT_ONCE = 500  # of one script: Redis does nothing else meanwhile, some milliseconds
LABELS_AT_ONCE = 250
ROUND_SECONDS = 2.0  # of one round, and a script more
SLOTS = 32  # that a label's time is cut into
BESIDE = 140  # bytes a key and a value cost beside the value's own: measured, docs/decisions/0121
EARLY_ROOM = 65_536  # labels of all replicas that may wait for their prediction, in one span of that time


@dataclass(frozen=True, slots=True)
class Model:
    """What does not change. agent: eight bytes of its own; seconds: a prediction, and a label, may wait."""

    name: bytes
    prefix: bytes
    agent: bytes
    label_seconds: int
    early_seconds: int

    @property
    def span_seconds(self) -> int:
        return max(1, self.label_seconds // SLOTS)


@dataclass(frozen=True, slots=True)
class Plan:
    """chunks: to write; records, texts: of labels to look up, `labels` many; polled: labels that wait in Redis, beside
    whether long enough; done: ids whose claim is checkpointed; state: whether to ask for the fleet's."""

    now: int
    share: int
    slot_bytes: int
    output: bytes = b""
    chunks: Sequence[Chunk] = ()
    labels: int = 0
    records: bytes = b""
    texts: Sequence[bytes] = ()
    polled: Rows | None = None
    asked: bytes = b""
    done: Sequence[int] = ()
    state: bool = False

    def __bool__(self) -> bool:
        return bool(self.chunks or self.labels or self.asked or self.done or self.state)


@dataclass(slots=True)
class Outcome:
    """As far as it came. chunks: written; share: (slot, exponent) of the sample; met: id and claim of predictions that
    a label waited for; codes: a letter for each label that was looked up, found, places: what they found; told: a
    letter for each of `polled`; done: marks made."""

    chunks: int = 0
    share: tuple[int, int] = (0, 0)
    met: list[bytes] = field(default_factory=list)
    codes: bytes = b""
    found: Entries | None = None
    places: Rows | None = None
    polled: Rows | None = None
    told: bytes = b""
    done: int = 0
    fleet: Fleet | None = None
    tails: dict[bytes, bytes] = field(default_factory=dict)


def work(model: Model, link: Link, plan: Plan, known: Container[bytes]) -> Outcome:
    """Never raises for what Redis did; what is not in the outcome is to be done again. known: tails that are at
    hand."""
    outcome = Outcome()
    link.begin(ROUND_SECONDS)
    try:
        if plan.state:
            outcome.fleet = _state(model, link, plan)
        _write(model, link, plan, outcome)
        if plan.labels:
            _look_up(model, link, plan, outcome)
        if plan.asked:
            outcome.polled, outcome.told = plan.polled, link.script(scripts.ASK, *_head(model, plan), plan.asked)
        for begin in range(0, len(plan.done), ROWS_AT_ONCE):
            ids = plan.done[begin : begin + ROWS_AT_ONCE]
            link.script(scripts.DONE, *_head(model, plan), np.array(ids, dtype="<u8").tobytes())
            outcome.done += len(ids)
        _learn(model, link, outcome, known)
    except RetryableError:
        if _unknown(outcome, known):  # all of it gets the same answer again
            outcome.codes, outcome.found, outcome.met, outcome.chunks = b"", None, [], 0
    return outcome


def _head(model: Model, plan: Plan) -> tuple[bytes, bytes, int]:
    return model.prefix, model.agent, plan.now // model.span_seconds


def _state(model: Model, link: Link, plan: Plan) -> Fleet:
    prefix, agent, slot = _head(model, plan)
    oldest = (plan.now - model.label_seconds) // model.span_seconds - 1
    stays = model.label_seconds + model.label_seconds // 4 + 60
    answer = link.script(scripts.STATE, prefix, agent, slot, oldest, secrets.token_hex(8), stays, model.name)
    fleet, old = Fleet.read(answer)
    if old:
        link.ask("HDEL", prefix + b"w", *old)
    return fleet


def _write(model: Model, link: Link, plan: Plan, outcome: Outcome) -> None:
    for chunks in _together(plan.chunks):
        first = chunks[0]
        arrived = first.arrived_ns // 1_000_000_000
        stays = max(1, model.label_seconds - max(0, plan.now - arrived))
        tails = {name: text for one in chunks for name, text in one.tails.items()}
        answer = link.script(
            scripts.WRITE, model.prefix, model.agent, first.slot, stays, arrived, plan.slot_bytes, plan.share, BESIDE,
            first.size, plan.output, b"".join(one.records for one in chunks),
            *(part for pair in tails.items() for part in pair),
        )  # fmt: skip
        outcome.share = (first.slot, int(answer[0]))
        outcome.met += answer[1:]
        outcome.chunks += len(chunks)


def _together(chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    """Chunks one script can take: of one size and slot."""
    held: list[Chunk] = []
    for chunk in chunks:
        same = held and (held[0].size, held[0].slot) == (chunk.size, chunk.slot)
        if held and (not same or sum(one.rows for one in held) + chunk.rows > ROWS_AT_ONCE):
            yield held
            held = []
        held.append(chunk)
    if held:
        yield held


def _look_up(model: Model, link: Link, plan: Plan, outcome: Outcome) -> None:
    head, size = (*_head(model, plan), plan.now, model.early_seconds, EARLY_ROOM), ASKED.itemsize * LABELS_AT_ONCE
    answers: list[list[bytes]] = []
    try:
        answers.extend(
            link.script(scripts.LABEL, *head, plan.records[begin : begin + size], *plan.texts)
            for begin in range(0, len(plan.records), size)
        )
    finally:  # as far as it came
        places = np.concatenate([np.zeros(0, FOUND), *(np.frombuffer(heads, FOUND) for _, heads, _ in answers)])
        counts = [len(heads) // FOUND.itemsize for _, heads, _ in answers]
        places["label"] += np.repeat(np.arange(len(answers), dtype=np.uint32) * LABELS_AT_ONCE, counts)
        outcome.codes, outcome.places = b"".join(codes for codes, _, _ in answers), places
        body = b"".join(body for _, _, body in answers)
        outcome.found = Entries(places["id"], places["size"].astype(np.int64), body)


def _learn(model: Model, link: Link, outcome: Outcome, known: Container[bytes]) -> None:
    """Reads what the rows' places stand for, where that is not known."""
    missing = _unknown(outcome, known)
    if missing:
        texts = link.ask("MGET", *(model.prefix + b"h" + name for name in missing))
        outcome.tails = {name: text for name, text in zip(missing, texts, strict=True) if text is not None}


def _unknown(outcome: Outcome, known: Container[bytes]) -> list[bytes]:
    found = set(outcome.found.tails) if outcome.found is not None else set()
    found |= {entry[7:15] for held in outcome.met for entry in met_entries(held)}
    return [tail for tail in found if tail not in known and tail not in outcome.tails]


def met_entries(held: bytes) -> list[bytes]:
    """Entries of an id and its claim by an early label, without their lengths."""
    begin = 8 + 23 + int.from_bytes(held[29:31], "little")
    found = []
    while begin < len(held):
        size = int.from_bytes(held[begin : begin + 2], "little")
        found.append(held[begin + 2 : begin + 2 + size])
        begin += 2 + size
    return found
