"""Senders that stamp their messages: a message sent again is recognised and gets its first verdict again."""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from agent.errors import CorruptError
from agent.wire import state_pb2 as state

ANEW = 4_096  # a sequence so far below the window begins a new count
WINDOW = 64  # sequences remembered a client


@dataclass(slots=True)
class Client:
    """One sender. answers: by sequence, the newest WINDOW. sequences: the same ones, ascending."""

    id: str
    answers: OrderedDict[int, bytes] = field(default_factory=OrderedDict)
    last_seen_ns: int = 0
    report: bytes = b""
    model: str = ""
    dirty: bool = True
    sequences: list[int] = field(default_factory=list)


class Clients:
    """The newest `limit` senders; the longest silent is forgotten first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: OrderedDict[str, Client] = OrderedDict()
        self.forgotten: dict[str, None] = {}  # since the last checkpoint

    def __iter__(self) -> Iterator[Client]:
        return iter(self._known.values())

    def get(self, client_id: str) -> Client | None:
        return self._known.get(client_id)

    def sort(self) -> None:
        """After loading: the longest silent first again."""
        self._known = OrderedDict(sorted(self._known.items(), key=lambda item: item[1].last_seen_ns))

    def answer(self, client_id: str, sequence: int) -> bytes | None:
        """The answer this message got before, or None when it is new."""
        client = self._known.get(client_id)
        return None if client is None else client.answers.get(sequence)

    def too_old(self, client_id: str, sequence: int) -> bool:
        """True for a sequence a little below the remembered window: answered long ago, how is forgotten.

        Far below, it is no resend but a sender that counts from the beginning again under its old name.
        """
        client = self._known.get(client_id)
        if client is None or len(client.answers) < WINDOW:
            return False
        oldest = client.sequences[0]
        if oldest - sequence > ANEW:
            client.answers.clear()
            client.sequences.clear()
            return False
        return sequence < oldest

    def remember(self, client_id: str, sequence: int, answer: bytes, seen_ns: int, model: str) -> Client:
        client = self._known.get(client_id)
        if client is None:
            client = self._known[client_id] = Client(client_id)
            while len(self._known) > self._limit:
                self.forgotten[self._known.popitem(last=False)[0]] = None
            self.forgotten.pop(client_id, None)  # it is back before its blob was deleted
        self._known.move_to_end(client_id)
        if sequence not in client.answers:
            insort(client.sequences, sequence)  # by number: those in flight arrive in any order
        client.answers[sequence] = answer
        while len(client.answers) > WINDOW:
            del client.answers[client.sequences.pop(0)]
        client.last_seen_ns, client.model, client.dirty = seen_ns, model, True
        return client

    def load(self, blob: bytes) -> None:
        """Takes back what `dump` wrote. Raises CorruptError."""
        try:
            kept = state.Client.FromString(blob)
        except DecodeError as error:
            raise CorruptError(f"client: {error}") from error
        answers = OrderedDict(zip(kept.sequences, kept.responses, strict=False))
        self._known[kept.id] = Client(
            kept.id, answers, kept.last_seen_unix_nano, kept.report, kept.model, dirty=False, sequences=sorted(answers)
        )

    @staticmethod
    def dump(client: Client) -> bytes:
        return state.Client(
            id=client.id,
            sequences=list(client.answers),
            responses=list(client.answers.values()),
            last_seen_unix_nano=client.last_seen_ns,
            report=client.report,
            model=client.model,
        ).SerializeToString()
