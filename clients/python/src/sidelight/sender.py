"""The one background thread: takes what waits, encodes it, delivers each message until the agent has answered it."""

from __future__ import annotations

import logging
import random
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional

import grpc

from sidelight.columns import RaggedError
from sidelight.endpoint import Endpoint
from sidelight.gather import gather_predictions, gather_truths
from sidelight.queues import BlockLane, Lane
from sidelight.wire import lifecycle_pb2, recorder_pb2

VERSION = "0.1.0"
_METHOD = "/sidelight.v1.Recorder/Record"
_MESSAGE_BYTES_MAX = 3_500_000  # gRPC servers take 4 MiB unless told otherwise
_CALL_SECONDS = 10.0
_BACKOFF_SECONDS = (0.1, 5.0)
_STRIKES_MAX = 8
# A resend cannot help: the agent, or gRPC on its side, has judged the message or its sender.
_PERMANENT = {
    grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.NOT_FOUND, grpc.StatusCode.DATA_LOSS, grpc.StatusCode.ALREADY_EXISTS,
}  # fmt: skip
_log = logging.getLogger("sidelight")


@dataclass(frozen=True)
class Stats:
    """Counts of records (predictions, labels and events) since this process began to record.

    recorded = sent + dropped_full + dropped_failed + dropped_invalid + sampled_out + queued, when nothing is half-way.
    """

    recorded: int  # handed to the client
    sent: int  # in messages that the agent answered
    accepted: int  # of those, taken by the agent
    refused: int  # of those, refused
    duplicate: int  # messages the agent already had: their first answer was lost, nothing was counted twice
    dropped_full: int  # the queue was full; oldest first
    dropped_failed: int  # the agent refused the whole message, or was away when the client closed
    dropped_invalid: int  # could not be encoded
    sampled_out: int  # left out because the agent asked for a sample
    queued: int  # waiting, the message on its way included
    connected: bool  # whether the last call reached the agent
    last_error: str  # why it did not; empty when it did


@dataclass(frozen=True)
class Limits:
    """How much waits and how it leaves."""

    queue_records: int
    queue_block_rows: int
    batch_rows: int
    flush_seconds: float


class Sender:
    """Owns lanes, thread and channel of one process; a forked child makes its own.

    One request is in flight at a time. A message that got no answer is sent again with the same bytes, so the agent
    recognises it by client id and sequence.
    """

    def __init__(self, model: recorder_pb2.Model, schema: str, endpoint: Endpoint, limits: Limits) -> None:
        self._model, self._schema, self._endpoint, self._limits = model, schema, endpoint, limits
        self.prefix = secrets.token_hex(8) + "-"  # of this process's prediction ids
        self.predictions = Lane(limits.queue_records)
        self.labels = Lane(limits.queue_records)
        self.events = Lane(1000)
        self.blocks = BlockLane(limits.queue_block_rows)
        self._client_id = secrets.token_hex(16)
        self._sequence = 0
        self._thread: Optional[threading.Thread] = None  # noqa: UP045
        self._channel: Optional[grpc.Channel] = None  # noqa: UP045
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._settled = threading.Condition()
        self._asked = self._done = 0
        self._ended = self._gave_up = False
        self._strikes = 0
        self._starting = threading.Lock()
        self._rows_max = limits.batch_rows
        self._ratio = 1.0
        self._retry_after = 0.0
        self._sent = self._accepted = self._refused = self._duplicate = 0
        self._failed = self._invalid = self._sampled_out = 0
        self._in_flight = 0
        self._connected = False
        self._last_error = ""

    def kick(self) -> None:
        """Starts the thread if there is none, and wakes it. Never raises."""
        if self._thread is None and not self._closing.is_set():
            with self._starting:
                if self._thread is None:
                    thread = threading.Thread(target=self._run, name="sidelight", daemon=True)
                    try:
                        thread.start()
                    except RuntimeError as error:  # no more threads, or the interpreter is going down
                        self._last_error = str(error)
                        return
                    self._thread = thread
        self._wake.set()

    def flush(self, timeout: float) -> bool:
        """Waits until all that was recorded before has been answered or dropped; False when `timeout` came first."""
        with self._settled:
            self._asked += 1
            asked = self._asked
        self.kick()
        with self._settled:
            self._settled.wait_for(lambda: self._done >= asked or self._ended, timeout)
            return self._done >= asked

    def close(self, timeout: float) -> None:
        """Sends what waits, once, for at most `timeout` seconds; the rest counts as dropped_failed."""
        if self._thread is None and self._waiting():
            self.kick()
        self.begin_close()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        self._gave_up = True
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()  # cancels a call that outlived the timeout

    @property
    def unstarted(self) -> bool:
        """Whether nothing has been recorded yet in this process."""
        return self._thread is None

    def begin_close(self) -> None:
        """Tells the thread to finish, without waiting for it."""
        self._closing.set()
        self._wake.set()

    def stats(self) -> Stats:
        """A snapshot; cheap, never waits."""
        waiting, invalid, failed = self._waiting(), self._invalid + self.blocks.broken, self._failed
        queued = waiting + self._in_flight
        lanes = (self.predictions, self.labels, self.events, self.blocks)
        full = sum(lane.dropped for lane in lanes)
        recorded = sum(lane.taken for lane in lanes) + full + waiting
        if self._closing.is_set() and (self._thread is None or not self._thread.is_alive()):
            failed, queued = failed + queued, 0  # recorded after the end
        return Stats(
            recorded=recorded, sent=self._sent, accepted=self._accepted, refused=self._refused,
            duplicate=self._duplicate, dropped_full=full, dropped_failed=failed, dropped_invalid=invalid,
            sampled_out=self._sampled_out, queued=queued, connected=self._connected, last_error=self._last_error,
        )  # fmt: skip

    def abandon(self) -> Any:
        """What a forked child must keep alive and never touch: the parent's channel is not the child's to close."""
        return self._channel

    def _waiting(self) -> int:
        return len(self.predictions) + len(self.labels) + len(self.events) + len(self.blocks)

    def _run(self) -> None:
        while True:
            self._wake.wait(self._limits.flush_seconds)
            self._wake.clear()
            closing, asked = self._closing.is_set(), self._asked
            try:
                self._round()
            except Exception as error:  # a fault of ours must not end the thread, and with it all recording
                self._last_error = f"{type(error).__name__}: {error}"
                self._invalid += self._in_flight
                self._in_flight = 0
            with self._settled:
                self._done, self._ended = asked, closing
                self._settled.notify_all()
            if closing:
                return

    def _round(self) -> None:
        """Everything that waits now, and no more: what arrives meanwhile is the next round's."""
        if len(self.events):
            self._send_events(self.events.take(len(self.events)))
        left = len(self.blocks)
        while left > 0 and (taken := self.blocks.take(min(left, self._rows_max))):
            block, start, stop = taken
            left -= stop - start
            self._in_flight = stop - start
            self._send(block.slice(start, stop))
        for records in self._valid(self.predictions):
            for predictions in gather_predictions(records, self.prefix):
                self._send(predictions)
        for labels in self._valid(self.labels):
            for truths in gather_truths(labels):
                self._send(truths)

    def _valid(self, lane: Lane) -> Iterator[list[Any]]:
        """A lane's items, a message's worth at a time. None stands for one that the caller's thread could not keep."""
        left = len(lane)
        while left > 0:
            items = lane.take(min(left, self._rows_max))
            left -= len(items) or left
            self._in_flight = len(items)
            valid = [item for item in items if item is not None]
            self._count_invalid(len(items) - len(valid))
            yield valid

    def _send(self, batch: Any) -> None:
        if not 0.0 < self._ratio < 1.0:
            chosen = batch
        else:
            chosen = batch.sample(self._ratio)
            self._sampled_out += batch.rows - chosen.rows
            self._in_flight -= batch.rows - chosen.rows
        for body, rows in self._bodies(chosen):
            self._deliver(body, rows)

    def _bodies(self, batch: Any) -> Iterator[tuple[bytes, int]]:
        """The batch as messages: one, unless a row cannot be encoded, sizes differ, or it would be too large.

        Halving finds a bad row among 500 in nine steps, and costs nothing when there is none.
        """
        if not batch.rows:
            return
        request = recorder_pb2.RecordRequest(model=self._model, schema=self._schema)
        try:
            batch.write(request)
            body = request.SerializeToString()
            if len(body) <= _MESSAGE_BYTES_MAX:
                yield body, batch.rows
                return
            raise ValueError(f"message of {len(body)} bytes")
        except RaggedError as ragged:
            chosen = ragged.rows
        except Exception as error:  # whatever a caller's value raises when it is read
            if batch.rows == 1:
                self._last_error = f"{type(error).__name__} while encoding"
                self._count_invalid(1)
                return
            chosen = [index < batch.rows // 2 for index in range(batch.rows)]
        yield from self._bodies(batch.select(chosen))
        yield from self._bodies(batch.select([not one for one in chosen]))

    def _send_events(self, events: list[Any]) -> None:
        self._in_flight = len(events)
        body = recorder_pb2.RecordRequest(model=self._model, schema=self._schema)
        body.lifecycle.CopyFrom(lifecycle_pb2.Lifecycle(events=events))
        self._deliver(body.SerializeToString(), len(events))

    def _count_invalid(self, rows: int) -> None:
        self._invalid += rows
        self._in_flight -= min(rows, self._in_flight)

    def _deliver(self, body: bytes, rows: int) -> None:
        """Sends one message until it is answered, refused for good, or the client closes."""
        message, attempt = self._stamp(body), 0
        while not self._gave_up:
            if self._retry_after and not self._closing.is_set():
                self._closing.wait(self._retry_after)
            self._retry_after = 0.0
            final = self._closing.is_set()
            answer = self._call(message)
            if isinstance(answer, recorder_pb2.RecordResponse):
                attempt = 0
                if not self._full(answer, rows):
                    self._in_flight -= rows
                    return self._answered(answer, rows)
                # Nothing of it was kept, and this sequence has had its verdict: it goes again as a new message.
                message = self._stamp(body)
                self._retry_after = self._retry_after or _BACKOFF_SECONDS[0]
            elif answer:
                self._strikes = 0
                break
            if final:
                self._gave_up = True
                break
            low, high = _BACKOFF_SECONDS
            self._retry_after = self._retry_after or random.uniform(0.5, 1.0) * min(high, low * 2**attempt)  # noqa: S311
            attempt = min(attempt + 1, 10)
        self._failed += rows
        self._in_flight -= rows
        return None

    def _stamp(self, body: bytes) -> bytes:
        """Body and stamp, one after the other: protobuf reads concatenated messages as one."""
        self._sequence += 1
        stats = self.stats()
        stamp = recorder_pb2.RecordRequest(
            sent_at_unix_nano=time.time_ns(),
            client_id=self._client_id,
            sequence=self._sequence,
            report=recorder_pb2.ClientReport(
                recorded=stats.recorded, dropped_full=stats.dropped_full, dropped_failed=stats.dropped_failed,
                dropped_invalid=stats.dropped_invalid, sampled_out=stats.sampled_out, language="python",
                client_version=VERSION,
            ),
        )  # fmt: skip
        return body + bytes(stamp.SerializeToString())

    def _call(self, message: bytes) -> Any:
        """The agent's answer; or whether the failure is for good. Sets `_retry_after` where the agent named a delay."""
        try:
            if not self._connected and not self._endpoint.trusted():
                raise PermissionError(f"{self._endpoint.target}: the folder belongs to another user")
            if self._channel is None:
                self._channel = self._endpoint.open()
            record = self._channel.unary_unary(
                _METHOD, request_serializer=bytes, response_deserializer=recorder_pb2.RecordResponse.FromString
            )
            timeout = 1.5 if self._closing.is_set() else _CALL_SECONDS
            answer = record(message, timeout=timeout, metadata=self._endpoint.metadata())
        except grpc.RpcError as error:
            return self._failed_call(error)
        except Exception as error:  # a certificate, a closed channel: the agent is as good as away
            self._lost(f"{type(error).__name__}: {error}")
            return False
        if not self._connected:
            _log.info("agent connected: %s", self._endpoint.target)
        self._connected, self._last_error, self._strikes = True, "", 0
        return answer

    def _failed_call(self, error: Any) -> bool:
        code, details = error.code(), error.details() or ""
        self._lost(f"{code.name}: {details}")
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-retry-pushback-ms" and str(value).isdigit():
                self._retry_after = int(value) / 1000
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
            self._rows_max = max(1, self._rows_max // 2)
            return True
        if code in _PERMANENT:
            self._retry_after = self._retry_after or _BACKOFF_SECONDS[1]  # the next message will hardly fare better
            return True
        # An agent that fails over one message again and again is not away: the next message may fare better.
        self._strikes = self._strikes + 1 if code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN) else 0
        return self._strikes >= _STRIKES_MAX

    def _lost(self, reason: str) -> None:
        if self._connected or not self._last_error:
            _log.warning("agent unreachable: %s: %s", self._endpoint.target, reason)
        self._connected, self._last_error = False, reason

    def _full(self, answer: recorder_pb2.RecordResponse, rows: int) -> bool:
        self._obey(answer.hints)
        full = sum(one.count for one in answer.refusals if one.reason == recorder_pb2.REASON_QUEUE_FULL)
        return not answer.accepted and full >= rows

    def _obey(self, hints: recorder_pb2.Hints) -> None:
        self._rows_max = min(self._limits.batch_rows, hints.max_rows_per_message or self._limits.batch_rows)
        self._ratio = hints.sampling_ratio if 0.0 < hints.sampling_ratio < 1.0 else 1.0
        self._retry_after = max(0.0, hints.retry_after_seconds)

    def _answered(self, answer: recorder_pb2.RecordResponse, rows: int) -> None:
        self._sent += rows
        self._accepted += answer.accepted
        self._refused += sum(one.count for one in answer.refusals)
        self._duplicate += answer.duplicate
