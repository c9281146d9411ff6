"""A full disk and a corrupt one: said, counted, survived. Labels and lifecycle events are journalled like records."""

from __future__ import annotations

import contextlib
import random
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.wire import lifecycle_pb2
from agent.wire import recorder_pb2 as wire
from tests.end_to_end import stream
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.traffic import ROWS, WELL, Fault, kept, model_of, references, replay, said, sending, window

Switch = Callable[[AgentProcess], None]
Disk = Callable[[Path], AbstractContextManager[tuple[Switch, Switch]]]


@contextmanager
def full_volume(folder: Path) -> Iterator[tuple[Switch, Switch]]:
    """A state volume of 6 MB, and how to fill and free it."""
    state = folder / "state"
    state.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(state)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")

    def fill(_: AgentProcess) -> None:
        with (state / "ballast").open("wb", buffering=0) as file:
            for size in (1 << 16, 1):  # up to the last byte
                try:
                    while True:
                        file.write(bytes(size * 4096)[: 1 << 16] if size > 1 else bytes(1))
                except OSError:
                    continue

    try:
        yield fill, lambda _: (state / "ballast").unlink()
    finally:
        subprocess.run(["umount", "-l", str(state)], check=True)


@contextmanager
def small_files(_: Path) -> Iterator[tuple[Switch, Switch]]:
    """The kernel refuses the running agent every file beyond a few bytes, and then no longer."""

    def limit(agent: AgentProcess, size: int) -> None:
        assert agent.process is not None
        resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    yield lambda agent: limit(agent, 16), lambda agent: limit(agent, resource.RLIM_INFINITY)


@pytest.mark.parametrize("disk", [full_volume, small_files])
def test_a_full_disk_is_said_and_costs_no_record(tmp_path: Path, disk: Disk) -> None:
    """durable=false in the answer, counted all the same, an alert of its own; with room again all is as before."""
    with ExitStack() as stack:
        fill, free = stack.enter_context(disk(tmp_path))
        options = {"SIDELIGHT_REFERENCE": str(references(tmp_path, "loan")), "SIDELIGHT_CHECKPOINT_SECONDS": "0.2"}
        agent = stack.enter_context(AgentProcess(tmp_path, **options, SIDELIGHT_WINDOW_SECONDS="1"))
        with sending(agent) as send:
            answer = send(window(0))
            assert (answer.accepted, answer.durable) == (ROWS, True)
            fill(agent)
            answers = [send(window(index)) for index in range(1, 6)]
            assert {answer.accepted for answer in answers} == {ROWS}
            assert not answers[-1].durable

            def lost(status: dict[str, Any]) -> bool:
                return not status["agent"]["durable"] and "not_durable" in {a["name"] for a in status["alerts"]}

            status = agent.wait_for(lambda s: kept(s) == 6 * ROWS and lost(s))
            assert model_of(status)["state"] == "not_durable"
            assert status["agent"]["journal_failures"] >= 1
            free(agent)
            sent = 6

            def recovered(status: dict[str, object]) -> bool:
                nonlocal sent
                sent += 1
                durable = send(window(sent)).durable
                return durable and status["agent"]["durable"] is True and not status["alerts"]  # type: ignore[index]

            status = agent.wait_for(recovered)
            assert [(what, name) for what, name, _ in said(status) if name == "not_durable"] == [
                ("firing", "not_durable"),
                ("resolved", "not_durable"),
            ]
            agent.wait_for(lambda s: kept(s) == sent * ROWS)
        agent.kill()
        agent.start()
        assert kept(agent.status()) == sent * ROWS
        assert agent.stop() == 0


def set_aside(state: Path) -> list[str]:
    """Files under another name, and blobs of a readable database under another key."""
    with contextlib.closing(sqlite3.connect(state / "state.db")) as db:
        blobs = [key for (key,) in db.execute("SELECT key FROM blob WHERE key LIKE 'corrupt/%'")]
    return [*(path.name for path in state.rglob("*.corrupt-*")), *blobs]


def flip(path: Path, seed: int, count: int) -> None:
    """Changes so many bytes of a file, anywhere in it."""
    data, chance = bytearray(path.read_bytes()), random.Random(seed)
    for _ in range(count if data else 0):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


@pytest.mark.parametrize(
    "victims", [("state.db",), ("journal",), ("state.db", "journal")], ids=["state", "journal", "both"]
)
def test_corrupt_state_is_set_aside(tmp_path: Path, victims: tuple[str, ...]) -> None:
    """Flipped bytes in database, journal or both: it starts, says so, sets aside, counts it, watches on."""
    options = {
        "SIDELIGHT_REFERENCE": str(references(tmp_path, "loan")),
        "SIDELIGHT_TIME": "event",
        "SIDELIGHT_CHECKPOINT_SECONDS": "60",
    }
    with AgentProcess(tmp_path, **options) as agent:
        # An alert is checkpointed at once: the first windows lie in the database, the others in the journal.
        replay(agent, [(0, WELL), (1, Fault(broken=True)), (2, WELL)])
        agent.wait_for(lambda s: s["agent"]["checkpoint_seconds"])  # said when the journal is cut, too
        replay(agent, [(index, WELL) for index in range(3, 13)])  # the alert's end is checkpointed as well
        replay(agent, [(13, WELL)])
        agent.kill()
        state = tmp_path / "state"
        files = [path for path in state.rglob("*") if path.is_file()]
        paths = [path for path in files if any(victim in str(path.relative_to(state)) for victim in victims)]
        assert paths
        for number, path in enumerate(paths):
            flip(path, number, max(20, path.stat().st_size // 500))
        agent.log.unlink()
        agent.start()
        status = agent.wait_for(lambda s: s["agent"]["corrupt_set_aside"] >= 1)
        assert "Traceback" not in agent.log.read_text()
        lines = [line for line in agent.log.read_text().splitlines() if "WARNING" in line]
        assert 1 <= len(lines) <= 3
        assert set_aside(state) or any("state_lost" in line for line in lines)  # SQLite drops a broken log by itself
        before = kept(status)
        assert before <= 14 * ROWS
        status = replay(agent, [(index, WELL) for index in range(20, 23)])
        assert kept(status) == before + 3 * ROWS
        assert model_of(status)["state"] == "watching"
        assert agent.stop() == 0


def test_labels_and_events_survive_a_kill(tmp_path: Path) -> None:
    """Accepted, journalled, counted once: before the checkpoint and after it."""
    options = {"SIDELIGHT_REFERENCE": str(references(tmp_path, "loan")), "SIDELIGHT_CHECKPOINT_SECONDS": "60"}
    with AgentProcess(tmp_path, **options) as agent:
        for sequence, request in enumerate((labels(), label_columns(), lifecycle()), 1):
            request.client_id, request.sequence = "sender", sequence
            answer = agent.record(request)
            assert (answer.accepted, answer.durable, answer.duplicate) == (3, True, False)
        agent.wait_for(lambda s: s["agent"]["offset"] == 3)
        for _ in range(2):
            agent.kill()
            agent.start()
            model = model_of(agent.status())
            assert (model["labels"], model["trained_at"]) == (6, "2023-11-14T22:13:20+00:00")
            assert model["records"]["received"] == 0
        again = lifecycle()
        again.client_id, again.sequence = "sender", 3
        assert agent.record(again).duplicate
        assert agent.stop() == 0


def labels() -> wire.RecordRequest:
    request = wire.RecordRequest()
    request.model.name, request.model.version = stream.MODEL.name, stream.MODEL.version
    for i in range(3):
        request.labels.labels.add(prediction_id=f"3-0-{i}", label="yes", time_unix_nano=stream.START_NS)
    return request


def label_columns() -> wire.RecordRequest:
    request = wire.RecordRequest()
    request.model.name, request.model.version = stream.MODEL.name, stream.MODEL.version
    columns = request.label_columns
    columns.rows, columns.id_prefix = 3, "3-1-"
    columns.id_numbers.extend(range(3))
    columns.values.values.extend([0.0, 1.0, 1.0])
    return request


def lifecycle() -> wire.RecordRequest:
    request = wire.RecordRequest()
    request.model.name, request.model.version = stream.MODEL.name, stream.MODEL.version
    loaded = lifecycle_pb2.ModelLoaded(task=lifecycle_pb2.TASK_BINARY, trained_at_unix_nano=1_700_000_000 * 10**9)
    request.lifecycle.events.add(loaded=loaded)
    request.lifecycle.events.add(run=lifecycle_pb2.BatchRun(run_id="nightly", attempt=1))
    request.lifecycle.events.add(unloaded=lifecycle_pb2.ModelUnloaded(reason="new version"))
    return request
