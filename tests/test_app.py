"""The agent's end, in this process: each station gets its own, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from agent.app import App
from agent.config import Otel, Settings


async def _run(app: App) -> None:
    """From its start to its end."""
    running = asyncio.create_task(app.run())
    async with asyncio.timeout(60):
        while not app.ready[0] and not running.done():  # noqa: ASYNC110 - readiness has no event of its own
            await asyncio.sleep(0.01)
        app._stop.set()
        await running


async def test_an_end_that_fails_keeps_no_station_from_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that fails the journal's last sync, say: it is said, and the database is closed as ever."""
    settings = Settings(
        endpoint=f"unix:{tmp_path}/agent.sock", state_dir=str(tmp_path / "state"), http="", collectors=()
    )
    app = App(settings, Otel())

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(app.exporter, "stop", broken)
    monkeypatch.setattr(app.journal, "close", broken)
    await _run(app)
    failed = [record.args for record in caplog.records if record.msg.startswith("end_failed")]
    assert failed == [("export",), ("journal",)]
    assert app.store._db is None
    assert not (tmp_path / "agent.sock").exists()


class Door:
    """Counts how many end at once."""

    ending = most = 0

    async def stop(self, grace_seconds: float) -> None:
        Door.ending += 1
        Door.most = max(Door.most, Door.ending)
        await asyncio.sleep(0)
        Door.ending -= 1


async def test_an_end_takes_no_longer_for_a_second_door(tmp_path: Path) -> None:
    """Socket and TCP refuse new calls at once, and share the grace of those that run."""
    app = App(Settings(state_dir=str(tmp_path / "state"), http="", collectors=()), Otel())
    app.server._servers += [Door(), Door()]  # type: ignore[list-item]  # what is asked of a server here
    await app.server.stop(1.0)
    assert Door.most == 2
