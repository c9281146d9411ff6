"""The local page: one file, no assets, nothing from outside. It fetches /status every five seconds and draws it."""

from __future__ import annotations

# ruff: noqa: E501 - markup and script keep lines of their own length; broken at 120 they read worse

STYLE = """
:root { color-scheme: light dark;
  --bg: #f6f5f2; --card: #ffffff; --ink: #22242a; --soft: #6d717b; --line: #e5e3dd; --track: #eeece7;
  --good: #2f7d5b; --warn: #a66a00; --bad: #b3362b; --idle: #7b7f8a; --quiet: #a9bccf; }
@media (prefers-color-scheme: dark) { :root {
  --bg: #15171b; --card: #1d2026; --ink: #e6e7ea; --soft: #9a9fab; --line: #2b2f37; --track: #282c34;
  --good: #5fbf93; --warn: #e0a94a; --bad: #ee7a6c; --idle: #8b909c; --quiet: #4d657e; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  font-variant-numeric: tabular-nums; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 24px 64px; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 14px; margin-bottom: 20px; }
h1 { font-size: 20px; font-weight: 650; letter-spacing: -.01em; margin: 0; }
h2 { font-size: 17px; font-weight: 620; margin: 0; overflow-wrap: anywhere; }
h3 { font-size: 12px; font-weight: 600; color: var(--soft); margin: 22px 0 8px; }
.soft { color: var(--soft); } .small { font-size: 13px; } .grow { flex: 1; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 20px 22px; margin: 0 0 16px; }
.card > :last-child { margin-bottom: 0; } .card p { margin: 10px 0 0; } .card h2 + .scroll, .card p + .scroll { margin-top: 10px; }
.row { display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: baseline; }
.pill { font-size: 12.5px; font-weight: 600; padding: 1px 10px; border-radius: 99px; border: 1px solid currentColor; white-space: nowrap; }
.good { color: var(--good); } .quiet { color: var(--quiet); } .warn { color: var(--warn); } .bad { color: var(--bad); } .idle { color: var(--idle); }
.note { margin: 10px 0 0; max-width: 75ch; color: var(--soft); } .note.warn { color: var(--warn); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(112px, 1fr)); gap: 14px 20px; margin: 18px 0 0; }
.facts dt { font-size: 12.5px; color: var(--soft); } .facts dd { margin: 0; font-size: 18px; font-weight: 560; }
.bars { display: grid; grid-template-columns: minmax(90px, max-content) minmax(90px, 1fr) 52px minmax(120px, max-content);
  gap: 7px 14px; align-items: center; margin: 0; }
.bars > span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; max-width: 240px; }
.bars > .told { grid-column: 1 / -1; white-space: normal; max-width: 95ch; margin: -4px 0 6px; }
.num { text-align: right; }
.bar { height: 8px; border-radius: 4px; background: var(--track); overflow: hidden; }
.bar i { display: block; height: 100%; border-radius: 4px; background: currentColor; min-width: 2px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; font-size: 12.5px; font-weight: 500; color: var(--soft); padding: 0 14px 5px 0; }
td { padding: 5px 14px 5px 0; border-top: 1px solid var(--line); vertical-align: top; overflow-wrap: break-word; }
td.id { overflow-wrap: anywhere; }
th:last-child, td:last-child { padding-right: 0; }
td.n, th.n { text-align: right; white-space: nowrap; }
.alert { border-color: var(--bad); } .alert.pending { border-color: var(--warn); }
.hint { border-style: dashed; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 0 16px; align-items: start; }
details summary { cursor: pointer; color: var(--soft); font-size: 13px; margin: 10px 0 8px; }
@media (max-width: 620px) {
  main { padding: 20px 12px 48px; } .card { padding: 16px; }
  .bars { grid-template-columns: minmax(80px, max-content) 1fr 48px; }
  .bars > span:not(.told):not(.num) + .bar + .num + span { grid-column: 2 / -1; margin-top: -8px; } }
body.stale main > :not(header) { opacity: .45; }
"""

SCRIPT = r"""
"use strict";
const WORDS = {
  watching: ["good", "Watching", ""],
  learning: ["warn", "Learning", "Not judged yet: the agent is learning what normal looks like from live traffic."],
  no_reference: ["idle", "No reference", "Drift is not judged: there is nothing to compare with."],
  reference_too_short: ["warn", "Reference too short", "Drift is not judged: the reference has too few rows or windows."],
  no_data: ["idle", "No data", "Nothing arrived, so nothing is known. This is not the same as healthy."],
  labels_only: ["idle", "Labels only", "Its predictions stopped; their labels are still judged as they come."] };
const BLIND = new Set(["no reference", "learning", "reference too short", "no data", "not enough rows"]);
const el = (tag, cls, ...kids) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  for (const kid of kids.flat(9)) if (kid !== null && kid !== undefined && kid !== "") node.append(kid);
  return node; };
const known = x => typeof x === "number" && isFinite(x);
const whole = x => known(x) ? Math.round(x).toLocaleString("en") : "–";
const short = x => !known(x) ? "–" : x === 0 ? "0" : Math.abs(x) < 0.001 ? x.toExponential(0) : Math.abs(x) < 10 ? x.toFixed(3) : x.toFixed(1);
const rate = x => !known(x) ? "–" : x === 0 ? "0" : x < 10 ? x.toFixed(1) : whole(x);
const share = x => known(x) ? (100 * x).toFixed(x < 0.1 ? 2 : 1) + " %" : "–";
const took = s => !known(s) ? "–" : s < 0.001 ? (s * 1e6).toFixed(0) + " µs" : s < 1 ? (s * 1000).toPrecision(3) + " ms" : s.toFixed(2) + " s";
const span = s => !known(s) ? "–" : s < 90 ? Math.round(s) + " s" : s < 5400 ? Math.round(s / 60) + " min"
  : s < 172800 ? (s / 3600).toFixed(1) + " h" : Math.round(s / 86400) + " days";
const fact = (name, value, cls) => el("div", "", el("dt", "", name), el("dd", cls || "", value));
const table = (heads, rows) => el("div", "scroll", el("table", "",
  el("thead", "", el("tr", "", heads.map(h => el("th", h[1], h[0])))),
  el("tbody", "", rows.map(r => el("tr", "", r.map((c, i) => el("td", heads[i][1], c instanceof Node ? c : String(c ?? "–"))))))));

const named = d => d.segment ? `${d.feature} of ${d.segment}` : d.feature;
const since = d => d.since ? "since " + d.since.slice(0, 16).replace("T", " ") : "";
const figures = d => (known(d.share_of_effect) ? `; ${Math.round(100 * d.share_of_effect)} % of the inputs’ drift` : "") +
  (known(d.p) && known(d.alpha) ? `; against ${whole(d.n_reference)} rows, φ ${d.phi.toPrecision(2)}, p ${d.p.toExponential(0)} where ${d.alpha.toExponential(0)} is allowed` : "");
const faults = (title, list) => { const found = (list || []).filter(q => q.verdict === "alarm");
  return found.length ? [el("h3", "", title), table([["Where", ""], ["Fault", ""], ["What is wrong", ""]], found.map(q =>
    [q.feature === q.check ? "–" : named(q) || "–", String(q.check).replaceAll("_", " "), el("span", "",
      q.said || `${share(q.current)}, expected ${share(q.expected)}`, el("span", "soft", q.since ? ", " + since(q) : ""))]))] : ""; };

const figure = (x, unit) => unit === "text" ? String(x ?? "–") : unit === "share" ? share(x) : unit === "seconds" ? took(x) : short(x);
const between = l => known(l.low) && known(l.high) ? `${figure(l.low, l.unit)} to ${figure(l.high, l.unit)}` : "";
const followed = told => Object.values(told || {}).map(f => [el("h3", "", f.title || ""),
  (f.lines || []).length ? table([["", ""], ["Now", "n"], ["95 % between", "n"], ["Usually", "n"], ["", ""]], f.lines.map(l =>
    [l.name, figure(l.value, l.unit), between(l), known(l.expected) ? figure(l.expected, l.unit) : "", el("span", "soft small", l.note || "")])) : "",
  f.note ? el("p", "soft small", f.note) : ""]);

const segments = list => { const states = list.filter(s => s.check === "segments"), blind = states.filter(s => BLIND.has(s.verdict));
  return states.length ? el("details", "", el("summary", "", `${states.length - blind.length} of ${states.length} segments judged`),
    blind.map(s => el("div", "small soft", `${s.segment}: ${s.verdict}${s.reason ? ", " + s.reason : ""}`))) : ""; };

function drift(list) {
  const level = d => d.verdict === "alarm" ? 0 : BLIND.has(d.verdict) ? 2 : 1;
  const sorted = [...list].sort((a, b) => level(a) - level(b) || (b.effect ?? -1) - (a.effect ?? -1));
  const bar = d => {
    const width = known(d.effect) ? Math.max(0, Math.min(1, Math.sqrt(Math.max(0, d.effect) / 0.5))) * 100 : 0;
    const fill = el("i"); fill.style.width = width + "%";
    const box = el("div", "bar " + (level(d) === 0 ? "bad" : level(d) === 2 ? "idle" : "quiet"), known(d.effect) ? fill : "");
    box.title = `effect ${short(d.effect)}, p ${short(d.p)}, allowed ${short(d.alpha)}, ${whole(d.n)} rows over ${d.horizon} windows, φ ${short(d.phi)}`;
    return box; };
  const word = d => d.verdict === "alarm" ? ["drifted", since(d)].filter(Boolean).join(", ") : d.verdict;
  const told = d => level(d) === 0 && d.said ? el("span", "told small", d.said, el("span", "soft", figures(d))) : "";
  const lines = part => el("div", "bars", part.map(d => [
    el("span", "", named(d)), bar(d), el("span", "num small", short(d.effect)),
    el("span", "small " + (level(d) === 0 ? "bad" : "soft"), word(d)), told(d)]));
  const shown = sorted.slice(0, Math.max(8, sorted.filter(d => level(d) === 0).length)), rest = sorted.slice(shown.length);
  const count = n => sorted.filter(d => level(d) === n).length;
  const head = [`${count(0)} of ${sorted.length} drifted`, count(2) ? `${count(2)} not judged` : ""].filter(Boolean).join(", ");
  return [el("h3", "", "Drift against the reference: " + head), lines(shown),
    rest.length ? el("details", "", el("summary", "", `${rest.length} more`), lines(rest)) : ""]; }

function model(m) {
  const [cls, word, meaning] = WORDS[m.state] || ["idle", m.state, ""];
  const r = m.records || {}, lost = (r.refused || 0) + (r.dropped || 0), p = m.latency;
  const seen = m.ledger || {}, rule = seen.fixed_rule;
  return el("section", "card",
    el("div", "row", el("h2", "", m.name), el("span", "soft", m.version ? "version " + m.version : ""),
      m.role && m.role !== "primary" ? el("span", "soft", m.role) : "", el("span", "grow"), el("span", "pill " + cls, word)),
    meaning || m.state_reason ? el("p", "note " + cls, el("span", "small", [meaning, m.state_reason].filter(Boolean).join(" "))) : "",
    el("dl", "facts",
      fact("Records a second", rate(m.rate_per_second)), fact("Kept", whole(r.kept)),
      fact("Refused or dropped", whole(lost), lost ? "warn" : ""),
      p ? fact("Latency, median", took(p.p50)) : "", p ? fact("Latency, p99", took(p.p99)) : "",
      fact("Windows closed", whole(m.windows_closed)), fact("Labels", whole(m.labels)),
      m.label_join && known(m.label_join.coverage) ? fact("Predictions with a label", share(m.label_join.coverage)) : "",
      m.label_join && m.label_join.unknown ? fact("Labels for nobody", whole(m.label_join.unknown), "warn") : ""),
    seen.headline ? el("p", "soft small", seen.headline[0].toUpperCase() + seen.headline.slice(1) + ". All of it: sidelight ledger.") : "",
    rule ? el("p", "note warn", el("span", "small", `Drift alarms by the fixed threshold ${rule.rule}, which noise alone passes about ${rule.false_alarms_per_day.toPrecision(2)} times a day at ${whole(rule.rows)} rows a window.`)) : "",
    (m.drift || []).length ? drift(m.drift) : "",
    faults("Data quality", m.quality), faults("Traffic", m.traffic), faults("Service", m.service), faults("Right or wrong", m.truth), faults("Segments", m.segments), segments(m.segments || []),
    followed(m.followed),
    (m.texts || []).length ? el("details", "", el("summary", "", `Different texts in the newest window`),
      table([["Text", ""], ["Now", "n"], ["In the whole reference", "n"]], m.texts.map(t =>
        [t.feature, whole(t.distinct), (t.reference_complete ? "" : "over ") + whole(t.reference)]))) : "",
    (m.refusals || []).length ? [el("h3", "", "Refused"), table([["Reason", ""], ["Field", ""], ["Why", ""], ["Records", "n"]],
      m.refusals.map(x => [String(x.reason).replaceAll("_", " "), x.field, x.detail, whole(x.count)]))] : "",
    m.reference ? el("p", "soft small", `Compared with ${whole(m.reference.rows)} rows (${m.reference.origin}), reference ${m.reference.hash}`) : ""); }

function alert(a) {
  return el("section", "card alert " + a.state,
    el("div", "row", el("h2", "", String(a.name).replaceAll("_", " ")), el("span", "soft", [a.model, a.version].filter(Boolean).join(" ")),
      el("span", "grow"), el("span", "pill " + (a.state === "firing" ? "bad" : "warn"), a.state), el("span", "soft small", since(a))),
    el("p", "", a.summary), (a.subjects || []).length ? el("p", "soft small", a.subjects.join(", ")) : ""); }

function machine(s) {
  const signals = Object.entries((s.export || {}).signals || {});
  const state = c => el("span", c.state === "ok" ? "good" : c.state === "unavailable" || c.state === "waiting" ? "idle" : "bad", c.state);
  return el("div", "pair",
    el("section", "card", el("h2", "", "Sent on"), el("p", "soft small", (s.export || {}).endpoint || "Nowhere: no endpoint is set."),
      signals.length ? table([["", ""], ["Delivered", "n"], ["Waiting", "n"], ["Lost", "n"]], signals.map(([name, x]) =>
        [name, whole(x.delivered), whole(x.queued), whole((x.rejected || 0) + (x.dropped || 0))])) : "",
      signals.filter(([, x]) => x.last_error).map(([name, x]) => el("p", "note warn", el("span", "small", name + ": " + x.last_error)))),
    el("section", "card", el("h2", "", "Senders"), (s.clients || []).length ? table(
      [["Client", "id"], ["Last seen", "n"], ["Recorded", "n"], ["Dropped", "n"]], s.clients.slice(0, 50).map(c =>
        [[c.id, [c.language, c.version].filter(Boolean).join(" ")].filter(Boolean).join(", "), span(c.last_seen_seconds) + " ago", whole(c.recorded), whole(c.dropped)]))
      : el("p", "soft small", "None yet.")),
    (s.collectors || []).length ? el("section", "card", el("h2", "", "Machine readings"), table([["", ""], ["State", ""], ["Why", ""]],
      s.collectors.map(c => [c.name, state(c), c.reason || ""]))) : ""); }

function draw(s) {
  const a = s.agent || {}, faults = Object.entries(s.messages || {}).filter(([, n]) => n > 0);
  document.getElementById("about").textContent = `${a.version || ""} · up ${span(a.uptime_seconds)} · listening on ${a.endpoint || "nothing"}`;
  const alerts = (s.alerts || []).filter(x => x.state !== "resolved");
  document.getElementById("body").replaceChildren(
    a.durable === false ? el("section", "card alert", el("h2", "", "Not durable"),
      el("p", "", `Records are counted but not written down: ${a.state_folder || "the state folder"} cannot be written. A crash would lose the last seconds.`)) : "",
    ...alerts.map(alert),
    s.hint || !(s.models || []).length ? el("section", "card hint",
      el("h2", "", (s.models || []).length ? "Where to look" : "No records yet"), el("p", "", s.hint || "Nothing has been sent to this agent.")) : "",
    ...(s.models || []).map(model),
    faults.length ? el("section", "card", el("h2", "", "Messages that could not be read"),
      table([["", ""], ["Count", "n"]], faults.map(([k, n]) => [k.replaceAll("_", " "), whole(n)]))) : "",
    machine(s)); }

async function turn() {
  const when = document.getElementById("when");
  try {
    const answer = await fetch("status", { cache: "no-store", signal: AbortSignal.timeout(4000) });
    if (!answer.ok) throw new Error("the agent answered " + answer.status);
    const open = [...document.querySelectorAll("details")].map(d => d.open);
    draw(await answer.json());
    document.querySelectorAll("details").forEach((d, i) => { d.open = open[i] || false; });
    document.body.classList.remove("stale");
    when.className = "soft small"; when.textContent = "as of " + new Date().toLocaleTimeString();
  } catch (error) {
    document.body.classList.add("stale");
    when.className = "bad small"; when.textContent = "No answer from the agent; what is shown is old.";
  }
  setTimeout(turn, 5000); }
turn();
"""

HTML = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sidelight</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<main>
<header><h1>Sidelight</h1><span id="about" class="soft small"></span><span class="grow"></span><span id="when" class="soft small"></span></header>
<div id="body"><noscript>This page needs JavaScript; the same is at <a href="status">/status</a>.</noscript></div>
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""
