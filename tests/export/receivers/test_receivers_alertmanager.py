"""Alertmanagers on real sockets that keep, as the real one does, what they were told until it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agent.config import Otel
from agent.errors import RetryableError
from agent.export.receivers.resending import BATCH, Resending
from agent.records import Event
from tests.export.backend import Got, HttpBackend, Say
from tests.export.receivers.people import alert, listening, options
from tests.export.scene import Scene, scene

INTERVAL = 60.0


def firing(backend: HttpBackend, now_ns: int) -> set[str]:
    """The alerts this replica believes in now: the newest word on each, while its end lies ahead."""
    newest: dict[str, tuple[str, float]] = {}
    for got in backend.taken:
        for entry in entries(got):
            ends = datetime.fromisoformat(entry["endsAt"]).timestamp()
            newest[json.dumps(entry["labels"], sort_keys=True)] = f"{name(entry)}", ends
    return {said for said, ends in newest.values() if ends > now_ns / 1e9}


def entries(got: Got) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(got.body)
    return found


def name(entry: dict[str, Any]) -> str:
    return f"{entry['labels']['model']} {entry['labels']['severity']}"


@dataclass
class Told:
    """The exporter, and the book it looks into."""

    s: Scene
    book: list[Event] = field(default_factory=list)

    @property
    def lanes(self) -> list[Resending]:
        return self.s.exporter._alerts.resending

    async def turn(self, seconds: float = 0.0) -> None:
        """Time passes, then every replica is told how things are."""
        self.s.clock.turn(seconds)
        for lane in self.lanes:
            await lane.post()


@asynccontextmanager
async def telling(folder: Path, *urls: str, run: bool = False, **values: Any) -> AsyncIterator[Told]:
    settings = options(alertmanager_urls=urls, alertmanager_seconds=INTERVAL, **values)
    async with scene(folder, Otel(), settings, run=run) as s:
        told = Told(s)
        s.exporter.watch(lambda: told.book)
        yield told


async def test_what_fires_is_told_again_until_it_ends(tmp_path: Path) -> None:
    """It fires for as long as it is in the book, however long that is; its end is said once, with the time of it."""
    async with listening() as (backend, url), telling(tmp_path, url) as told:
        told.book = [alert()]
        for _ in range(10):
            await told.turn(INTERVAL)
            assert firing(backend, told.s.clock.now_ns()) == {"fares warning"}
        told.book = []
        await told.turn(INTERVAL)
        assert firing(backend, told.s.clock.now_ns()) == set()
        await told.turn(INTERVAL)
        assert len(backend.taken) == 11
        assert len({json.dumps(entries(got)[0]["labels"]) for got in backend.taken}) == 1
        assert told.s.of("alertmanager-1").delivered == 11


async def test_an_agent_that_dies_takes_its_alerts_along(tmp_path: Path) -> None:
    """Nobody says again that it fires: after four intervals it does not. Three missed posts do not end it."""
    async with listening() as (backend, url), telling(tmp_path, url) as told:
        told.book = [alert()]
        await told.turn()
        died = told.s.clock.now_ns()
        assert firing(backend, died + int(3.9 * INTERVAL * 1e9)) == {"fares warning"}
        assert firing(backend, died + int(4.1 * INTERVAL * 1e9)) == set()


async def test_a_severity_that_rises_ends_the_lesser_alert(tmp_path: Path) -> None:
    """Routes go by severity: it is another alert there, and never both."""
    async with listening() as (backend, url), telling(tmp_path, url) as told:
        told.book = [alert()]
        await told.turn()
        told.book = [alert(severity="ERROR")]
        await told.turn(1.0)
        assert firing(backend, told.s.clock.now_ns() + 1) == {"fares critical"}


async def test_an_alert_that_comes_back_fires_again(tmp_path: Path) -> None:
    """Between two posts it ended and began anew: nobody is told of an end that was none."""
    async with listening() as (backend, url), telling(tmp_path, url) as told:
        for book in ([alert()], [], [alert(key="9-0")]):
            told.book = book
            await told.turn(1.0)
        assert firing(backend, told.s.clock.now_ns()) == {"fares warning"}
        assert len(backend.taken) == 3


async def test_an_end_waits_for_a_replica_that_is_away(tmp_path: Path) -> None:
    """Each replica has its own memory: the one that was down is told, with the time it ended; when it would have
    forgotten the alert by itself, no more."""
    async with (
        listening() as (backend, url), listening() as (other, other_url), telling(tmp_path, url, other_url) as told,
    ):  # fmt: skip
        told.book = [alert()]
        await told.turn()
        told.book, ended = [], told.s.clock.now_ns() + 10**9
        other.says("webhook", Say(503))
        with pytest.raises(RetryableError, match="503"):
            await told.turn(1.0)
        await told.turn(INTERVAL)
        said = entries(other.taken[-1])[0]["endsAt"]
        assert datetime.fromisoformat(said).timestamp() == pytest.approx(ended / 1e9, abs=0.01)
        assert (len(backend.taken), len(other.taken)) == (2, 2)
        assert dict(told.s.of("alertmanager-2").dropped) == {"superseded": 1}
        await told.s.assert_law()


async def test_an_old_end_is_not_told(tmp_path: Path) -> None:
    """A replica that was away for long has ended the alert by itself."""
    async with listening() as (backend, url), telling(tmp_path, url) as told:
        told.book = [alert()]
        await told.turn()
        told.book = []
        backend.says("webhook", Say(503))
        with pytest.raises(RetryableError, match="503"):
            await told.turn(1.0)
        await told.turn(5 * INTERVAL)
        assert len(backend.got) == 2


async def test_a_refusal_is_counted(tmp_path: Path) -> None:
    """Rejected, shown without the secret, and said anew the next time: state, not an event."""
    async with listening() as (backend, url):
        backend.says("webhook", Say(401, "no entry for Bearer hunter2"))
        async with telling(tmp_path, url, alertmanager_authorization="Bearer hunter2") as told:
            told.book = [alert()]
            await told.turn()
            assert told.s.of("alertmanager-1").rejected == 1
            assert told.s.of("alertmanager-1").last_error.endswith("no entry for (hidden)")
            await told.turn(INTERVAL)
            assert (told.s.of("alertmanager-1").delivered, told.s.of("alertmanager-1").last_error) == (1, "")
    assert backend.got[0].headers["authorization"] == "Bearer hunter2"


async def test_many_alerts_go_in_several_posts(tmp_path: Path) -> None:
    """A bounded number in each; none is forgotten."""
    async with listening() as (backend, url), telling(tmp_path, url) as told:
        told.book = [alert(model=f"m{number}") for number in range(BATCH + 1)]
        await told.turn()
        assert [len(entries(got)) for got in backend.taken] == [BATCH, 1]
        assert len(firing(backend, told.s.clock.now_ns())) == BATCH + 1


async def test_a_new_alert_is_told_at_once_and_a_hanging_replica_delays_no_other(tmp_path: Path) -> None:
    """Not at the next interval; the replica that does not answer holds up itself alone."""
    async with listening() as (backend, url), listening() as (stuck, stuck_url):
        stuck.says("webhook", Say(hang=True))
        async with telling(tmp_path, stuck_url, url, run=True) as told:
            await asyncio.sleep(0.02)  # the lanes look into an empty book, and wait
            told.book = [alert()]
            assert told.s.exporter.rows_for_events([alert()]) == []
            await told.s.until(lambda: bool(backend.taken))
            assert told.s.of("alertmanager-1").delivered == 0


async def test_what_changed_at_the_last_moment_is_told_at_the_end(tmp_path: Path) -> None:
    """An alert that fires, or ends, while the agent ends; what was told already is not told once more."""
    async with listening() as (backend, url), telling(tmp_path, url) as told:
        for posts, (book, believed) in enumerate((([alert()], {"fares warning"}), ([], set[str]())), 1):
            told.book = book
            told.s.exporter.rows_for_events([alert()])
            for _ in range(2):
                await told.s.exporter.stop(60.0)
            assert firing(backend, told.s.clock.now_ns()) == believed
            assert len(backend.taken) == posts
            told.s.clock.turn(1.0)


async def test_a_post_that_the_end_cut_off_is_made_again(tmp_path: Path) -> None:
    """The lane is cancelled with its request on the way; what fires is told before the agent is gone."""
    async with listening() as (backend, url), telling(tmp_path, url) as told:
        backend.says("webhook", Say(hang=True))
        told.book = [alert()]
        running = asyncio.create_task(told.lanes[0].run())
        await told.s.until(lambda: bool(backend.got))
        running.cancel()
        await asyncio.wait({running})
        await told.s.exporter.stop(60.0)
        assert firing(backend, told.s.clock.now_ns()) == {"fares warning"}


async def test_a_replica_that_comes_back_hears_how_things_are(tmp_path: Path) -> None:
    """Refused connections are tried again with growing pauses, and the post that arrives is the newest state."""
    async with listening() as (backend, url):
        port = backend.port
        await backend.stop()
        async with telling(tmp_path, url) as told:
            told.book = [alert()]
            with pytest.raises(RetryableError):
                await told.turn()
            told.book = [alert(model="rides")]
            backend.port = port
            await backend.start()
            await told.turn(1.0)
            assert firing(backend, told.s.clock.now_ns()) == {"rides warning"}
