"""The reference file: what was written comes back, what was damaged is refused by name."""

from __future__ import annotations

import os
import stat
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from agent.errors import CorruptError, UnusableReferenceError
from agent.records import Kind
from agent.reference import file
from agent.reference.profile import Reference
from agent.sketches.quantiles import Quantiles
from agent.wire import reference_pb2 as pb
from tests.reference.references import small_reference

HASH_OF_FORMAT_1 = 0xC27A603E5431325C  # of the layout below, as the releases that wrote format 1 reckoned it


def test_round_trip_keeps_every_field() -> None:
    """decode(encode(x)) equals x field by field, and encodes to the same bytes."""
    before = small_reference()
    data = file.encode(before)
    after = file.decode(data)
    for field in fields(before):
        np.testing.assert_equal(getattr(after, field.name), getattr(before, field.name), field.name)
    assert after.hash == before.hash
    assert file.encode(after) == data
    assert all(Quantiles.from_bytes(blob).count == 10 for blob in after.quantiles.values())


def test_sections_of_a_newer_version_survive_a_rewrite() -> None:
    """A section nobody here knows is read, kept and written back as it was."""
    newer = replace(small_reference(), unknown=(("calibration", b"\x00\xffbytes"), ("loss", b"")))
    again = file.decode(file.encode(file.decode(file.encode(newer))))
    assert again.unknown == newer.unknown


def test_every_flipped_byte_is_found() -> None:
    """Each byte of the file, changed in three ways, ends in CorruptError, never in a reference or a dead process."""
    data = file.encode(small_reference())
    for position in range(len(data)):
        for mask in (0x01, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[position] ^= mask
            with pytest.raises(CorruptError):
                file.decode(bytes(damaged))


def test_random_damage_is_found() -> None:
    """2,000 files cut short, with several bytes changed, with parts doubled or swapped, or of pure noise."""
    rng = np.random.default_rng(3)
    data = file.encode(small_reference())
    for trial in range(2000):
        a, b = sorted(rng.integers(0, len(data), 2).tolist())
        if trial % 4 == 0:
            damaged = data[:a]
        elif trial % 4 == 1:
            damaged = data[:a] + rng.bytes(b - a + 1) + data[b:]
        elif trial % 4 == 2:
            damaged = data[:b] + data[a : b + 1] + data[b:]
        else:
            damaged = rng.bytes(int(rng.integers(0, 300)))
        if damaged == data:
            continue
        with pytest.raises(CorruptError):
            file.decode(damaged)


def test_a_damaged_section_is_named() -> None:
    """The message says which file and which section."""
    stored = pb.ReferenceFile.FromString(file.encode(small_reference()))
    stored.sections[1].body += b"x"
    with pytest.raises(CorruptError, match=r"m\.sidelight: section 'blocks'"):
        file.decode(stored.SerializeToString(), "m.sidelight")


def test_a_lost_section_is_found_though_the_others_are_whole() -> None:
    """Sections taken out or in another order do not pass, even optional ones."""
    stored = pb.ReferenceFile.FromString(file.encode(small_reference()))
    del stored.sections[2]
    with pytest.raises(CorruptError, match="not those that were written"):
        file.decode(stored.SerializeToString())


def _rewritten(change: str) -> bytes:
    """A file with right checksums that says something impossible."""
    reference = small_reference()
    layout = reference.layout
    if change == "edges":
        age = replace(layout.features[1], edges=(1.0, 1.0, 2.0))
        features = (layout.features[0], age, *layout.features[2:])
        return file.encode(replace(reference, layout=replace(layout, features=features)))
    if change == "window":
        return file.encode(replace(reference, layout=replace(layout, window_seconds=0.0)))
    if change == "cells":
        return file.encode(replace(reference, blocks=reference.blocks[:, :-1]))
    return file.encode(replace(reference, blocks=-reference.blocks - 1))


@pytest.mark.parametrize("change", ["edges", "window", "cells", "negative"])
def test_impossible_content_is_refused_whatever_the_checksum(change: str) -> None:
    """Edges that do not rise, a window of no length, counts that do not fit the bins, or are below zero."""
    with pytest.raises(CorruptError, match=r"section (layout|blocks)"):
        file.decode(_rewritten(change))


def test_a_newer_format_is_not_called_corrupt() -> None:
    """A whole file of format 3 asks for a newer version instead."""
    stored = pb.ReferenceFile.FromString(file.encode(small_reference()))
    stored.format = 3
    stored.checksum = file._file_checksum(stored)
    with pytest.raises(UnusableReferenceError, match="format 3"):
        file.decode(stored.SerializeToString())


def _with_rare_cells(cells: int) -> Reference:
    reference = small_reference()
    features = tuple(replace(f, rare_cells=cells) if f.name == "city" else f for f in reference.layout.features)
    layout = replace(reference.layout, features=features)
    return replace(reference, layout=layout, blocks=np.ones((3, layout.cells), dtype=np.int32))


def test_cells_of_rare_values_need_a_reader_that_knows_them() -> None:
    """Eight cells come back, in a file of format 2, which older agents refuse by name instead of misreading the counts.
    Without them the file is of format 1, byte for byte what it always was, and so is the hash of its bins."""
    plain, rare = file.encode(small_reference()), file.encode(_with_rare_cells(8))
    assert [pb.ReferenceFile.FromString(data).format for data in (plain, rare)] == [1, 2]
    assert file.encode(file.decode(rare)) == rare
    assert file.decode(rare).layout.features[2].rare_cells == 8
    assert file.decode(plain).layout.hash == HASH_OF_FORMAT_1
    assert file.decode(rare).layout.hash != HASH_OF_FORMAT_1


@pytest.mark.parametrize(("cells", "kind"), [(9, Kind.TEXT), (2, Kind.FLAG)])
def test_cells_of_rare_values_that_nobody_wrote_are_refused(cells: int, kind: Kind) -> None:
    """More than there are hashes for, or of values that are no texts."""
    reference = _with_rare_cells(cells)
    features = tuple(replace(f, kind=kind) if f.name == "city" else f for f in reference.layout.features)
    with pytest.raises(CorruptError, match=f"city: {cells} cells of rare values"):
        file.decode(file.encode(replace(reference, layout=replace(reference.layout, features=features))))


def test_writing_replaces_the_file_whole(tmp_path: Path) -> None:
    """The file is readable by others whatever the umask, and nothing else is left in the folder."""
    path = tmp_path / "m.sidelight"
    path.write_bytes(b"old")
    before = os.umask(0o077)
    try:
        file.write(small_reference(), path)
    finally:
        os.umask(before)
    assert file.decode(path.read_bytes()).hash == small_reference().hash
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """Where the new file cannot take its place, nothing half-written stays."""
    folder = tmp_path / "m.sidelight"
    folder.mkdir()
    (folder / "kept").touch()
    with pytest.raises(OSError, match="directory"):
        file.write(small_reference(), folder)
    assert [p.name for p in tmp_path.iterdir()] == ["m.sidelight"]


def test_what_no_agent_would_read_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said where it is built, with the limit, instead of at the agent's start."""
    size = len(file.encode(small_reference()))
    monkeypatch.setattr(file, "LIMIT_BYTES", size)
    file.write(small_reference(), tmp_path / "fits.sidelight")
    monkeypatch.setattr(file, "LIMIT_BYTES", size - 1)
    with pytest.raises(UnusableReferenceError, match=f"{size} bytes, more than the {size - 1} an agent reads"):
        file.write(small_reference(), tmp_path / "large.sidelight")
    assert [path.name for path in tmp_path.iterdir()] == ["fits.sidelight"]
