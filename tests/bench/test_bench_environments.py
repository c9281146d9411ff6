"""Peers are installed once, and where they cannot be had the benchmarks go on without them."""

from __future__ import annotations

from pathlib import Path

from bench.environments import installed


def test_what_is_installed_is_not_installed_again(tmp_path: Path) -> None:
    """The mark holds the very requirements it was made from."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("a-package==1\n")
    (tmp_path / "peer").mkdir()
    (tmp_path / "peer" / "installed").write_text("a-package==1\n")
    assert installed(tmp_path / "peer", requirements) == tmp_path / "peer" / "bin" / "python"
    assert not (tmp_path / "peer" / "bin").exists()


def test_what_cannot_be_made_is_said_and_left_out(tmp_path: Path) -> None:
    """Here a file lies where the environment should."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("a-package==1\n")
    assert installed(requirements / "peer", requirements) is None
    assert requirements.read_text() == "a-package==1\n"
