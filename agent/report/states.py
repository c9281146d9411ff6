"""The state a version's watch is in, as status, page and metric say it."""

from __future__ import annotations

from datetime import UTC, datetime

from agent.records import Verdict
from agent.watching import Watch

STATES = (
    "watching", "learning", "no_reference", "reference_too_short", "no_data", "labels_only", "not_durable",
)  # fmt: skip
STOPPED_WINDOWS = 2  # whole ones without a prediction: fewer may be a quiet hour


def state_of(watch: Watch, durable: bool, now_ns: int, retire_seconds: float) -> tuple[str, str]:
    """One of STATES, and why; blind states are never shown as healthy. now_ns: 0 by event time, which has no now.
    retire_seconds: after so long without a message labels no longer come."""
    series = watch.series
    if not durable:
        return "not_durable", "the disk cannot be written: what is counted now is lost if the agent dies"
    if _stopped(watch, now_ns) and _labels_come(watch, now_ns, retire_seconds):
        if not series.newest_ns:
            return "labels_only", "no prediction came here; labels of what other replicas predicted do, and are judged"
        return "labels_only", f"no predictions since {_minute(series.newest_ns)}; labels still come, and are judged"
    if watch.retired:
        return "no_data", "retired: silent for longer than SIDELIGHT_RETIRE_SECONDS"
    if series.learner is not None:
        words = series.learner.progress.words
        return "learning", f"{words} ({series.reference_note})" if "unusable" in series.reference_note else words
    if watch.judge is None:
        return "no_reference", series.reference_note
    drift = [f for f in watch.findings if f.check == "drift" and not f.segment]
    if not drift:
        return "no_data", "no window has closed yet" if not series.recent else "records hold nothing to judge by"
    verdicts = {f.verdict for f in drift}
    if verdicts == {Verdict.REFERENCE_TOO_SHORT}:
        return "reference_too_short", drift[0].reason
    if verdicts <= {Verdict.NO_DATA, Verdict.NOT_ENOUGH_ROWS}:
        return "no_data", drift[0].reason or "the newest window has too few rows"
    return "watching", "" if series.reference_note == "given" else series.reference_note


def _stopped(watch: Watch, now_ns: int) -> bool:
    """Whether its predictions ended: another version took over, or windows went by without one."""
    series = watch.series
    return watch.rests or now_ns // series.window_ns - series.newest_ns // series.window_ns > STOPPED_WINDOWS


def _labels_come(watch: Watch, now_ns: int, retire_seconds: float) -> bool:
    """Whether labels met its predictions after the newest of these, and not too long ago."""
    series, followers = watch.series, watch.followers
    newest = max(followers.labelled_in, default=followers.closed_below - 1)
    over_ns = (newest + 1) * series.window_ns
    return newest > series.newest_ns // series.window_ns and now_ns - over_ns < retire_seconds * 1e9


def _minute(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M UTC")
