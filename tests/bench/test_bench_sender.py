"""The benchmarks' sender keeps to what a full agent asks for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from agent.wire import recorder_pb2 as wire
from bench.sender import Sending
from bench.traffic import Traffic

ROWS, PAUSE_SECONDS = 10, 0.05


class Full:
    """A recorder whose queue is full at every third message."""

    def __init__(self) -> None:
        self.at: list[tuple[float, bool]] = []

    def record_stream(self, requests: Iterator[bytes], _: object) -> Iterator[bytes]:
        for _ in requests:
            turned_away = len(self.at) % 3 == 2
            self.at.append((time.monotonic(), turned_away))
            answer = wire.RecordResponse(accepted=0 if turned_away else ROWS)
            if turned_away:
                answer.hints.retry_after_seconds = PAUSE_SECONDS
            yield answer.SerializeToString()


def test_what_a_full_queue_turned_away_is_sent_again_after_a_while(tmp_path: Path) -> None:
    """Twelve messages are accepted in the end, each once, and the sender waits when it is told to."""
    full, server = Full(), grpc.server(ThreadPoolExecutor(2))
    handlers: dict[str, Any] = {"RecordStream": grpc.stream_stream_rpc_method_handler(full.record_stream)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("sidelight.v1.Recorder", handlers),))
    endpoint = f"unix:{tmp_path / 's.sock'}"
    server.add_insecure_port(endpoint)
    server.start()
    try:
        said = Sending(endpoint, Traffic(rows=ROWS)).run(
            {"messages": 12, "stream": True, "seconds": 0.0, "pause_seconds": 0.0}
        )
    finally:
        server.stop(0)
    turned_away = sum(one for _, one in full.at)
    assert turned_away > 0
    assert said["turned_away"] == turned_away
    assert (said["messages"], said["accepted"], len(full.at)) == (12, 12 * ROWS, 12 + turned_away)
    first = next(at for at, one in full.at if one)
    assert full.at[-1][0] - first >= PAUSE_SECONDS
