"""The sender's process: takes a command a line on stdin, sends, answers a line on stdout."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc

from agent.wire import recorder_pb2 as wire
from bench.traffic import Traffic, messages, stamp

IN_FLIGHT = 8  # messages under way on a stream; by single calls it is one


class Sending:
    """One stamped client over all commands."""

    def __init__(self, endpoint: str, traffic: Traffic) -> None:
        self._ring = messages(traffic)
        self._client, self._sequence = f"bench-{os.getpid()}", 0
        channel = grpc.insecure_channel(endpoint)
        self._call = channel.unary_unary(
            "/sidelight.v1.Recorder/Record", request_serializer=bytes, response_deserializer=bytes
        )
        self._stream = channel.stream_stream(
            "/sidelight.v1.Recorder/RecordStream", request_serializer=bytes, response_deserializer=bytes
        )
        self._accepted = self._empty = self._turned_away = 0
        self._wait_until = 0.0

    def run(self, command: dict[str, Any]) -> dict[str, Any]:
        self._accepted = self._empty = self._turned_away = 0
        began = self._sequence
        latencies = self._streamed(command["messages"]) if command["stream"] else self._called(**command)
        return {
            "messages": self._sequence - began - self._turned_away,
            "turned_away": self._turned_away,
            "accepted": self._accepted,
            "empty": self._empty,
            "latencies": latencies,
        }

    def _next(self) -> bytes:
        self._sequence += 1
        return self._ring[self._sequence % len(self._ring)] + stamp(self._client, self._sequence)

    def _called(self, messages: int, seconds: float, pause_seconds: float, **_: Any) -> list[tuple[float, float]]:
        latencies = []
        until = time.monotonic() + seconds
        sent = 0
        while sent < messages or time.monotonic() < until:
            message = self._next()
            at, began = time.time(), time.perf_counter()
            answer = self._call(message, timeout=30, wait_for_ready=True)
            latencies.append((at, time.perf_counter() - began))
            self._answered(answer)
            sent += 1
            if pause_seconds:
                time.sleep(pause_seconds)
        return latencies

    def _streamed(self, messages: int) -> list[tuple[float, float]]:
        """Until so many messages were taken: those that a full queue turned away are made up for, as clients do."""
        left = messages
        while left:
            before = self._turned_away
            self._stream_once(left)
            left = self._turned_away - before
        return []

    def _stream_once(self, messages: int) -> None:
        room = threading.Semaphore(IN_FLIGHT)

        def requests() -> Iterator[bytes]:
            for _ in range(messages):
                room.acquire()
                time.sleep(max(0.0, self._wait_until - time.monotonic()))
                yield self._next()

        for answer in self._stream(requests(), wait_for_ready=True):
            self._answered(answer)
            room.release()

    def _answered(self, answer: bytes) -> None:
        if not answer:
            self._empty += 1
            return
        response = wire.RecordResponse.FromString(answer)
        self._accepted += response.accepted
        if response.hints.retry_after_seconds and not response.accepted:
            self._turned_away += 1
            self._wait_until = time.monotonic() + response.hints.retry_after_seconds


def main() -> None:
    sending = Sending(sys.argv[1], Traffic.from_json(sys.argv[2]))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(sending.run(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
