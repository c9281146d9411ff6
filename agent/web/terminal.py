"""`sidelight status`: the status dictionary as text. What arrives, from whom, what is judged, what is refused."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.figures import bar, figure, known, number, rate, share, span, took, whole

_CODES = {"good": "32", "warn": "33", "bad": "31", "soft": "2", "bold": "1"}
_STATES = {
    "watching": ("good", "watching"),
    "learning": ("warn", "learning: not judged yet"),
    "no_reference": ("warn", "no reference: drift is not judged"),
    "reference_too_short": ("warn", "reference too short: drift is not judged"),
    "no_data": ("warn", "no data: nothing is known"),
    "labels_only": ("soft", "labels only: its predictions stopped"),
}
_BLIND = {"no reference", "learning", "reference too short", "no data", "not enough rows"}
_LABEL = re.compile(r"  [a-z]+ {2,}(?=\S)")  # `  records    `
_FIRM = "\N{NO-BREAK SPACE}"  # between a number and its per cent
_CODE = re.compile(r"\x1b\[\d+m")
_FOLLOWED_MAX = 12  # figures of one follower
_SHOWN_MAX = 8  # features and senders listed; the rest is a count, /status has them all
_WIDTH_MIN = 40
_NAME_MAX = 24  # columns kept for names, so that one long name does not push all bars aside


class _Paint:
    """Text in a colour, or plain."""

    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def __call__(self, text: str, style: str) -> str:
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self._colour and text else text


def render_status(status: Mapping[str, Any], width: int, colour: bool = False) -> str:
    """The whole status, at most `width` columns (not under 40) where words can be broken. Missing keys are left out.

    Control characters in names are replaced: they come from senders and must not steer the terminal.
    """
    paint, width = _Paint(colour), max(_WIDTH_MIN, width)
    clean = cleaned(status)
    parts = [_head(clean, paint), _alerts(clean, paint), *(_model(model, paint) for model in clean.get("models", ()))]
    parts += [_clients(clean, paint), _export(clean, paint), _machine(clean, paint), _hint(clean)]
    blocks = ["\n".join(line for text in part for line in _wrap(text, width)) for part in parts]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _head(status: Mapping[str, Any], paint: _Paint) -> Iterator[str]:
    agent = status.get("agent", {})
    up = span(agent.get("uptime_seconds"))
    yield f"{paint('Sidelight', 'bold')} {agent.get('version', '')}, up {up}, listening on {agent.get('endpoint', '?')}"
    if agent.get("durable") is False:
        yield paint(f"not durable: {agent.get('state_folder', 'the state folder')} cannot be written", "bad")


def _alerts(status: Mapping[str, Any], paint: _Paint) -> Iterator[str]:
    for alert in status.get("alerts", ()):
        if alert["state"] == "resolved":
            continue
        mark = paint(alert["state"], "bad" if alert["state"] == "firing" else "warn")
        where = " ".join(word for word in (alert.get("model"), alert.get("version")) if word)
        yield f"{mark}  {alert['name']}  {where}, since {_moment(alert.get('since', '?'))}"
        yield f"  {alert.get('summary', '')}"


def _model(model: Mapping[str, Any], paint: _Paint) -> Iterator[str]:
    style, words = _STATES.get(model["state"], ("warn", str(model["state"])))
    role = f" ({model['role']})" if model.get("role", "primary") != "primary" else ""
    yield f"{paint(model['name'], 'bold')} {model.get('version', '')}{role}  {paint(words, style)}"
    if model.get("state_reason"):
        yield f"  {model['state_reason']}"
    yield from _traffic(model, paint)
    reference = model.get("reference")
    if reference:
        rows, origin = whole(reference.get("rows")), reference.get("origin", "?")
        yield f"  reference  {rows} rows, {origin}, {reference.get('hash', '?')}"
    yield from _outlook(model.get("ledger") or {}, paint)
    yield from _drift(model.get("drift", ()), paint)
    for kind in ("quality", "traffic", "service", "truth", "segments"):
        for finding in model.get(kind, ()):
            if finding["verdict"] == "alarm":
                yield f"  {paint(f'{kind:<10}', 'bad')} {_fault(finding)}"
    yield from _segments(model.get("segments", ()), paint)
    for followed in (model.get("followed") or {}).values():
        yield from _followed(followed, paint)
    yield from _texts(model.get("texts", ()))
    for refusal in model.get("refusals", ()):
        why = f"{refusal['field']}: {refusal['detail']}" if refusal.get("field") else str(refusal.get("detail", ""))
        yield f"  {paint('refused', 'warn')}    {whole(refusal['count'])} × {refusal['reason']}  {why}"


def _traffic(model: Mapping[str, Any], paint: _Paint) -> Iterator[str]:
    records = model.get("records", {})
    fates = []
    for fate in ("kept", "refused", "duplicate", "late", "dropped"):
        count = records.get(fate, 0)
        if count or fate == "kept":
            text = f"{whole(count)} {fate}"
            fates.append(paint(text, "warn") if fate in ("refused", "dropped") else text)
    yield f"  records    {rate(model.get('rate_per_second'))} a second; {', '.join(fates)}"
    latency = model.get("latency")
    if latency:
        yield "  latency    " + ", ".join(f"{name} {took(latency.get(name))}" for name in ("p50", "p95", "p99"))
    yield f"  windows    {whole(model.get('windows_closed'))} closed"
    yield from _labels(model.get("label_join") or {}, paint)


def _labels(joined: Mapping[str, Any], paint: _Paint) -> Iterator[str]:
    """What became of the labels: those that are usual first, then those somebody should look at."""
    store = joined.get("store") or {}
    if not store.get("up", True):
        away = paint(f"{store.get('address')} does not answer ({store.get('reason')})", "warn")
        yield f"  labels     {away}: {whole(store.get('unwritten_predictions'))} predictions wait here"
    if joined.get("note"):
        yield f"  labels     {paint(str(joined['note']), 'warn')}"
    if not joined.get("received"):
        return
    fates = [f"{whole(joined[kind])} {kind}" for kind in ("joined", "early", "repeated") if joined.get(kind)]
    fates += [paint(f"{whole(joined[kind])} {kind}", "warn") for kind in ("changed", "unknown") if joined.get(kind)]
    if joined.get("waiting_labels"):
        fates.append(f"{whole(joined['waiting_labels'])} wait")
    late = (joined.get("delay_seconds") or {}).get("p50")
    after = f"; half of them within {span(late)}" if known(late) else ""
    covered = f"; {share(joined.get('coverage'))} of the predictions have one" if known(joined.get("coverage")) else ""
    yield f"  labels     {', '.join(fates) or whole(joined['received'])}{after}{covered}"


def _followed(told: Mapping[str, Any], paint: _Paint) -> Iterator[str]:
    """What one follower has to show, a line each: what it is, between what bounds, and what is usual."""
    yield f"  {paint(str(told.get('title', '')), 'bold')}"
    lines = told.get("lines", ())
    name_width = min(_NAME_MAX, max((len(str(line["name"])) for line in lines), default=0))
    for line in lines[:_FOLLOWED_MAX]:
        value, unit = line.get("value"), line.get("unit", "number")
        said = figure(value, unit)
        if known(line.get("low")) and known(line.get("high")):
            said += f" ({figure(line['low'], unit)} to {figure(line['high'], unit)})"
        if known(line.get("expected")):
            said += f", usually {figure(line['expected'], unit)}"
        note = f"  {paint(str(line['note']), 'soft')}" if line.get("note") else ""
        yield f"    {line['name']!s:<{name_width}}  {said}{note}"
    if told.get("note"):
        yield f"    {paint(str(told['note']), 'soft')}"


def _outlook(ledger: Mapping[str, Any], paint: _Paint) -> Iterator[str]:
    """What would be seen; and what a fixed threshold costs."""
    if ledger.get("headline"):
        yield f"  sees       {ledger['headline']}"
    cost = ledger.get("fixed_rule")
    if cost:
        alarms = f"about {cost['false_alarms_per_day']:.2g} false alarms a day without any drift"
        at = f"at {whole(cost['rows'])} rows a window"
        yield f"  rule       fixed threshold {cost['rule']}: {paint(alarms, 'warn')}, {at}"


def _drift(checks: Sequence[Mapping[str, Any]], paint: _Paint) -> Iterator[str]:
    if not checks:
        return
    drifted = [check for check in checks if check["verdict"] == "alarm"]
    blind = [check for check in checks if check["verdict"] in _BLIND]
    counts = f"{len(drifted)} of {len(checks)} drifted" + (f", {len(blind)} not judged" if blind else "")
    yield f"  drift      {paint(counts, 'bad' if drifted else 'warn' if blind else 'good')}"
    shown = sorted(drifted, key=lambda check: -number(check.get("effect"))) + blind
    names = min(max((len(named(check)) for check in shown[:_SHOWN_MAX]), default=0), _NAME_MAX)
    for check in shown[:_SHOWN_MAX]:
        name = f"    {named(check):<{names}}"
        if check["verdict"] == "alarm":
            effect = number(check.get("effect"))
            yield f"{name}  {paint(bar(effect), 'bad')} {effect:.3f}{_aside(check)}"
            yield from (f"      {line}" for line in _details(check))
        else:
            why = check.get("reason")
            yield f"{name}  {check['verdict']}" + (f": {why}" if why else "")
    if len(shown) > _SHOWN_MAX:
        yield f"    and {len(shown) - _SHOWN_MAX} more"


def _segments(findings: Sequence[Mapping[str, Any]], paint: _Paint) -> Iterator[str]:
    """How many parts of the traffic are judged, and why others are not."""
    states = [finding for finding in findings if finding["check"] == "segments"]
    blind = [finding for finding in states if finding["verdict"] in _BLIND]
    if states:
        counts = f"{len(states) - len(blind)} of {len(states)} judged"
        yield f"  segments   {paint(counts, 'warn') if blind else counts}"
    for finding in blind[:_SHOWN_MAX]:
        yield f"    {finding['segment']}  {finding['verdict']}: {finding.get('reason', '')}"
    if len(blind) > _SHOWN_MAX:
        yield f"    and {len(blind) - _SHOWN_MAX} more"


def _texts(texts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How many different texts came, beside how many the reference knows."""
    if texts:
        told = [f"{text['feature']} {whole(text['distinct'])} (reference {_known_texts(text)})" for text in texts]
        more = f" and {len(told) - _SHOWN_MAX} more" if len(told) > _SHOWN_MAX else ""
        yield f"  different  {', '.join(told[:_SHOWN_MAX])}{more}"


def _known_texts(text: Mapping[str, Any]) -> str:
    more = "" if text.get("reference_complete", True) else "over "
    return more + whole(text.get("reference"))


def _aside(check: Mapping[str, Any]) -> str:
    """Since when, and how much of all drift it is."""
    parts = [f"since {_moment(check['since'])}"] if check.get("since") else []
    if known(check.get("share_of_effect")):
        parts.append(f"{check['share_of_effect'] * 100:.0f} % of drift")
    return "  " + ", ".join(parts) if parts else ""


def _details(check: Mapping[str, Any]) -> Iterator[str]:
    if check.get("said"):
        yield str(check["said"])
    if known(check.get("p")) and known(check.get("alpha")) and known(check.get("n_reference")):
        yield (
            f"against {whole(check.get('n_reference'))} rows, φ {number(check.get('phi')):.2g}, "
            f"p {check['p']:.1g} where {check['alpha']:.1g} is allowed"
        )


def _fault(finding: Mapping[str, Any]) -> str:
    fault = str(finding["check"]).replace("_", " ")
    said = finding.get("said") or f"{share(finding.get('current'))}, expected {share(finding.get('expected'))}"
    since = f", since {_moment(finding['since'])}" if finding.get("since") else ""
    where = f"{named(finding)}: " if finding.get("feature") and finding["feature"] != finding["check"] else ""
    return f"{where}{said}{since}" if str(said).startswith(fault) else f"{where}{fault}: {said}{since}"


def named(finding: Mapping[str, Any]) -> str:
    """The feature, and the part of the traffic where it is in one only.

    >>> named({"feature": "fare", "segment": "region=north"})
    'fare of region=north'
    """
    segment = finding.get("segment")
    return f"{finding['feature']} of {segment}" if segment else str(finding["feature"])


def _moment(iso: str) -> str:
    """`2026-11-23T00:58:00+00:00` -> `2026-11-23 00:58`, UTC."""
    return iso[:16].replace("T", " ")


def _clients(status: Mapping[str, Any], paint: _Paint) -> Iterator[str]:
    clients = status.get("clients", ())
    if clients:
        yield paint("senders", "bold")
    for client in clients[:_SHOWN_MAX]:
        language = " ".join(word for word in (client.get("language"), client.get("version")) if word)
        lost = paint(f", {whole(client['dropped'])} dropped", "warn") if client.get("dropped") else ""
        seen, recorded = span(client.get("last_seen_seconds")), whole(client.get("recorded"))
        yield f"  {client['id']}  {language or 'unknown'}, seen {seen} ago, {recorded} recorded{lost}"
    if len(clients) > _SHOWN_MAX:
        yield f"  and {len(clients) - _SHOWN_MAX} more"


def _export(status: Mapping[str, Any], paint: _Paint) -> Iterator[str]:
    export = status.get("export", {})
    if not export:
        return
    yield f"{paint('sent to', 'bold')} {export.get('endpoint') or 'nowhere: no endpoint is set'}"
    for name, signal in export.get("signals", {}).items():
        lost = signal.get("rejected", 0) + signal.get("dropped", 0)
        counts = f"{whole(signal.get('delivered'))} delivered, {whole(signal.get('queued'))} waiting"
        yield f"  {name:<8} {counts}" + (paint(f", {whole(lost)} lost", "bad") if lost else "")
        if signal.get("last_error"):
            yield f"    {paint(signal['last_error'], 'warn')}"


def _machine(status: Mapping[str, Any], paint: _Paint) -> Iterator[str]:
    for name, count in status.get("messages", {}).items():
        if count:
            yield paint(f"{whole(count)} messages {name.replace('_', ' ')}", "warn")
    for collector in status.get("collectors", ()):
        if collector["state"] in ("unavailable", "failed", "hung"):
            style = "soft" if collector["state"] == "unavailable" else "bad"
            yield f"{collector['name']} readings {paint(collector['state'], style)}: {collector.get('reason', '')}"


def _hint(status: Mapping[str, Any]) -> Iterator[str]:
    if status.get("hint"):
        yield str(status["hint"])
    elif not status.get("models"):
        yield "No record has arrived yet."


def _wrap(text: str, width: int) -> list[str]:
    """Folds at spaces, the rest two deeper, or below the text where a label stands before it.

    Colour codes count as width, so coloured lines fold a little early.
    """
    label = _LABEL.match(_CODE.sub("", text))
    indent = " " * (label.end() if label else len(text) - len(text.lstrip(" ")) + 2)
    found = textwrap.wrap(
        text.replace(" %", f"{_FIRM}%"), width, subsequent_indent=indent, break_long_words=False,
        break_on_hyphens=False, drop_whitespace=True, replace_whitespace=False, tabsize=1,
    )  # fmt: skip
    return [line.replace(_FIRM, " ") for line in found] or [text]


def cleaned(value: Any) -> Any:
    """Control characters replaced, however deep: names come from senders and must not steer a terminal."""
    if isinstance(value, str):
        return "".join(sign if sign.isprintable() else "?" for sign in value)
    if isinstance(value, Mapping):
        return {str(cleaned(key)): cleaned(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(entry) for entry in value]
    return value
