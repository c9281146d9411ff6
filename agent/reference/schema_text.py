"""A schema as the TOML text a person will edit. Only what the schema needs of TOML; the standard library reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from agent.records import Source
from agent.reference.schema import OUTPUTS, TASKS, TYPES, FeatureSchema, Schema, duration_text

HEAD = """\
# What `sidelight reference build` found, for you to correct. Used by: sidelight reference build --schema THIS-FILE
#   type      number, text, flag or vector
#   integral  numbers: every value was whole; later fractions are counted
#   critical  a larger part of the false-alarm budget
#   public    category names may leave the pod in metrics and alerts (else: stable numbers)
#   ignored   counted, never judged
#   edges, categories   optional: bins of your own instead of those made from the data
# Demands of your own, optional; broken in one window, it is an alarm:
#   required     in every record            never_null   no null, no NaN       max_missing = 0.02   at most 2 % missing
#   whole        no fractions               range = [0, 120]   nothing outside (-inf, inf: no bound)
#   allowed = ["a", "b"]   no other text    closed       no text the reference lacks    max_new = 0.01   at most 1 %
"""


def render(schema: Schema) -> str:
    """TOML that `schema.parse` reads back to an equal schema."""
    parts = [HEAD]
    tasks = {number: name for name, number in TASKS.items()}
    if schema.task in tasks:
        parts.append(f"task = {_text(tasks[schema.task])}")
    if schema.positive_label:
        parts.append(f"positive_label = {_text(schema.positive_label)}")
    if schema.window_seconds:
        parts.append(f"window = {_text(duration_text(schema.window_seconds))}")
    if schema.segments:
        parts.append(f"segments = {_texts(schema.segments)}")
    if schema.protected:
        parts.append(f"protected = {_texts(schema.protected)}")
    outputs = {source: name for name, source in OUTPUTS.items()}
    for (source, name), feature in schema.features.items():
        header = f"features.{_key(name)}" if source is Source.FEATURE else outputs[source]
        parts.append(f"\n[{header}]\n{_feature(feature)}".rstrip())
    return "\n".join(parts) + "\n"


def _feature(feature: FeatureSchema) -> str:
    names = {kind: name for name, kind in TYPES.items()}
    lines = [f"type = {_text(names[feature.kind])}"] if feature.kind is not None else []
    if feature.integral is not None:
        lines.append(f"integral = {_flag(feature.integral)}")
    lines += [f"{name} = true" for name in ("critical", "public", "ignored") if getattr(feature, name)]
    if feature.edges:
        lines.append(f"edges = [{', '.join(repr(float(edge)) for edge in feature.edges)}]")
    if feature.categories:
        lines.append(f"categories = {_texts(feature.categories)}")
    return "\n".join([*lines, *_demands(feature)])


def _demands(feature: FeatureSchema) -> list[str]:
    lines = [f"{name} = true" for name in ("required", "never_null", "whole") if getattr(feature, name)]
    if feature.range is not None:
        lines.append(f"range = [{', '.join(map(repr, feature.range))}]")
    if feature.allowed:
        lines.append(f"allowed = {_texts(feature.allowed)}")
    if feature.closed is not None:
        lines.append(f"closed = {_flag(feature.closed)}")
    lines += [f"{name} = {getattr(feature, name)!r}" for name in ("max_missing", "max_new")
              if getattr(feature, name) != 1.0]  # fmt: skip
    return lines


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _text(value: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which TOML wants escaped too.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _texts(values: Sequence[str]) -> str:
    return f"[{', '.join(_text(value) for value in values)}]"
