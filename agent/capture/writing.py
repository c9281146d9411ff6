"""Parts to Parquet files, off the loop: a folder, or any place that fsspec knows.

pyarrow and fsspec are imported here alone, and only where SIDELIGHT_CAPTURE is set.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agent.capture.capture import Capture
from agent.capture.parts import Part
from agent.capture.records import capture_key
from agent.capture.table import parquet
from agent.config import Settings
from agent.errors import ConfigurationError

LOOK_SECONDS = 1.0
WRITE_SECONDS = 60.0  # a place that does not answer for so long is tried again
RETRY_SECONDS = (1.0, 300.0)  # first, and at most: doubled after each failure
log = logging.getLogger("sidelight.capture")


@dataclass(frozen=True)
class Place:
    """Where files go. url: a folder, or a URL that fsspec knows."""

    url: str

    @classmethod
    def of(cls, settings: Settings) -> Place | None:
        """None: nothing is captured. Raises ConfigurationError where this cannot work."""
        if not settings.capture:
            return None
        expected = "the extra of the distribution: pip install 'sidelight-agent[capture]'"
        for module in ("pyarrow", "pyarrow.parquet", *(("fsspec",) if "://" in settings.capture else ())):
            try:
                importlib.import_module(module)
            except ImportError as error:
                raise ConfigurationError("SIDELIGHT_CAPTURE", settings.capture, f"{expected} ({error})") from None
        try:
            capture_key(settings)
        except (OSError, UnicodeDecodeError) as error:
            expected = f"a readable file of text ({error})"
            raise ConfigurationError("SIDELIGHT_CAPTURE_KEY_FILE", settings.capture_key_file, expected) from None
        return cls(settings.capture)._checked()

    def _checked(self) -> Place:
        """Raises ConfigurationError where the folder cannot be made, or nobody knows the URL's protocol."""
        try:
            if "://" in self.url:
                _file_system(self.url)
            else:
                Path(self.url).mkdir(parents=True, exist_ok=True, mode=0o700)
                if not os.access(self.url, os.W_OK):
                    raise PermissionError("not writable")
        except (OSError, ValueError, ImportError) as error:
            expected = f"a folder that can be written, or a URL that fsspec knows ({error})"
            raise ConfigurationError("SIDELIGHT_CAPTURE", self.url, expected) from None
        return self

    def write(self, path: str, content: bytes) -> None:
        """Whole or not at all; over what lies there already. Blocking. Raises whatever the place raises."""
        if "://" not in self.url:
            _replace(Path(self.url) / path, content)
            return
        system, root = _file_system(self.url)
        target = f"{root.rstrip('/')}/{path}"
        if "file" in _protocols(system):
            _replace(Path(target), content)
            return
        system.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
        system.pipe_file(target, content)  # one PUT: object stores show it whole or not at all


def _file_system(url: str) -> tuple[Any, str]:
    fsspec = importlib.import_module("fsspec.core")
    found: tuple[Any, str] = fsspec.url_to_fs(url)
    return found


def _protocols(system: Any) -> tuple[str, ...]:
    found = system.protocol
    return (found,) if isinstance(found, str) else tuple(found)


def _replace(target: Path, content: bytes) -> None:
    """Mode 0600, on disk before it has its name."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    half = target.with_name(f".{target.name}.half")
    with contextlib.suppress(FileNotFoundError):
        half.unlink()
    try:
        with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(half, target)
    except OSError:  # a full disk is not to be filled with halves
        with contextlib.suppress(OSError):
            half.unlink()
        raise
    folder = os.open(target.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Writer:
    """Writes what the captures have ready. A failure is said, and tried again later; the model never notices."""

    def __init__(self, place: Place, agent: str, captures: Callable[[], Iterable[Capture]]) -> None:
        """agent: stands in every file's name, and is the same after a restart."""
        self._place, self._agent, self._captures = place, agent, captures
        self._wait_seconds, self._not_before = 0.0, 0.0
        self._at_work: asyncio.Future[Exception | None] | None = None  # the attempt that waits for the place
        self.failures = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if time.monotonic() >= self._not_before:
                await self.write_all()

    async def write_all(self) -> None:
        """Everything that is ready, the oldest first; up to the first failure of the place."""
        for capture in list(self._captures()):
            for part in capture.unwritten():
                content = await self._made(part)
                if content is None:
                    capture.dropped(part.number)
                    continue
                if not await self._write(part, content):
                    return
                capture.written(part.number)

    async def _made(self, part: Part) -> bytes | None:
        """The file's bytes. None: it can be none, today or tomorrow; the next parts do not wait for it."""
        try:
            return await asyncio.to_thread(parquet, part)
        except MemoryError:
            raise
        except Exception as error:  # of it only its kind: a message may hold a value
            log.error("capture_part_dropped rows=%d error=%s", len(part.lines), type(error).__name__)
            return None

    async def _write(self, part: Part, content: bytes) -> bool:
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._aside(partial(self._place.write, part.path(self._agent), content))
        except Exception as error:
            self.failures += 1
            first, most = RETRY_SECONDS
            self._wait_seconds = min(max(first, 2.0 * self._wait_seconds), most)
            self._not_before = time.monotonic() + self._wait_seconds
            # Of the error its kind alone: a message may hold a value, or a URL with a secret.
            log.warning("capture_not_written retry_seconds=%g error=%s", self._wait_seconds, type(error).__name__)
            return False
        self._wait_seconds = 0.0
        return True

    async def _aside(self, work: Callable[[], None]) -> None:
        """In a thread of its own, one at a time: a place that hangs holds up no other work, nor the end. Waits for the
        one before, which an end may have left at its work."""
        while self._at_work is not None:
            await asyncio.shield(self._at_work)
        loop = asyncio.get_running_loop()
        self._at_work = done = loop.create_future()

        def say(error: Exception | None) -> None:
            self._at_work = None
            done.set_result(error)

        def run() -> None:
            found = None
            try:
                work()
            except Exception as error:
                found = error
            with contextlib.suppress(RuntimeError):  # the loop is no more
                loop.call_soon_threadsafe(say, found)

        threading.Thread(target=run, name="capture", daemon=True).start()
        if (error := await asyncio.shield(done)) is not None:
            raise error
