"""One message through the door: decode, doubt, journal, answer. Synchronous and without waiting; the counting comes
later.

bytes ── twin ── model, resend? ── rows | columns | labels | events ── journal ── queue ── answer
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from google.protobuf.message import DecodeError

from agent.clock import Clock
from agent.errors import RefusedError
from agent.ingest import labels
from agent.ingest.alike import Alike, Shapes
from agent.ingest.casts import Cast
from agent.ingest.clients import Clients
from agent.ingest.columns import Decoded, Reader
from agent.ingest.journal import Journal
from agent.ingest.limits import Limits, Refusals
from agent.ingest.moulds import Found, Moulds
from agent.ingest.queue import GATHER_ROWS, Accepted, Queue
from agent.ingest.row import parse, start_ns
from agent.ingest.rows import Gathering
from agent.records import Batch, Labels, ModelKey, Role, select
from agent.wire import lifecycle_pb2, state_pb2, twin_pb2
from agent.wire import recorder_pb2 as wire

SINGLY = ("rows", "labels", "lifecycle")  # bodies that carry records one by one
REPORT_BYTES_MAX = 1 << 10
UNLIMITED = Limits(*[1 << 62] * 7)  # for what was judged before
KEYS_MAX = 64  # versions whose names need not be read again
# What stands in a message, as the counting knows it; labels come in two forms.
KINDS = {"rows": "rows", "columns": "columns", "lifecycle": "events", None: "events"}
STUBBORN = 64  # records beyond the future bound, in a row, after which they are believed
Content = Batch | Cast | Gathering | Labels | list[lifecycle_pb2.Event] | None
log = logging.getLogger("sidelight.ingest")


@dataclass(slots=True)
class _Ahead:
    """How far event time has come for one model, and how many records in a row lay beyond the bound."""

    newest_ns: int = 0
    stubborn: int = 0


class Admission:
    """Judges messages. One owner; never raises for what a sender did."""

    def __init__(
        self,
        limits: Limits,
        clock: Clock,
        journal: Journal,
        clients: Clients,
        queue: Queue,
        *,
        models_max: int,
        event_time: bool,
        future_ns: int,
        window_ns: Callable[[ModelKey], int],
        config_hash: int = 0,
    ) -> None:
        self._limits, self._clock, self._journal, self._clients, self._queue = limits, clock, journal, clients, queue
        self.busy_seconds = 0.0  # in `handle`
        self._models_max, self._event_time, self._future_ns, self._window_ns = (
            models_max,
            event_time,
            future_ns,
            window_ns,
        )
        self._config_hash = config_hash
        self._decoded, self._moulds = Decoded(), Moulds()
        self._keys: dict[tuple[bytes, bytes, int, bytes, bytes], ModelKey] = {}
        self._ahead: dict[ModelKey, _Ahead] = {}
        self._gathering: dict[ModelKey, Gathering] = {}
        self._shapes: dict[ModelKey, Shapes] = {}
        self.models: set[ModelKey] = set()
        self.refused_messages: Counter[int] = Counter()  # by reason: messages no model could be charged with
        self.duplicates: Counter[ModelKey] = Counter()  # records in resent messages
        self.dropped: Counter[ModelKey] = Counter()  # records turned away because the queue was full
        self.skew_seconds = 0.0  # newest sender's clock less ours
        self.durable = True

    def handle(self, raw: bytes, permitted: Callable[[str], bool] | None = None) -> wire.RecordResponse:
        """Takes one encoded RecordRequest. permitted: whether this identity may write a model of that name."""
        began = time.perf_counter()
        try:
            return self._handle(raw, permitted)
        finally:
            self.busy_seconds += time.perf_counter() - began

    def _handle(self, raw: bytes, permitted: Callable[[str], bool] | None) -> wire.RecordResponse:
        arrived_ns = self._clock.now_ns()
        try:
            request, model, found = self._open(raw, self._limits)
            self._check_model(model, permitted)
        except RefusedError as error:
            self.refused_messages[error.reason] += 1
            return _refusal(error, 1)
        client_id = request.client_id.decode(errors="replace")
        if client_id and request.sequence:
            answer = self._resent(client_id, request, model)
            if answer is not None:
                return answer
        if self._queue.full:
            return self._turn_away(request, model)
        return self._take(raw, request, model, client_id, arrived_ns, found)

    def tick(self, now_ns: int, watched_until_ns: int = 0) -> None:
        """Journals that time has come to `now_ns`, so that closing windows is replayed as it happened.

        watched_until_ns: where the agent was down, or stood still, since then; 0: it was not.
        """
        until_ns = min(watched_until_ns or now_ns, now_ns)
        head = state_pb2.FrameHead(
            arrived_unix_nano=now_ns,
            kind=state_pb2.FrameHead.KIND_TICK,
            covered_unix_nano=until_ns,
            config_hash=self._config_hash,
        )
        durable = self._journal.append(head, b"")
        self._queue.put(Accepted(head.offset, now_ns, None, "tick", durable=durable, watched_until_ns=until_ns))

    def restore(self, head: state_pb2.FrameHead, raw: bytes) -> Accepted | None:
        """One journalled frame as it was accepted, judged by its own verdict. None for a frame that no longer reads."""
        if head.kind == state_pb2.FrameHead.KIND_TICK:
            until_ns = head.covered_unix_nano
            return Accepted(head.offset, head.arrived_unix_nano, None, "tick", watched_until_ns=until_ns)
        try:
            request, model, _ = self._open(raw, UNLIMITED)
            refusals = Refusals.none(count_of(request))
            content = self._read(request, raw, model, head.arrived_unix_nano, refusals, head.verdict)
        except RefusedError as error:
            log.warning("journal_frame_unreadable offset=%d error=%s", head.offset, error)
            return None
        response = wire.RecordResponse.FromString(head.response)
        if head.client_id:
            self._clients.remember(head.client_id, head.sequence, head.response, head.arrived_unix_nano, model.name)
        self.models.add(model)
        return self._accepted(
            head.offset, head.arrived_unix_nano, model, request, content, response, len(raw), head.client_id, True
        )

    def known(self, model: ModelKey, newest_ns: int) -> None:
        """A version the checkpoint brought back, and how far its event time had come."""
        self.models.add(model)
        self._ahead[model] = _Ahead(newest_ns)

    def retire(self, model: ModelKey) -> None:
        """Gives a silent version's place to another; it may come back."""
        self.models.discard(model)
        self._ahead.pop(model, None)
        self._gathering.pop(model, None)
        self._shapes.pop(model, None)

    def forget(self, model: ModelKey) -> None:
        """The version is not remembered at all any more."""
        self.retire(model)
        del self.duplicates[model], self.dropped[model]

    # ── the steps, in order ──

    def _open(self, raw: bytes, limits: Limits) -> tuple[twin_pb2.Request, ModelKey, Found | None]:
        """The request, the version it speaks of, and of which mould its columns are where they need not be read."""
        if len(raw) > limits.message_bytes:
            raise RefusedError(
                wire.REASON_MESSAGE_TOO_LARGE,
                "message",
                f"{len(raw)} bytes, limit {limits.message_bytes}",
                limits.message_bytes,
            )
        found = self._moulds.find(raw) if limits is self._limits and not self._event_time else None
        try:
            request = twin_pb2.Request.FromString(raw) if found is None else found.request
        except DecodeError:
            raise RefusedError(wire.REASON_UNDECODABLE, "message", f"not a RecordRequest, {len(raw)} bytes") from None
        model = self._key(request.model, limits)
        limits.text(request.client_id, "client_id")
        if request.report and not _readable(request.report):
            request.report = b""
        if request.WhichOneof("body") is None and not request.report:
            raise RefusedError(wire.REASON_EMPTY, "body", "no rows, columns, labels or events")
        return request, model, found

    def _key(self, m: twin_pb2.Model, limits: Limits) -> ModelKey:
        """The version that a message speaks of: one object for all its messages, so that tables find it at once."""
        said = m.name, m.version, m.role, m.deployment, m.tenant
        known = self._keys.get(said)
        if known is not None:
            return known
        name = limits.text(m.name, "model.name")
        if not name:
            raise RefusedError(wire.REASON_MODEL_MISSING, "model.name", "empty")
        model = ModelKey(
            name,
            limits.text(m.version, "model.version"),
            Role.SHADOW if m.role == wire.ROLE_SHADOW else Role.PRIMARY,
            limits.text(m.deployment, "model.deployment"),
            limits.text(m.tenant, "model.tenant"),
        )
        if limits is self._limits:  # what was judged before may say more than the limits of today allow
            if len(self._keys) >= KEYS_MAX:
                self._keys.clear()
            self._keys[said] = model
        return model

    def _check_model(self, model: ModelKey, permitted: Callable[[str], bool] | None) -> None:
        if permitted is not None and not permitted(model.name):
            raise RefusedError(wire.REASON_NOT_PERMITTED, "model.name", "this identity may not write this model")
        if model not in self.models and len(self.models) >= self._models_max:
            raise RefusedError(wire.REASON_TOO_MANY_MODELS, "model", f"limit {self._models_max}", self._models_max)

    def _check_count(self, count: int, singly: bool) -> None:
        """Records one by one are read in Python while all others wait: of them a message may carry fewer."""
        limits = self._limits
        if count > limits.rows:
            raise RefusedError(
                wire.REASON_TOO_MANY_RECORDS, "body", f"{count} records, limit {limits.rows}", limits.rows
            )
        if singly and count > limits.row_messages:
            detail = f"{count} records one by one, limit {limits.row_messages}: send columns or smaller messages"
            raise RefusedError(wire.REASON_TOO_MANY_RECORDS, "body", detail, limits.row_messages)

    def _resent(self, client_id: str, request: twin_pb2.Request, model: ModelKey) -> wire.RecordResponse | None:
        packed = self._clients.answer(client_id, request.sequence)
        if packed is None and not self._clients.too_old(client_id, request.sequence):
            return None
        if model in self.models:  # a name from nowhere opens no account
            self.duplicates[model] += predictions_of(request)
        else:
            self.refused_messages[wire.REASON_MODEL_MISSING] += 1
        # Forgotten answers: what was acknowledged so long ago is in a checkpoint by now.
        answer = wire.RecordResponse(durable=True) if packed is None else wire.RecordResponse.FromString(packed)
        answer.duplicate = True
        return answer

    def _turn_away(self, request: twin_pb2.Request, model: ModelKey) -> wire.RecordResponse:
        count = count_of(request)
        if model in self.models:
            self.dropped[model] += predictions_of(request)
        else:
            self.refused_messages[wire.REASON_QUEUE_FULL] += 1
        answer = _refusal(
            RefusedError(wire.REASON_QUEUE_FULL, "queue", "the agent is behind", self._queue.bytes_max), count
        )
        answer.hints.retry_after_seconds = 0.5
        return answer

    def _take(
        self,
        raw: bytes,
        request: twin_pb2.Request,
        model: ModelKey,
        client_id: str,
        arrived_ns: int,
        found: Found | None,
    ) -> wire.RecordResponse:
        count = count_of(request)
        singly = request.WhichOneof("body") in SINGLY
        refusals = Refusals.none(count)
        content: Content = None
        try:
            self._check_count(count, singly)
            if found is None:
                content = self._read(request, raw, model, arrived_ns, refusals, None)
            else:
                content = Cast(found.mould, found.columns, model, arrived_ns)
        except RefusedError as error:
            refusals.all(error)
        answer = wire.RecordResponse()
        answer.accepted, answer.durable = len(refusals.verdict) - refusals.count, True
        if refusals.groups:
            answer.refusals.extend(refusals.groups.values())
        if singly:
            answer.hints.max_rows_per_message = self._limits.row_messages
        if request.sent_at_unix_nano:
            self.skew_seconds = (request.sent_at_unix_nano - arrived_ns) / 1e9
        self.models.add(model)
        if not answer.accepted and (count or answer.refusals):
            self._queue.put(
                self._accepted(0, arrived_ns, model, request, None, answer, answer.ByteSize(), client_id, True)
            )
            return answer
        head = state_pb2.FrameHead(
            arrived_unix_nano=arrived_ns,
            kind=state_pb2.FrameHead.KIND_REQUEST,
            verdict=refusals.packed(),
            config_hash=self._config_hash,
        )
        stamped = bool(client_id and request.sequence)
        if stamped:
            head.client_id, head.sequence = client_id, request.sequence
        head.response = packed = answer.SerializeToString()
        self.durable = answer.durable = self._journal.append(head, raw)
        if stamped:
            self._clients.remember(client_id, request.sequence, packed, arrived_ns, model.name)
        self._queue.put(
            self._accepted(
                head.offset, arrived_ns, model, request, content, answer, len(raw), client_id, answer.durable
            )
        )
        return answer

    def _accepted(
        self,
        offset: int,
        arrived_ns: int,
        model: ModelKey,
        request: twin_pb2.Request,
        content: Content,
        answer: wire.RecordResponse,
        size: int,
        client_id: str,
        durable: bool,
    ) -> Accepted:
        return Accepted(
            offset=offset,
            arrived_ns=arrived_ns,
            model=model,
            kind=KINDS.get(request.WhichOneof("body"), "labels"),
            rows=answer.accepted,
            content=content if isinstance(content, (Batch, Cast, Gathering)) else None,
            labels=content if isinstance(content, Labels) else None,
            events=content if isinstance(content, (list, tuple)) else (),
            refused=list(answer.refusals) if answer.refusals else (),
            client_id=client_id,
            report=request.report,
            size=size,
            durable=durable,
        )

    # ── bodies ──

    def _read(
        self,
        request: twin_pb2.Request,
        raw: bytes,
        model: ModelKey,
        arrived_ns: int,
        refusals: Refusals,
        verdict: bytes | None,
    ) -> Content:
        """The body's content. verdict: the journal's, where this was judged before."""
        body = request.WhichOneof("body")
        if body == "columns":
            return self._columns(request.columns, raw, model, arrived_ns, refusals, verdict)
        if body == "rows":
            return self._rows(request.rows.items, model, arrived_ns, refusals, verdict)
        if body == "lifecycle":
            return self._events(request.lifecycle.items, refusals)
        if body is not None:
            own = self._limits if verdict is None else UNLIMITED
            return labels.read(request, model, arrived_ns, own, refusals, verdict)
        return None

    def _columns(
        self,
        columns: twin_pb2.Columns,
        raw: bytes,
        model: ModelKey,
        arrived_ns: int,
        refusals: Refusals,
        verdict: bytes | None,
    ) -> Batch:
        limits, decoded = (self._limits, self._decoded) if verdict is None else (UNLIMITED, None)
        try:
            batch = Reader(columns, limits, refusals, decoded).batch(model, arrived_ns)
        except RefusedError as error:
            repacked = _repacked(raw) if error.reason == wire.REASON_COLUMN_LENGTH else None
            if repacked is None:
                raise
            batch = Reader(repacked, limits, refusals, decoded).batch(model, arrived_ns)
        if verdict is None:
            if self._event_time and batch.time_ns is not None:
                self._judge_future(model, batch.time_ns, refusals)
            refused = refusals.verdict if refusals.count else b""
            if not refused and not self._event_time:
                self._moulds.learn(raw, batch)
        else:
            refused = verdict
        if refused:
            batch = select(batch, np.flatnonzero(np.frombuffer(refused, dtype=np.uint8) == 0))
        if self._event_time and batch.time_ns is not None and batch.rows:
            self._came(model, int(batch.time_ns.max()))
        return batch

    def _rows(
        self, items: Sequence[bytes], model: ModelKey, arrived_ns: int, refusals: Refusals, verdict: bytes | None
    ) -> Gathering:
        limits = self._limits if verdict is None else UNLIMITED
        alike = None
        if not verdict and not self._event_time:
            alike = self._shapes.setdefault(model, Shapes()).read(items, limits, arrived_ns)
        gathering = self._gathering_for(model, arrived_ns, limits, alike)
        added = []
        for i in range(len(items)) if alike is None else alike.odd:
            if verdict and verdict[i]:
                continue
            try:
                row = parse(items[i], limits)
                if self._event_time and verdict is None:
                    self._check_future(model, start_ns(row, arrived_ns))
                gathering.add(row, items[i], arrived_ns)
                added.append(i)
                if self._event_time:
                    self._came(model, gathering.times[-1])
            except RefusedError as error:
                refusals.add(i, error)
        if alike is not None:
            gathering.take(alike, added)
        return gathering

    def _gathering_for(self, model: ModelKey, arrived_ns: int, limits: Limits, alike: Alike | None) -> Gathering:
        """Where this frame's rows go. By event time every frame is counted alone, so that a replay counts alike."""
        open_ = self._gathering.get(model)
        if open_ is None or open_.crowded(self._limits) or open_.limits is not limits:
            open_ = Gathering(model, arrived_ns, limits)
        elif (
            open_.sealed
            or self._event_time
            or open_.rows >= GATHER_ROWS
            or self._other_window(open_, arrived_ns)
            or not open_.takes(alike)
        ):
            open_ = open_.next(arrived_ns)
        else:
            open_.begin_message()
        self._gathering[model] = open_
        return open_

    def _other_window(self, gathering: Gathering, arrived_ns: int) -> bool:
        window_ns = self._window_ns(gathering.model)
        return gathering.arrived_ns // window_ns != arrived_ns // window_ns

    def _events(self, items: Sequence[bytes], refusals: Refusals) -> list[lifecycle_pb2.Event]:
        events = []
        for i, raw in enumerate(items):
            try:
                events.append(lifecycle_pb2.Event.FromString(raw))
            except DecodeError:
                refusals.add(i, RefusedError(wire.REASON_UNDECODABLE, "lifecycle", f"not an Event, {len(raw)} bytes"))
        return events

    # ── event time ──

    def _bound(self, model: ModelKey) -> tuple[_Ahead, int]:
        ahead = self._ahead.setdefault(model, _Ahead())
        return ahead, (ahead.newest_ns or self._clock.now_ns()) + self._future_ns

    def _check_future(self, model: ModelKey, time_ns: int) -> None:
        """Refuses a time too far ahead; a long run of such records is believed (a gap in the history, not a broken
        clock)."""
        ahead, bound = self._bound(model)
        if time_ns > bound and ahead.stubborn < STUBBORN:
            ahead.stubborn += 1
            limit = self._future_ns // 1_000_000_000
            raise RefusedError(
                wire.REASON_FUTURE, "time_unix_nano", f"over {limit} s ahead of the newest record", limit
            )

    def _came(self, model: ModelKey, time_ns: int) -> None:
        """A record of this time was kept."""
        ahead = self._ahead.setdefault(model, _Ahead())
        ahead.newest_ns, ahead.stubborn = max(ahead.newest_ns, time_ns), 0

    def _judge_future(self, model: ModelKey, times: np.ndarray, refusals: Refusals) -> None:
        _, bound = self._bound(model)
        if times.max(initial=0) <= bound:
            return
        for i, time_ns in enumerate(times.tolist()):
            if refusals.verdict[i]:
                continue
            try:
                self._check_future(model, time_ns)
                self._came(model, time_ns)
            except RefusedError as error:
                refusals.add(i, error)


def count_of(request: twin_pb2.Request) -> int:
    """Records in the body, of whichever kind."""
    body = request.WhichOneof("body")
    if body == "columns":
        return min(int(request.columns.rows), 1 << 20)
    if body == "label_columns":
        return labels.label_rows(request.label_columns)
    return 0 if body is None else len(getattr(request, body).items)


def _readable(report: bytes) -> bool:
    """Whether a sender's report is one: what is not is left out, the records beside it are kept."""
    try:
        return len(report) <= REPORT_BYTES_MAX and wire.ClientReport.FromString(report) is not None
    except DecodeError:
        return False


def predictions_of(request: twin_pb2.Request) -> int:
    return count_of(request) if request.WhichOneof("body") in ("rows", "columns") else 0


def _repacked(raw: bytes) -> twin_pb2.Columns | None:
    """The columns of a sender that does not pack its arrays, which the twin cannot see: read strictly, packed, read
    again."""
    try:
        return twin_pb2.Request.FromString(wire.RecordRequest.FromString(raw).SerializeToString()).columns
    except DecodeError:
        return None


def _refusal(error: RefusedError, count: int) -> wire.RecordResponse:
    return wire.RecordResponse(
        durable=True,
        refusals=[
            wire.Refusal(reason=error.reason, field=error.field, limit=error.limit, detail=error.detail, count=count)  # type: ignore[arg-type]
        ],
    )
