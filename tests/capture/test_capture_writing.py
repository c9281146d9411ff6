"""Files of the feedback set: where they lie, who may read them, and what happens when that fails."""

from __future__ import annotations

import asyncio
import builtins
import os
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pyarrow.parquet
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from agent.capture.capture import Capture
from agent.capture.reading import feedback
from agent.capture.writing import Place, Writer
from agent.cli import WRONG_CONFIGURATION, main
from agent.config import Settings
from agent.errors import ConfigurationError, UnusableReferenceError
from agent.records import ModelKey
from tests.capture.stream import START, batch, capture, close, ids, pairs, write


def ready(place: Path | str) -> Capture:
    """Twenty rows and their labels, ready to be written."""
    made = capture(place)
    made.predicted(batch(0, np.linspace(1.0, 20.0, 20)), START)
    made.labelled(pairs(0, np.ones(20)), START)
    close(made, START)
    return made


def files(folder: Path) -> list[tuple[str, ...]]:
    """The parts of each file's path."""
    return [path.relative_to(folder).parts for path in folder.rglob("*.parquet")]


async def test_files_are_the_owners_alone_and_have_stable_names(tmp_path: Path) -> None:
    """Mode 0600, whole, in folders by kind, model, version and day."""
    made, folder = ready(tmp_path / "set"), tmp_path / "set"
    place = Place.of(Settings(capture=str(folder)))
    assert place is not None
    await Writer(place, "pod-1", lambda: [made]).write_all()
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert found == [
        "labels/loans/3/2023-11-05/pod-1-20231105T160000-00000002.parquet",
        "records/loans/3/2023-11-05/pod-1-20231105T160000-00000001.parquet",
    ]  # fmt: skip
    for name in found:
        assert stat.S_IMODE(os.stat(folder / name).st_mode) == 0o600
    table = pyarrow.parquet.read_table(folder / found[1])
    assert sorted(table["row_id"].to_pylist()) == sorted(f"{one:016x}" for one in ids(0, 20).tolist())
    assert set(table["feature.member"].to_pylist()) == {True, False}
    assert table["weight"].to_pylist() == [1.0] * 20
    assert made.unwritten() == []


async def test_any_place_that_fsspec_knows() -> None:
    """Here its memory; read back by the same URL."""
    url = "memory://feedback-set"
    made = ready(url)
    place = Place.of(Settings(capture=url))
    assert place is not None
    await Writer(place, "a", lambda: [made]).write_all()
    assert len(fsspec.filesystem("memory").glob("/feedback-set/**/*.parquet")) == 2
    assert feedback(url).num_rows == 20


async def test_a_folder_as_a_url_is_a_folder(tmp_path: Path) -> None:
    """file://: whole or not at all, and the owner's alone, as by its path."""
    url = f"file://{tmp_path}/set"
    made = ready(url)
    place = Place.of(Settings(capture=url))
    assert place is not None
    await Writer(place, "a", lambda: [made]).write_all()
    found = [tmp_path / "set" / Path(*parts) for parts in files(tmp_path / "set")]
    assert [stat.S_IMODE(path.stat().st_mode) for path in found] == [0o600, 0o600]
    assert feedback(url).num_rows == feedback(str(tmp_path / "set")).num_rows == 20


async def test_a_place_that_fails_is_tried_again_and_loses_nothing(tmp_path: Path) -> None:
    """A file stands where a folder should be, then no more."""
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "records").write_text("in the way")
    made = ready(folder)
    writer = Writer(Place(str(folder)), "a", lambda: [made])
    await writer.write_all()
    assert writer.failures == 1
    assert len(made.unwritten()) == 2
    (folder / "records").unlink()
    await writer.write_all()
    assert made.unwritten() == []
    assert feedback(str(folder)).num_rows == 20


async def test_a_half_written_file_is_no_file(tmp_path: Path) -> None:
    """What a kill left is written over, and readers never see it."""
    made = ready(tmp_path)
    for part in made.unwritten():
        target = tmp_path / part.path("a")
        target.parent.mkdir(parents=True)
        (target.parent / f".{target.name}.half").write_bytes(b"PAR1 and then nothing")
    await Writer(Place(str(tmp_path)), "a", lambda: [made]).write_all()
    assert feedback(str(tmp_path)).num_rows == 20
    assert not any(name.endswith(".half") for _, _, names in os.walk(tmp_path) for name in names)


async def test_a_part_that_can_be_no_file_keeps_no_other_back(tmp_path: Path) -> None:
    """A line of the state that is no JSON: its rows are dropped and counted, the next part is written."""
    made = ready(tmp_path)
    first = made.unwritten()[0]
    made.state.waiting[first.number] = replace(first, lines=(b'["half', *first.lines))
    writer = Writer(Place(str(tmp_path)), "a", lambda: [made])
    await writer.write_all()
    assert (made.unwritten(), writer.failures) == ([], 0)
    assert made.state.counts["dropped"] == 21
    assert made.show()["note"] == "21 rows were dropped: they could not be written"
    assert [parts[0] for parts in files(tmp_path)] == ["labels"]


async def test_names_of_any_length_are_files(tmp_path: Path) -> None:
    """A model's name of 500 letters that are nine signs each in a path: shortened, and still its own."""
    made, names = ready(tmp_path), ("ß" * 500, "ß" * 499)
    for i, part in enumerate(made.unwritten()):
        made.state.waiting[part.number] = replace(part, model=ModelKey(names[i], "../" * 100))
    await Writer(Place(str(tmp_path)), "a" * 300, lambda: [made]).write_all()
    found = files(tmp_path)
    assert len({parts[1] for parts in found}) == 2
    assert all(len(part) <= 255 for parts in found for part in parts)


class Hanging(MemoryFileSystem):  # type: ignore[misc]
    """A place that answers when it is told to."""

    protocol = "hanging"
    answers = threading.Event()
    asked = 0

    def pipe_file(self, path: str, value: bytes, **how: object) -> None:
        Hanging.asked += 1
        self.answers.wait(30.0)


async def test_a_place_that_hangs_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread at most hangs with it, none that others need or that the end waits for; nothing is lost."""
    fsspec.register_implementation("hanging", Hanging, clobber=True)
    monkeypatch.setattr("agent.capture.writing.WRITE_SECONDS", 0.05)
    monkeypatch.setattr(Hanging, "answers", threading.Event())
    monkeypatch.setattr(Hanging, "asked", 0)
    made = ready("hanging://set")
    writer = Writer(Place("hanging://set"), "a", lambda: [made])
    for _ in range(3):
        await writer.write_all()
    while not Hanging.asked:  # noqa: ASYNC110 - a thread's count
        await asyncio.sleep(0.001)
    assert (writer.failures, Hanging.asked, len(made.unwritten())) == (3, 1, 2)
    hands = [thread for thread in threading.enumerate() if thread.name == "capture"]
    assert [hand.daemon for hand in hands] == [True]
    Hanging.answers.set()
    hands[0].join()
    monkeypatch.setattr("agent.capture.writing.WRITE_SECONDS", 60.0)
    await writer.write_all()
    assert made.unwritten() == []


async def test_an_end_in_the_midst_of_a_write_writes_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that is being written when the agent ends does not keep the others from theirs."""
    fsspec.register_implementation("hanging", Hanging, clobber=True)
    monkeypatch.setattr("agent.capture.writing.LOOK_SECONDS", 0.0)
    monkeypatch.setattr(Hanging, "answers", threading.Event())
    monkeypatch.setattr(Hanging, "asked", 0)
    made = ready("hanging://set")
    writer = Writer(Place("hanging://set"), "a", lambda: [made])
    running = asyncio.create_task(writer.run())
    while not Hanging.asked:  # noqa: ASYNC110 - a thread's count
        await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.wait([running])
    ending = asyncio.create_task(writer.write_all())
    await asyncio.sleep(0.05)
    Hanging.answers.set()
    await ending
    assert (writer.failures, made.unwritten()) == (0, [])


def test_a_full_disk_leaves_no_half(tmp_path: Path) -> None:
    """As much may be written as a file has before its end: an error, and nothing stays behind."""
    script = """
import pathlib, resource, sys
from agent.capture.writing import Place
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    Place(sys.argv[1]).write("records/a/b.parquet", bytes(100_000))
except OSError as error:
    print(type(error).__name__, [path.name for path in pathlib.Path(sys.argv[1]).rglob("*.*")])
"""
    told = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert told.stdout == "OSError []\n", told.stderr


@pytest.mark.parametrize("place", ["sftp://me:hunter2@host/set", "https://host/set?sig=hunter2"])
def test_a_secret_in_the_url_is_refused_and_not_said(place: str) -> None:
    """Neither in the error nor, later, in what `sidelight config` and the log say."""
    with pytest.raises(ConfigurationError) as told:
        Settings(capture=place)
    assert "SIDELIGHT_CAPTURE=(hidden)" in str(told.value)
    assert "hunter2" not in str(told.value)


def test_a_file_that_is_not_whole_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By `sidelight feedback`, rather than a traceback."""
    made = ready(tmp_path)
    write(made, tmp_path)
    half = next(tmp_path.rglob("records/**/*.parquet"))
    half.write_bytes(half.read_bytes()[:100])
    assert main(["feedback", str(tmp_path), "-o", str(tmp_path / "x.parquet")]) == WRONG_CONFIGURATION
    assert f"{half}: not a whole Parquet file" in capsys.readouterr().err


def test_without_the_extra_the_start_says_which(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A configuration error that names the option and what to install; without the option nothing is imported."""
    real = builtins.__import__

    def missing(name: str, *rest: object, **more: object) -> object:
        if name.split(".")[0] in ("pyarrow", "fsspec"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigurationError, match=r"SIDELIGHT_CAPTURE=.*sidelight-agent\[capture\]"):
        Place.of(Settings(capture=str(tmp_path)))
    assert Place.of(Settings()) is None


@pytest.mark.parametrize("place", ["/proc/nothing/here", "nosuchprotocol://bucket/path"])
def test_a_place_that_cannot_be_is_a_wrong_configuration(place: str) -> None:
    """Said at the start."""
    with pytest.raises(ConfigurationError, match="SIDELIGHT_CAPTURE="):
        Place.of(Settings(capture=place))


def test_the_set_is_written_as_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What training reads: each record with its truth."""
    made = ready(tmp_path / "set")
    write(made, tmp_path / "set")
    assert main(["feedback", str(tmp_path / "set"), "-o", str(tmp_path / "train.parquet")]) == 0
    assert "20 rows (20 uniform)" in capsys.readouterr().out
    table = pyarrow.parquet.read_table(tmp_path / "train.parquet")
    assert {"feature.age", "feature.city", "output.score", "segment.region", "actual", "weight"} <= set(
        table.schema.names
    )


def test_an_empty_place_says_so(tmp_path: Path) -> None:
    """Rather than an empty file."""
    with pytest.raises(UnusableReferenceError, match="no files"):
        feedback(str(tmp_path))
    assert main(["feedback", str(tmp_path), "-o", str(tmp_path / "x.parquet")]) == WRONG_CONFIGURATION


def test_the_agent_does_not_start_without_the_extra(tmp_path: Path) -> None:
    """Exit code 2, and what to install."""
    script = "import sys; sys.modules['pyarrow'] = None; from agent.cli import main; sys.exit(main(['run']))"
    environment = {"PATH": os.environ["PATH"], "SIDELIGHT_CAPTURE": str(tmp_path / "set"), "SIDELIGHT_HTTP": "none"}
    environment |= {"SIDELIGHT_ENDPOINT": f"unix:{tmp_path}/s", "SIDELIGHT_STATE_DIR": str(tmp_path / "state")}
    environment |= {"SIDELIGHT_COLLECTORS": "none", "PYTHONPATH": os.getcwd()}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == WRONG_CONFIGURATION, ended.stderr
    assert "sidelight-agent[capture]" in ended.stderr
