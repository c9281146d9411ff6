"""The catalogue in PromQL: names of metrics and labels, and what tells one model's series from another's."""

from __future__ import annotations

from collections.abc import Iterable

from agent.records import ModelKey, Role
from agent.telemetry import CATALOGUE

MODEL = tuple(ModelKey("name", "version", Role.SHADOW, "deployment", "tenant").attributes())
"""Attributes of every point about a model; empty ones are left out."""
VALUES = "[0-9]+"  # of sidelight.bin: the bins that hold values


def metric(name: str) -> str:
    """The name in Prometheus. Raises KeyError for what is not in the catalogue."""
    return CATALOGUE[name].in_prometheus


def label(attribute: str, of: str = "") -> str:
    """The attribute's label; of: a metric that must carry it, else every model's does. Raises KeyError."""
    if attribute not in (CATALOGUE[of].attributes if of else MODEL):
        raise KeyError(f"{of or 'a model'} has no attribute {attribute}")
    return attribute.replace(".", "_")


def labels(attributes: Iterable[str]) -> str:
    """As in `by (...)`."""
    return ", ".join(each.replace(".", "_") for each in attributes)


def known_names() -> frozenset[str]:
    """Every metric and every label that a query may name."""
    attributes = {attribute for each in CATALOGUE.values() for attribute in each.attributes} | set(MODEL)
    return frozenset({each.in_prometheus for each in CATALOGUE.values()} | {a.replace(".", "_") for a in attributes})
