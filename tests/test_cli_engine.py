"""Which of gRPC's two ways to listen the agent asks for."""

from __future__ import annotations

import importlib.metadata
import os

import pytest

from agent import cli


@pytest.mark.parametrize(
    ("release", "given", "asked"),
    [
        ("1.85.1", None, "-event_engine_listener"),
        ("1.66.0", None, "-event_engine_listener"),
        ("1.85.1", "work_serializer", "work_serializer"),
        ("1.86.0", None, None),
        ("2.0.0", None, None),
    ],
)
def test_the_engine_is_chosen_only_where_grpc_has_two(
    monkeypatch: pytest.MonkeyPatch, release: str, given: str | None, asked: str | None
) -> None:
    """A release that may have one engine only is left alone, and so is what the operator asked for."""
    monkeypatch.setattr(importlib.metadata, "version", lambda _: release)
    monkeypatch.setenv("GRPC_EXPERIMENTS", given or "")  # so that it is put back as it was
    if given is None:
        monkeypatch.delenv("GRPC_EXPERIMENTS")
    cli._keep_grpc_engine()
    assert os.environ.get("GRPC_EXPERIMENTS") == asked
