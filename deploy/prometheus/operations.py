"""Unit tests of what the rules say beside drift: how good a fleet's predictions are, and what its agents suffer from.
simulation.py writes them into the file that `promtool test rules` runs."""

from __future__ import annotations

from agent.records import ModelKey
from deploy.promql import metric

STEP, MINUTES = 1, 120
OUTCOMES, MODEL = metric("sidelight.performance.outcomes"), ModelKey("taxi", "4").attributes()
PER_MINUTE = {
    "a": {("positive", "positive"): 9, ("positive", "negative"): 3, ("negative", "positive"): 1,
          ("negative", "negative"): 27},
    "b": {("positive", "positive"): 1, ("positive", "negative"): 7, ("negative", "positive"): 4,
          ("negative", "negative"): 8},
}  # fmt: skip
"""Labels by true class and decision, of each agent."""
NUMBERED = {"a": {("0", "0"): 5, ("1", "0"): 5}, "b": {("0", "0"): 2, ("1", "1"): 6, ("0", "1"): 2}}
"""Of a model whose classes each agent numbers by itself."""
TOLERANCE = 1e-9  # both sides of a quotient are extrapolated alike
TOLD = {
    "SidelightAlert": (("sidelight.alert", {"sidelight.alert.name": "data_drift", "sidelight.alert.severity": "WARN"},
                        "0x30 1x89"), 10, 40),
    "SidelightBlind": (("sidelight.model.state", {"sidelight.state": "no_data"}, "0x10 1x109"), 60, 80),
    "SidelightNotDurable": (("sidelight.model.state", {"sidelight.state": "not_durable"}, "0x10 1x109"), 9, 14),
    "SidelightRecordsLost": (("sidelight.records", {"sidelight.outcome": "dropped", "sidelight.reason": "queue_full"},
                              "0x30 5x89"), 30, 35),
    "SidelightSendersLost": (("sidelight.client.dropped", {"sidelight.reason": "agent_away"}, "0x30 5x89"), 30, 35),
    "SidelightExportLost": (("sidelight.export.items", {"sidelight.signal": "traces", "sidelight.outcome": "rejected"},
                             "0x30 5x89"), 30, 35),
    "SidelightFeedbackLost": (("sidelight.capture.dropped", {}, "0x30 5x89"), 30, 35),
    "SidelightCheckpointOld": (("sidelight.checkpoint.age", {}, "2x30 90x89"), 34, 38),
}  # fmt: skip
"""An alert's series, a minute at which it is quiet, and one at which it fires."""


def text() -> str:
    """The tests, as further entries of the file's list."""
    lines = [f"  - interval: {STEP}m\n    name: labels of two agents, and what agents suffer from\n    input_series:"]
    for instance, counts in PER_MINUTE.items():
        lines += [_counter(MODEL, instance, *cells, each) for cells, each in counts.items()]
    for instance, counts in NUMBERED.items():
        lines += [_counter({"sidelight.model.name": "mode"}, instance, *cells, each) for cells, each in counts.items()]
    for (name, attributes, values), _, _ in TOLD.values():
        lines.append(_series(metric(name), MODEL | attributes | {"job": "fleet", "instance": "a"}, values))
    lines.append("    promql_expr_test:")
    counted = {cells: sum(counts[cells] for counts in PER_MINUTE.values()) for cells in PER_MINUTE["a"]}
    hits, labels = counted["positive", "positive"], sum(counted.values())
    lines += _value("accuracy", "taxi", (hits + counted["negative", "negative"]) / labels)
    lines += _value("precision", "taxi", hits / (hits + counted["negative", "positive"]))
    lines += _value("recall", "taxi", hits / (hits + counted["positive", "negative"]))
    right = sum(each for counts in NUMBERED.values() for cells, each in counts.items() if cells[0] == cells[1])
    lines += _value("accuracy", "mode", right / sum(sum(counts.values()) for counts in NUMBERED.values()))
    for alert, (_, quiet, firing) in TOLD.items():
        for minute, samples in ((quiet, "[]"), (firing, "[{labels: '{}', value: 1}]")):
            lines.append(f"      - expr: 'count(ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}})'")
            lines.append(f"        eval_time: {minute}m\n        exp_samples: {samples}")
    return "\n".join(lines) + "\n"


def _counter(of_model: dict[str, str], instance: str, actual: str, predicted: str, each: int) -> str:
    attributes = of_model | {"job": "fleet", "instance": instance}
    cells = {"sidelight.performance.actual": actual, "sidelight.performance.predicted": predicted}
    return _series(OUTCOMES, attributes | cells, f"0+{each}x{MINUTES}")


def _series(name: str, attributes: dict[str, str], values: str) -> str:
    about = ", ".join(f'{key.replace(".", "_")}="{value}"' for key, value in attributes.items())
    return f"      - {{series: '{name}{{{about}}}', values: '{values}'}}"


def _value(what: str, model: str, value: float) -> list[str]:
    selected = f'fleet:sidelight_performance_{what}:1h{{sidelight_model_name="{model}"}}'
    return [
        f"      - expr: 'count(abs({selected} - {value!r}) < {TOLERANCE})'",
        f"        eval_time: {MINUTES - 5}m\n        exp_samples: [{{labels: '{{}}', value: 1}}]",
    ]
