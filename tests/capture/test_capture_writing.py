"""Files of the feedback set: where they lie, who may read them, and what happens when that fails."""

from __future__ import annotations

import builtins
import os
import stat
import subprocess
import sys
from pathlib import Path

import fsspec
import numpy as np
import pyarrow.parquet
import pytest

from agent.capture.capture import Capture
from agent.capture.reading import feedback
from agent.capture.writing import Place, Writer
from agent.cli import WRONG_CONFIGURATION, main
from agent.config import Settings
from agent.errors import ConfigurationError, UnusableReferenceError
from tests.capture.stream import START, batch, capture, close, ids, pairs, write


def ready(place: Path | str) -> Capture:
    """Twenty rows and their labels, ready to be written."""
    made = capture(place)
    made.predicted(batch(0, np.linspace(1.0, 20.0, 20)), START)
    made.labelled(pairs(0, np.ones(20)), START)
    close(made, START)
    return made


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
