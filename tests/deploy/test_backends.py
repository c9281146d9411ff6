"""The recipes of the backends, and what is said where they cannot be built."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deploy.backends import build


def told(folder: Path, *names: str, go: str = "") -> subprocess.CompletedProcess[str]:
    """The script run on a machine whose PATH holds this `go` alone: a shell script's text, or nothing."""
    tools = folder / "tools"
    tools.mkdir()
    if go:
        (tools / "go").write_text(f"#!/bin/sh\n{go}\n")
        (tools / "go").chmod(0o755)
    environment = os.environ | {"PATH": str(tools), "SIDELIGHT_BACKENDS_DIR": str(folder / "made")}
    return subprocess.run(
        [sys.executable, build.__file__, *names], env=environment, capture_output=True, text=True, check=False
    )


def test_the_collectors_manifest_is_of_the_builders_version() -> None:
    """The builder refuses parts of another version: every part is of its own, or of the stable modules' twin of it."""
    recipe = build.recipes()["otelcol"]
    manifest = yaml.safe_load((build.HERE / recipe.manifest).read_text())
    assert f"v{manifest['dist']['version']}" == recipe.version
    versions = {each["gomod"].split()[1] for kind in ("receivers", "exporters") for each in manifest[kind]}
    assert versions == {recipe.version}


def test_a_machine_without_go_is_told_what_is_missing(tmp_path: Path) -> None:
    """Exit 1 and one line with the version that is needed, before anything is made."""
    done = told(tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "go is not on the PATH" in line
    assert build.RECIPES["go"] in line
    assert not (tmp_path / "made").exists()


def test_an_old_go_is_named(tmp_path: Path) -> None:
    """Exit 1, with the version found and the one needed."""
    done = told(tmp_path, "prometheus", go="echo go1.21.3")
    assert done.returncode == 1
    assert "1.21.3" in done.stderr
    assert build.RECIPES["go"] in done.stderr


def test_a_build_that_fails_shows_why_and_leaves_nothing(tmp_path: Path) -> None:
    """What the tool said last, exit 1, no half-made binary."""
    go = 'if [ "$1" = env ]; then echo go1.99.0; else echo "403 Forbidden" >&2; exit 1; fi'
    done = told(tmp_path, "jaeger", go=go)
    assert done.returncode == 1
    assert "jaeger failed" in done.stderr
    assert "403 Forbidden" in done.stderr
    assert list((tmp_path / "made").iterdir()) == []


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    """Exit 2."""
    done = told(tmp_path, "grafana")
    assert done.returncode == 2
    assert "prometheus" in done.stderr


def test_a_binary_of_another_recipe_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the recipe of today made counts as built; a note that cannot be read counts as none."""
    monkeypatch.setenv("SIDELIGHT_BACKENDS_DIR", str(tmp_path))
    recipe = build.recipes()["otelcol"]
    (tmp_path / "otelcol").touch()
    assert build.binary("otelcol") is None
    (tmp_path / "otelcol.json").write_text(json.dumps({"digest": recipe.digest()}))
    assert build.binary("otelcol") == tmp_path / "otelcol"
    (tmp_path / "otelcol.json").write_text(json.dumps({"digest": "another"}))
    assert build.binary("otelcol") is None
    (tmp_path / "otelcol.json").write_text("{")
    assert build.binary("otelcol") is None
