"""Peers are installed once, and where they cannot be had the benchmarks go on without them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.environments import Foreign, installed


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


def test_a_foreign_script_answers_line_by_line_and_its_end_is_said(tmp_path: Path) -> None:
    """What it announces by itself, an answer, and silence."""
    script = tmp_path / "child.py"
    script.write_text(
        "import os, sys\nprint('{\"said\": 1}', flush=True)\nprint(os.environ['N'] + input(), flush=True)"
    )
    with Foreign(Path(sys.executable), script, tmp_path, N="4") as child:
        assert child.answer() == {"said": 1}
        assert child.ask("2") == 42
        with pytest.raises(OSError, match=r"child\.py by hand"):
            child.answer()
